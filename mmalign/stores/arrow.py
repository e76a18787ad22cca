"""Rows of a Hugging Face data set that was saved to disk, or of an Arrow file: batch by batch.

Such a folder holds Arrow files and a list of them, and needs pyarrow alone to be read. The
files are read by position and not mapped, so that what was read does not stay resident.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from mmalign.arrays import Floats, Indices
from mmalign.errors import MmalignError
from mmalign.stored import Store
from mmalign.stores.parquet import HELD, MOST, is_list, rows_of_lists

STATE = "state.json"  # how a saved data set is recognised; it lists the files
COLUMN = "features"


class Place(NamedTuple):
    """Where a batch of rows lies: its file and its first byte there."""

    file: Path
    offset: int


class Batches(Store):
    """A saved data set's column of lists: "features", or the only one.

    Opening it reads through the files once, since nothing else says where a batch begins.
    Raises MmalignError for what is no such folder, and for batches too large to be held.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.lock = path, threading.Lock()
        self.held: dict[int, Floats] = {}
        try:
            self.files = saved_files(path)
            self.state = [(each.stat().st_size, each.stat().st_mtime_ns) for each in self.files]
            counts = self._looked_through()
        except (OSError, pa.ArrowException, ValueError, KeyError, TypeError) as error:
            said = getattr(error, "strerror", None) or " ".join(str(error).split())
            raise MmalignError(f"{path}: not readable as a saved data set: {said}") from None
        if not sum(counts):
            raise MmalignError(f"{path}: has no row")
        self.edges = np.cumsum([0, *counts])
        first = self._batch(0)
        self.shape, self.kind = (int(self.edges[-1]), first.shape[1]), "arrow"
        self.grain = max(counts)
        if 4 * self.grain * self.shape[1] > MOST:
            raise MmalignError(
                f"{path}: has batches of {self.grain:,} rows, too large to be held; save it with"
                " a smaller writer_batch_size"
            )

    def read(self, rows: Indices, out: Floats | None = None) -> Floats:
        """These rows, out of as many batches as they lie in."""
        out = np.empty((len(rows), self.shape[1]), np.float32) if out is None else out
        batches = np.searchsorted(self.edges, rows, side="right") - 1
        with self.lock:
            for batch in np.unique(batches):
                here = batches == batch
                out[here] = self._kept(int(batch))[rows[here] - self.edges[batch]]
        return out

    def stamp(self) -> str:
        """Path, and size and time of change of each file."""
        return repr((str(self.path.absolute()), self.state))

    def _kept(self, batch: int) -> Floats:
        if batch not in self.held:
            place = self.places[batch]
            try:
                stat = place.file.stat()
                if (stat.st_size, stat.st_mtime_ns) != self.state[self.files.index(place.file)]:
                    raise MmalignError(f"{place.file}: has changed while it was read")
                values = self._batch(batch)
            except (OSError, pa.ArrowException) as error:
                raise MmalignError(f"{place.file}: cannot be read: {error}") from None
            if values.shape[1] != self.shape[1]:
                row = int(self.edges[batch])
                raise MmalignError(
                    f"{self.path}: rows from {row} on have {values.shape[1]} numbers"
                )
            while len(self.held) >= HELD:
                self.held.pop(next(iter(self.held)))
            self.held[batch] = values
        return self.held[batch]

    def _batch(self, batch: int) -> Floats:
        place = self.places[batch]
        with pa.OSFile(str(place.file)) as file:
            file.seek(place.offset)
            found = pa.ipc.read_record_batch(pa.ipc.read_message(file), self.schema)
        column = pa.chunked_array([found.column(self.column)])
        with np.errstate(over="ignore"):  # what overflows is infinite, and refused later
            values: Floats = rows_of_lists(self.path, column).astype(np.float32, copy=False)
        return values

    def _looked_through(self) -> list[int]:
        """Find every batch; how many rows each has."""
        self.places: list[Place] = []
        counts = []
        for path in self.files:
            with pa.OSFile(str(path)) as file:
                self.schema = pa.ipc.read_schema(pa.ipc.read_message(file))
                self.column = _column(self.schema)
                size = file.size()
                while file.tell() < size:
                    place = Place(path, file.tell())
                    message: Any = _message(file)
                    if message is None:
                        break
                    batch = pa.ipc.read_record_batch(message, self.schema)
                    if len(batch):
                        self.places.append(place)
                        counts.append(len(batch))
        return counts


def _message(file: Any) -> Any:
    """The next message; None at the end of the stream."""
    try:
        return pa.ipc.read_message(file)
    except EOFError:
        return None


def saved_files(path: Path) -> list[Path]:
    """The Arrow files of a saved data set, in order. Raises ValueError for a wrong list."""
    state = json.loads((path / STATE).read_text(encoding="utf-8"))
    files = [path / each["filename"] for each in state["_data_files"]]
    if not files or any(each.parent != path for each in files):
        raise ValueError(f"{STATE} lists no files of this folder")
    return files


def _column(schema: pa.Schema) -> str:
    lists = [field.name for field in schema if is_list(field.type)]
    if COLUMN in lists or len(lists) == 1:
        return COLUMN if COLUMN in lists else lists[0]
    raise ValueError(f"{len(lists)} columns of lists; one was expected, or one called '{COLUMN}'")
