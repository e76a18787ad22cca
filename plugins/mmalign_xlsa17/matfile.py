"""A MATLAB file, and getters that check what they give."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat, whosmat

from mmalign import Floats, Indices, MmalignError, did_you_mean


@dataclass(frozen=True)
class MatFile:
    """The wanted keys of a MATLAB file; every getter raises MmalignError, naming file and key."""

    path: Path
    values: Mapping[str, Any]
    held: tuple[str, ...]
    digest: str

    @classmethod
    def read(cls, path: Path, keys: Sequence[str]) -> MatFile:
        """Read these keys, as far as the file has them; ``held`` are all that it has."""
        try:
            with path.open("rb") as file, warnings.catch_warnings():
                # scipy warns of doubled variables; what matters is checked key by key.
                warnings.simplefilter("ignore")
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                # scipy reads numbers, texts and cells, and unpickles nothing. A file cut short
                # or damaged while compressed raises; altered type codes in an uncompressed
                # one may still crash scipy (scipy/scipy#25349).
                values = loadmat(file, variable_names=keys)
                whole = all(key in values for key in keys)
                held = () if whole else tuple(name for name, *_ in whosmat(file))
        except NotImplementedError:
            raise MmalignError(
                f"{path}: a MATLAB v7.3 (HDF5) file; save it again in MATLAB with the option '-v7'"
            ) from None
        # A damaged file makes scipy raise nearly anything; none of it is a bug of ours.
        except Exception as error:
            said = " ".join(str(error).split()) or type(error).__name__
            sound = isinstance(error, (PermissionError, MemoryError))
            wrong = "cannot be read" if sound else "damaged, or no MATLAB file"
            raise MmalignError(f"{path}: {wrong}: {said}") from None
        return cls(path, values, held, digest)

    def error(self, key: str, wrong: str) -> MmalignError:
        """The error that this key is wrong."""
        return MmalignError(f"{self.path}: '{key}' {wrong}")

    def get(self, key: str) -> np.ndarray:
        """The array of this key, which must be there and not be empty."""
        if key not in self.values:
            raise self.error(key, f"is missing; {did_you_mean(key, self.held)}")
        value = np.asarray(self.values[key])
        if value.size == 0:
            raise self.error(key, "is empty")
        return value

    def matrix(self, key: str) -> Floats:
        """A real matrix, transposed to one row a column of the file, float32."""
        value = self.get(key)
        if value.dtype.kind not in "fiub" or value.ndim != 2:
            raise self.error(key, f"is {value.dtype} {value.shape}, not a matrix of real numbers")
        wrong = ~np.isfinite(value)
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            raise self.error(
                key,
                f"holds {int(wrong.sum())} NaN or infinite numbers, the first in row {row + 1},"
                f" column {column + 1}",
            )
        # A float64 beyond float32's range becomes infinite, which View refuses.
        with np.errstate(over="ignore"):
            matrix: Floats = np.ascontiguousarray(value.T, dtype=np.float32)
        if not np.isfinite(matrix).all():
            raise self.error(key, "holds numbers beyond the range of float32")
        return matrix

    def texts(self, key: str, of: str) -> tuple[str, ...]:
        """Cells of one text each, without the spaces around."""
        names = []
        for cell in self.get(key).ravel():
            text = np.asarray(cell).ravel()
            if text.size != 1 or text.dtype.kind != "U":
                raise self.error(key, f"holds something other than one text a {of}")
            names.append(str(text[0]).strip())
        return tuple(names)

    def indices(self, key: str, top: int, of: str) -> Indices:
        """Whole numbers from 1 to ``top``, as indices from 0."""
        value = self.get(key)
        # NaN differs from itself.
        if value.dtype.kind not in "fiu" or (np.trunc(value) != value).any():
            raise self.error(key, "holds something other than whole numbers")
        if np.isinf(value).any():
            raise self.error(key, "holds an infinite number")
        if value.size != max(value.shape):
            raise self.error(key, f"is {value.shape}, not one row or one column")
        low, high = value.min(), value.max()
        if low < 1 or high > top:
            raise self.error(
                key, f"reaches from {low:g} to {high:g}, but there are {top} {of} (counted from 1)"
            )
        return value.ravel().astype(np.int64) - 1
