"""A MATLAB file, and getters that check what they give."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmalign import Floats, Indices, MmalignError, did_you_mean
from mmalign_xlsa17.level5 import DamagedError, Other, OtherVersionError, Value, variables


@dataclass(frozen=True)
class MatFile:
    """The wanted keys of a MATLAB file; every getter raises MmalignError, naming file and key."""

    path: Path
    values: Mapping[str, Value]
    held: tuple[str, ...]
    digest: str

    @classmethod
    def read(cls, path: Path, keys: Sequence[str]) -> MatFile:
        """Read these keys, as far as the file has them; ``held`` are all that it has."""
        values: dict[str, Value] = {}
        held: dict[str, None] = {}
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                for name, value in variables(file, set(keys)):
                    held[name] = None
                    if value is not None:
                        values.setdefault(name, value)
        except OtherVersionError as error:
            raise MmalignError(f"{path}: {error}; save it again with the option '-v7'") from None
        except (DamagedError, zlib.error) as error:
            raise MmalignError(f"{path}: damaged, or no MATLAB file: {error}") from None
        except (OSError, MemoryError) as error:
            said = getattr(error, "strerror", None) or "it needs more memory than there is"
            raise MmalignError(f"{path}: cannot be read: {said}") from None
        except MmalignError as error:
            raise MmalignError(f"{path}: {error}") from None
        return cls(path, values, tuple(held), digest)

    def error(self, key: str, wrong: str) -> MmalignError:
        """The error that this key is wrong."""
        return MmalignError(f"{self.path}: '{key}' {wrong}")

    def get(self, key: str) -> Value:
        """What this key holds, which must be there and not be empty."""
        if key not in self.values:
            raise self.error(key, f"is missing; {did_you_mean(key, self.held)}")
        value = self.values[key]
        if not isinstance(value, Other) and not (
            value.size if isinstance(value, np.ndarray) else value
        ):
            raise self.error(key, "is empty")
        return value

    def matrix(self, key: str) -> Floats:
        """A real matrix, transposed to one row a column of the file, float32."""
        value = self.get(key)
        if not isinstance(value, np.ndarray):
            kind = value.kind if isinstance(value, Other) else "texts"
            raise self.error(key, f"is {kind}, not a matrix of real numbers")
        if value.ndim != 2:
            raise self.error(key, f"is {value.dtype} {value.shape}, not a matrix of real numbers")
        wrong = ~np.isfinite(value)
        if wrong.any():
            row, column = np.unravel_index(int(wrong.argmax()), wrong.shape)
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
        value = self.get(key)
        rows = [(each,) for each in value] if isinstance(value, tuple) else value
        names = []
        for row in rows if isinstance(rows, list) else (rows,):
            if not isinstance(row, tuple) or len(row) != 1:
                raise self.error(key, f"holds something other than one text a {of}")
            names.append(row[0].strip())
        return tuple(names)

    def indices(self, key: str, top: int, of: str) -> Indices:
        """Whole numbers from 1 to ``top``, as indices from 0."""
        value = self.get(key)
        # NaN differs from itself.
        if not isinstance(value, np.ndarray) or (np.trunc(value) != value).any():
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
