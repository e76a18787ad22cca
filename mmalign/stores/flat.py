"""Plain numbers in a file, row behind row: read by position, never mapped.

A mapped file counts as resident memory, page by page, until the system takes it away; what is
read by position is in the page cache, which is nobody's.
"""

from __future__ import annotations

import os
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np

from mmalign.arrays import Floats, Indices
from mmalign.errors import MmalignError
from mmalign.stored import Store

SPAN = 2**22  # bytes read at once, but for the gaps
GAP = 4  # rows that are read and left out, where a further call would cost more


def convert(held: np.ndarray, out: Floats) -> None:
    """Write numbers of any type as float32; what overflows is infinite, and refused later."""
    torch = sys.modules.get("torch")  # its half precision is exact too, and seven times as fast
    if torch is not None and held.dtype == np.float16 and held.dtype.isnative:
        torch.from_numpy(out).copy_(torch.from_numpy(held))
        return
    with np.errstate(over="ignore"):
        out[:] = held


class Flat(Store):
    """Rows of numbers from ``offset`` bytes on, without gaps.

    The file stays open: one that is replaced goes on being read as it was, and one that is
    changed or cut off is noticed. Raises MmalignError where it cannot be opened.
    """

    def __init__(
        self, path: Path, offset: int, shape: tuple[int, int], dtype: np.dtype[np.generic]
    ) -> None:
        self.path, self.offset, self.shape, self.number = path, offset, shape, dtype
        self.kind = str(dtype)
        self.as_is = dtype == np.float32 and dtype.isnative
        self.bytes = dtype.itemsize * shape[1]  # of a row
        self.file = self._opened()
        held = os.fstat(self.file)
        self.state = (held.st_size, held.st_mtime_ns)
        if held.st_size < offset + shape[0] * self.bytes:
            raise MmalignError(f"{path}: is cut off: it is smaller than its own header says")

    def read(self, rows: Indices, out: Floats | None = None) -> Floats:
        """These rows; neighbours are read together."""
        order = None if len(rows) < 2 or (np.diff(rows) >= 0).all() else np.argsort(rows)
        wanted = rows if order is None else rows[order]
        out = np.empty((len(rows), self.shape[1]), np.float32) if out is None else out
        for start, stop in self._runs(wanted):
            first, last = int(wanted[start]), int(wanted[stop - 1])
            neighbours = bool((np.diff(wanted[start:stop]) == 1).all())
            if neighbours and order is None and self.as_is:
                self._fill(first, out[start:stop].view(np.uint8).reshape(-1))
                continue
            held = self._span(first, last + 1)
            if not neighbours:
                held = held[wanted[start:stop] - first]
            if order is None:
                convert(held, out[start:stop])
            else:
                with np.errstate(over="ignore"):
                    out[order[start:stop]] = held
        return out

    def stamp(self) -> str:
        """Path, size and time of change."""
        return repr((str(self.path.absolute()), *self.state))

    def _runs(self, rows: Indices) -> list[tuple[int, int]]:
        """Where each stretch of neighbouring rows begins and ends among these."""
        cuts = np.flatnonzero(np.diff(rows) > GAP) + 1
        edges = [0, *cuts.tolist(), len(rows)] if len(rows) else [0]
        most = max(1, SPAN // self.bytes)
        return [
            (part, min(part + most, stop))
            for start, stop in pairwise(edges)
            for part in range(start, stop, most)
        ]

    def _span(self, start: int, stop: int) -> np.ndarray:
        """Rows from ``start`` to ``stop`` as the file has them."""
        raw = np.empty((stop - start) * self.bytes, np.uint8)
        self._fill(start, raw)
        return raw.view(self.number).reshape(stop - start, self.shape[1])

    def _fill(self, start: int, raw: np.ndarray) -> None:
        """Read bytes from a row on. Raises MmalignError for a file that is not what it was."""
        held = os.fstat(self.file)
        if (held.st_size, held.st_mtime_ns) != self.state:
            raise MmalignError(
                f"{self.path}: has changed while it was read: {self.state[0]:,} bytes then,"
                f" {held.st_size:,} now; let nothing write to it, and start again"
            )
        view, done = memoryview(raw.data), 0
        while done < len(view):
            try:
                got = os.preadv(self.file, [view[done:]], self.offset + start * self.bytes + done)
            except OSError as error:
                raise MmalignError(f"{self.path}: cannot be read: {error.strerror}") from None
            if got == 0:
                raise MmalignError(f"{self.path}: is cut off in row {start + done // self.bytes}")
            done += got

    def _opened(self) -> int:
        try:
            return os.open(self.path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        except OSError as error:
            raise MmalignError(f"{self.path}: cannot be opened: {error.strerror}") from None

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), (self.path, self.offset, self.shape, self.number)

    def __del__(self) -> None:
        if hasattr(self, "file"):
            os.close(self.file)
