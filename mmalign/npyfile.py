"""Opens .npy files as what anybody may have written: mapped, and nothing is unpickled."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmalign.errors import MmalignError

ZIP = b"PK"  # how an archive begins
CONVERT = (
    "where you trust it, convert it once:"
    ' numpy.save("new.npy", numpy.load("{name}", allow_pickle=True).astype("float32"))'
)


def map_npy(path: Path, wanted: str = ".npy") -> np.ndarray:
    """The array of a file, mapped: what a header claims takes no memory, and must be there.

    ``wanted`` is what a message calls such a file. Raises MmalignError, without the path, for
    what is no such file; of pickles, pickled arrays and archives it says how to convert them.
    """
    head = b""
    try:
        with path.open("rb") as file:
            head = file.read(2)
        # Of an archive that is none numpy leaves the file open.
        values = None if head == ZIP else np.load(path, mmap_mode="r", allow_pickle=False)
    # A damaged file makes numpy raise nearly anything; none of it is a bug of ours.
    except Exception as error:
        said = _said(error, head, path)
        raise MmalignError(f"not readable as {wanted}: {said}") from None
    if not isinstance(values, np.ndarray):
        raise MmalignError(
            f"not readable as {wanted}: an archive of arrays (.npz, or a model of torch); save one"
            " array with np.save"
        )
    return values


def _said(error: Exception, head: bytes, path: Path) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    said = " ".join(str(error).split()) or type(error).__name__
    convert = CONVERT.format(name=path.name)
    if "Python objects" in said:
        return (
            f"it holds Python objects, which are never read, since they can run anything; {convert}"
        )
    if "pickle" in said and head[:1] == b"\x80":
        return (
            "it is no such file; a pickle is never read, since it can run anything;"
            f" {convert}; of torch, numpy.save of torch.load(..., weights_only=True).numpy()"
        )
    if "pickle" in said:  # numpy takes whatever is no .npy file for one
        return "it is no such file; a pickle is never read, since it can run anything"
    return said[:300]
