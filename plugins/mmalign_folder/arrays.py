"""Files of features: .npy, .safetensors and .parquet, each as rows of float32."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from mmalign import FeatureFile, Floats, Mask, MmalignError, need

SUFFIXES = (".npy", ".safetensors", ".parquet")
BLOCK = 2**22  # numbers looked at together
ZIP = b"PK"  # how an archive begins
NAMES = ("sample", "name")  # what a column of names is called in a .parquet file


@dataclass(frozen=True)
class Array:
    """Features of one file: (rows, dim); ``names`` of the rows where the file gives them.

    Values of a large .npy file of float32 stay in it, and are read when they are used.
    ``mask`` is False for rows that are NaN throughout. ``kind`` is the type that the file has,
    ``backbone`` what made the features, where the file tells it.
    """

    name: str
    values: Floats
    mask: Mask
    names: tuple[str, ...]
    kind: str
    digest: str
    backbone: Mapping[str, Any] | None = None


class Held(NamedTuple):
    """What a file holds, before any of it is believed."""

    values: np.ndarray
    names: tuple[str, ...] = ()
    metadata: Mapping[str, str] = MappingProxyType({})


def read_array(path: Path) -> Array:
    """Read a file by its suffix; nothing is unpickled.

    Raises MmalignError, naming the file and the row, for what are no finite numbers.
    """
    readers = {".npy": _npy, ".safetensors": _safetensors, ".parquet": _parquet}
    held = readers[path.suffix](path)
    values, names = held.values, held.names
    if values.ndim != 2 or 0 in values.shape:
        raise MmalignError(
            f"{path.name}: has the shape {values.shape}; features are (rows, numbers of a row)"
        )
    if values.dtype.kind not in "fiu":
        raise MmalignError(f"{path.name}: holds {values.dtype}; features are real numbers")
    if names and len(names) != len(values):
        raise MmalignError(f"{path.name}: {len(names)} names for {len(values)} rows")
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise MmalignError(f"{path.name}: two rows are called '{twice}'; each needs its own name")
    with np.errstate(over="ignore"):  # what overflows is infinite, and refused below
        floats: Floats = values.astype(np.float32, copy=False)
    backbone = FeatureFile(floats, names, metadata=held.metadata).backbone
    mask, kind = _mask(path, floats), str(values.dtype)
    return Array(path.name, floats, mask, names, kind, digest(path), backbone)


def digest(path: Path) -> str:
    """SHA-256 of a file. Raises MmalignError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise MmalignError(f"{path.name}: cannot be read: {error.strerror}") from None


def _mask(path: Path, values: Floats) -> Mask:
    """Which rows have features, looked at in blocks: a large file never is in memory whole."""
    mask = np.ones(len(values), dtype=np.bool_)
    step = max(1, BLOCK // values.shape[1])
    for start in range(0, len(values), step):
        block = values[start : start + step]
        finite = np.isfinite(block)
        lacking = np.isnan(block).all(axis=1)
        wrong = ~finite.all(axis=1) & ~lacking
        if wrong.any():
            row = int(np.argmax(wrong))
            column = int(np.argmin(finite[row]))
            said = "NaN" if np.isnan(block[row, column]) else "infinite, or too large for float32"
            raise MmalignError(
                f"{path.name}: row {start + row}, number {column} (both from 0) is {said}; mend it,"
                " or make the whole row NaN, which says that the sample has no such features"
            )
        mask[start : start + step] = ~lacking
    if not mask.any():
        raise MmalignError(f"{path.name}: every row is NaN; take the file away, or mend it")
    return mask


def _npy(path: Path) -> Held:
    try:
        with path.open("rb") as file:
            archive = file.read(2) == ZIP
        # Of an archive that is none numpy leaves the file open.
        values = None if archive else np.load(path, mmap_mode="r", allow_pickle=False)
    # A damaged file makes numpy raise nearly anything; none of it is a bug of ours.
    except Exception as error:
        said = " ".join(str(error).split()) or type(error).__name__
        if "pickle" in said:  # numpy takes whatever is no .npy file for one
            said = "it is no such file; a pickle is never read, since it can run anything"
        elif "Python objects" in said:
            said = "it holds Python objects, which are never read, since they can run anything"
        raise MmalignError(
            f"{path.name}: not readable as .npy: {said}; write rows of numbers with numpy.save"
        ) from None
    if not isinstance(values, np.ndarray):
        raise MmalignError(f"{path.name}: an archive of arrays (.npz); save one with np.save")
    return Held(values)


def _safetensors(path: Path) -> Held:
    """The tensor "features", or the only one; names from the metadata, where it has them."""
    from safetensors import safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            held = list(file.keys())
            metadata = file.metadata() or {}
            key = "features" if "features" in held else held[0] if len(held) == 1 else None
            values = None if key is None else file.get_tensor(key)
    except Exception as error:  # as for .npy
        said = " ".join(str(error).split()) or type(error).__name__
        raise MmalignError(f"{path.name}: not readable as safetensors: {said}") from None
    if values is None:
        raise MmalignError(
            f"{path.name}: holds {len(held)} tensors; one was expected, or one called 'features'"
        )
    names = _json_names(path, metadata["names"]) if "names" in metadata else ()
    return Held(values, names, metadata)


def _json_names(path: Path, text: str) -> tuple[str, ...]:
    try:
        names = json.loads(text)
    except (ValueError, RecursionError):
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise MmalignError(f"{path.name}: its metadata 'names' are no JSON list of texts")
    return tuple(names)


def _parquet(path: Path) -> Held:
    """Columns of numbers, or one of lists of them; a column "sample" has the rows' names."""
    try:
        need("sweep", "pyarrow")
    except MmalignError as error:
        raise MmalignError(f"{path.name}: {error}") from None
    from mmalign_folder.parquet import read_parquet

    return Held(*read_parquet(path, NAMES))
