"""Rows of numbers that stay in their file: read when asked for, and scaled as they are read."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mmalign.arrays import Floats, Indices
from mmalign.errors import MmalignError
from mmalign.memory import refuse_too_large

SAMPLES = 64  # rows that a fingerprint reads


class Store(ABC):
    """A file of rows, (rows, dim), each of which can be read by its number.

    ``kind`` is the type of the numbers in the file. ``grain`` rows are read together whatever
    is asked for: 1 for a file of plain numbers, a row group's size for parquet. A store may be
    read by several threads.
    """

    path: Path
    shape: tuple[int, int]
    kind: str
    grain: int = 1

    @abstractmethod
    def read(self, rows: Indices, out: Floats | None = None) -> Floats:
        """These rows as float32, in this order, whatever they hold: NaN and infinity too.

        They are written into ``out``, (rows, dim), where it is given, and into a new array
        where not. Raises MmalignError for a file that has changed since it was opened.
        """

    @abstractmethod
    def stamp(self) -> str:
        """What tells this file from another, and from itself after a change, without reading."""

    def fingerprint(self) -> str:
        """SHA-256 of the ``stamp``, the shape, and some rows spread over the file.

        The whole content would take minutes to read where there are 40 GB of it.
        """
        rows = np.unique(np.linspace(0, self.shape[0] - 1, SAMPLES).astype(np.int64))
        digest = hashlib.sha256(repr((self.stamp(), self.shape, self.kind)).encode())
        digest.update(self.read(rows).tobytes())
        return digest.hexdigest()

    def __deepcopy__(self, memo: object) -> Store:
        return self  # nothing of it ever changes

    def __len__(self) -> int:
        return self.shape[0]


class Scales(Protocol):
    """What rows go through as they are read."""

    def put_on(self, values: Floats) -> None:
        """Change these rows in place, (rows, dim)."""
        ...

    def tobytes(self) -> bytes:
        """Its numbers, for a fingerprint."""
        ...


@dataclass(frozen=True, eq=False)
class Stored:
    """Some rows of a store as float32, (rows, dim), scaled as they are read.

    It stands where an array does: it has a ``shape`` and a length, ``stored[rows]`` reads
    these rows, and ``numpy.asarray`` reads them all, if the memory has room. ``take`` reads
    nothing. ``rows`` are the store's, all of them by default, 8 bytes each; with ``lacking``,
    a row that is NaN throughout is one that is not there, and so is row -1: they are NaN as
    they are, and zeros once they are scaled.
    """

    store: Store
    rows: Indices | None = None
    scalings: tuple[Scales, ...] = ()
    lacking: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, dim)."""
        return (len(self), self.store.shape[1])

    @property
    def ndim(self) -> int:
        """Two axes."""
        return 2

    @property
    def dtype(self) -> np.dtype[np.float32]:
        """What is read is float32, whatever the file holds."""
        return np.dtype(np.float32)

    @property
    def nbytes(self) -> int:
        """Bytes that the rows would take in memory."""
        return 4 * self.shape[0] * self.shape[1]

    def __len__(self) -> int:
        return len(self.store) if self.rows is None else len(self.rows)

    def __getitem__(self, rows: Any) -> Floats:
        """These rows, read: a slice, indices, a mask, or one row's number.

        Raises MmalignError, naming the row, for NaN and infinity, and for a file that has
        changed.
        """
        places = self._places(rows)
        if places.ndim == 0:
            one: Floats = self._read(places[None])[0]
            return one
        return self._read(places)

    def take(self, rows: Indices) -> Stored:
        """These rows, unread."""
        return replace(self, rows=self._places(rows))

    def scaled(self, scaling: Scales) -> Stored:
        """The same rows, which go through this too when they are read."""
        return replace(self, scalings=(*self.scalings, scaling))

    def in_order(self, rows: Indices) -> Indices:
        """These rows in the order in which they lie in the file."""
        if self.rows is None:
            return np.sort(rows)
        ordered: Indices = rows[np.argsort(self.rows[rows], kind="stable")]
        return ordered

    def parts(self, size: int) -> Iterator[Floats]:
        """All rows in order, ``size`` at a time."""
        for start in range(0, len(self), size):
            yield self[start : start + size]

    def fingerprint(self) -> str:
        """SHA-256 of the store's fingerprint, the rows' numbers, and what they go through."""
        digest = hashlib.sha256(self.store.fingerprint().encode())
        digest.update(b"" if self.rows is None else self.rows.tobytes())
        for scaling in self.scalings:
            digest.update(scaling.tobytes())
        return digest.hexdigest()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All rows, read. Raises MmalignError where they would fill the memory."""
        refuse_too_large(
            self.nbytes,
            f"{self.store.path}: {len(self):,} rows of {self.shape[1]:,} numbers, read whole,",
            "what asks for them is not made for rows that stay on disk: take the method"
            " 'aligned-vae', which is, or fewer rows",
        )
        return self[:].astype(dtype or np.float32, copy=False)

    def _places(self, rows: Any) -> Indices:
        """The store's numbers of these rows."""
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            places = np.arange(start, stop, step)
            return places if self.rows is None else self.rows[rows]
        given = np.asarray(rows)
        if given.dtype == np.bool_:
            given = np.flatnonzero(given)
        if self.rows is not None:
            return np.asarray(self.rows[given])
        count = len(self.store)
        if given.size and not (-count <= given.min() and given.max() < count):
            raise IndexError(f"a row is none of the {count} of {self.store.path}")
        return np.where(given < 0, given + count, given).astype(np.int64)

    def fill(self, out: Floats, rows: Indices) -> None:
        """Read these rows into ``out``, (rows, dim). Raises MmalignError as reading does."""
        self._read(self._places(rows), out)

    def _read(self, places: Indices, out: Floats | None = None) -> Floats:
        x = self.store.read(np.maximum(places, 0) if self.lacking else places, out)
        if self.lacking:
            x[places < 0] = np.nan
        absent = self._absent(x, places)
        for scaling in self.scalings:
            scaling.put_on(x)
        if self.scalings and len(absent):
            x[absent] = 0
        return x

    def _absent(self, x: Floats, places: Indices) -> Indices:
        """Which rows are not there. Raises MmalignError for the others that are not finite."""
        with np.errstate(over="ignore", invalid="ignore"):
            # One number a row tells, at the speed of the memory; a sum may overflow besides.
            suspect = np.flatnonzero(~np.isfinite(x.sum(axis=1)))
        if not len(suspect):
            return suspect
        absent = np.isnan(x[suspect]).all(axis=1)
        wrong = ~np.isfinite(x[suspect]).all(axis=1)
        wrong &= ~absent if self.lacking else True
        if wrong.any():
            row = int(places[suspect[np.argmax(wrong)]])
            raise MmalignError(
                f"{self.store.path}: row {row} holds NaN or infinity; mend it"
                + (", or make the whole row NaN" if self.lacking else "")
            )
        found: Indices = suspect[absent]
        return found


def joined(one: Floats | Stored, other: Floats | Stored) -> Floats | Stored:
    """The rows of one, then those of the other; unread where both come from one store."""
    if (
        isinstance(one, Stored)
        and isinstance(other, Stored)
        and one.store is other.store
        and one.scalings == other.scalings
    ):
        rows = [np.arange(len(each)) if each.rows is None else each.rows for each in (one, other)]
        return replace(one, rows=np.concatenate(rows), lacking=one.lacking or other.lacking)
    return np.concatenate([np.asarray(one), np.asarray(other)])
