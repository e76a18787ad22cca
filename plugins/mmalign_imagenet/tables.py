"""Tables: numbers in one file, the WordNet id of each row in another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import safe_open

from mmalign import Floats, Indices, MmalignError, map_npy
from mmalign_imagenet.files import WNID, once, raw, wnid

BLOCK = 2**24  # numbers read at a time
TENS = 10 ** np.arange(7, -1, -1, dtype=np.int64)


@dataclass(frozen=True)
class Table:
    """Numbers (rows, dim), which stay in their file where it is .npy, and each row's id."""

    path: Path
    values: np.ndarray
    ids: Indices

    @classmethod
    def read(cls, path: Path) -> Table:
        """Open both files; nothing is unpickled. Raises MmalignError for what is wrong."""
        values = _opened(path)
        if values.dtype.kind not in "fiu" or values.ndim != 2 or 0 in values.shape:
            raise MmalignError(
                f"{path}: real numbers of shape (rows, dim) were expected, not {values.dtype}"
                f" {values.shape}"
            )
        beside = path.with_suffix(".txt")
        ids = read_ids(beside)
        if len(ids) != len(values):
            raise MmalignError(f"{beside}: {len(ids)} lines for {len(values)} rows of {path.name}")
        return cls(path, values, ids)

    def check_once(self) -> None:
        """Raises MmalignError where a class has two rows."""
        once(self.ids.tolist(), str(self.path.with_suffix(".txt")))

    def fill(self, out: Floats, rows: Indices) -> None:
        """Copy these rows into ``out``, (rows, dim). Raises MmalignError for NaN and infinity."""
        size = max(1, BLOCK // self.values.shape[1])
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            with np.errstate(over="ignore"):  # what overflows is infinite, and refused below
                out[start : start + size] = self.values[part]
            wrong = ~np.isfinite(out[start : start + size]).all(axis=1)
            if wrong.any():
                row = int(part[np.argmax(wrong)])
                raise MmalignError(
                    f"{self.path}: row {row} ({wnid(int(self.ids[row]))}) holds NaN or infinity"
                )


def _opened(path: Path) -> np.ndarray:
    if path.suffix not in (".npy", ".safetensors"):
        raise MmalignError(f"{path}: a table is an .npy or a .safetensors file")
    try:
        if path.suffix == ".npy":
            return map_npy(path, "numbers")
        with safe_open(path, framework="numpy") as file:
            names = list(file.keys())
            if len(names) != 1:
                raise MmalignError(f"one array was expected; it has {len(names)}")
            return np.asarray(file.get_tensor(names[0]))
    except MmalignError as error:
        raise MmalignError(f"{path}: {error}") from None
    # A damaged file makes the reader raise nearly anything; none of it is a bug of ours.
    except Exception as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise MmalignError(f"{path}: not readable as numbers: {said}") from None


def read_ids(path: Path) -> Indices:
    """WordNet ids, one a line, as numbers; millions of lines take no Python each."""
    held = raw(path).replace(b"\r\n", b"\n").rstrip(b"\n") + b"\n"
    if len(held) % 10 == 0:
        line = np.frombuffer(held, dtype=np.uint8).reshape(-1, 10)
        digits = line[:, 1:9] - np.uint8(ord("0"))  # below "0" wraps around, and is over 9
        if (line[:, 0] == ord("n")).all() and (line[:, 9] == ord("\n")).all() and digits.max() < 10:
            ids: Indices = digits.astype(np.int64) @ TENS
            return ids
    lines = held.decode("utf-8", "replace").split("\n")
    number = next(place for place, each in enumerate(lines) if not WNID.fullmatch(each))
    raise MmalignError(
        f"{path}: line {number + 1} is {lines[number]!r:.100}, no WordNet id such as n01440764"
    )
