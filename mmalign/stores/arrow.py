"""Rows of a Hugging Face data set that was saved to disk, or of an Arrow file: batch by batch.

Such a folder holds Arrow files and a list of them, and needs pyarrow alone to be read. The
files are read by position and not mapped, so that what was read does not stay resident.
"""

from __future__ import annotations

import struct
import threading
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from mmalign.arrays import Floats, Indices
from mmalign.errors import MmalignError
from mmalign.jsonfile import read_json
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
            if not sum(counts):
                raise MmalignError(f"{path}: has no row")
            self.edges = np.cumsum([0, *counts])
            first = self._batch(0)
        except MmalignError:
            raise
        # A damaged file makes pyarrow raise nearly anything; none of it is a bug of ours.
        except Exception as error:
            said = getattr(error, "strerror", None) or " ".join(str(error).split())
            said = said[:300] or type(error).__name__
            raise MmalignError(f"{path}: not readable as a saved data set: {said}") from None
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
            except (OSError, pa.ArrowException, ValueError) as error:
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
        # Lengths and offsets are as the file says, and may lead anywhere.
        found.column(self.column).validate(full=True)
        column = pa.chunked_array([found.column(self.column)])
        with np.errstate(over="ignore"):  # what overflows is infinite, and refused later
            values: Floats = rows_of_lists(self.path, column).astype(np.float32, copy=False)
        return values

    def _looked_through(self) -> list[int]:
        """Find every batch; how many rows each has."""
        self.places: list[Place] = []
        counts: list[int] = []
        self.schema: pa.Schema
        for path in self.files:
            with pa.OSFile(str(path)) as file:
                schema = pa.ipc.read_schema(_of_type(pa.ipc.read_message(file), "schema"))
                if counts and not schema.equals(self.schema):
                    raise ValueError(f"{path.name} has other columns than the files before")
                self.schema, self.column = schema, _column(schema)
                size = file.size()
                while file.tell() < size:
                    place = Place(path, file.tell())
                    message: Any = _message(file)
                    if message is None:
                        break
                    if _is_packed(message.metadata):
                        raise ValueError(
                            f"{path.name} is compressed, and may unpack to anything; save it again"
                            " with save_to_disk, which does not compress"
                        )
                    batch = pa.ipc.read_record_batch(_of_type(message, "record batch"), self.schema)
                    if len(batch):
                        self.places.append(place)
                        counts.append(len(batch))
        return counts


def _of_type(message: Any, kind: str) -> Any:
    """The message. Raises ValueError for another type, which would crash pyarrow."""
    if message.type != kind:
        raise ValueError(f"a {kind} was expected, and a {message.type} is there")
    return message


def _message(file: Any) -> Any:
    """The next message; None at the end of the stream."""
    try:
        return pa.ipc.read_message(file)
    except EOFError:
        return None


def saved_files(path: Path) -> list[Path]:
    """The Arrow files of a saved data set, in order. Raises ValueError for a wrong list."""
    try:
        state = read_json(path / STATE)
    except MmalignError as error:
        raise ValueError(str(error)) from None
    files = [path / each["filename"] for each in state["_data_files"]]
    here = path.resolve()
    if not files or any(each.resolve().parent != here or not each.is_file() for each in files):
        raise ValueError(f"{STATE} lists no files of this folder, or links that lead out of it")
    return files


def _is_packed(metadata: Any) -> bool:
    """Whether a message's body is compressed; pyarrow does not say so.

    The message is a flatbuffer, which pyarrow has checked: field 2 is the record batch, and
    that one's field 3 the compression (Message.fbs of the Arrow format).
    """
    data = memoryview(metadata)

    def field(table: int, number: int) -> int:
        fields = table - int(struct.unpack_from("<i", data, table)[0])
        size = struct.unpack_from("<H", data, fields)[0]
        offset = struct.unpack_from("<H", data, fields + 4 + 2 * number)[0]
        return int(offset) if 4 + 2 * number < size else 0

    root = int(struct.unpack_from("<I", data, 0)[0])
    place = field(root, 2)
    if not place:
        return False
    header = root + place
    return field(header + int(struct.unpack_from("<I", data, header)[0]), 3) != 0


def _column(schema: pa.Schema) -> str:
    lists = [field.name for field in schema if is_list(field.type)]
    if COLUMN in lists or len(lists) == 1:
        return COLUMN if COLUMN in lists else lists[0]
    raise ValueError(f"{len(lists)} columns of lists; one was expected, or one called '{COLUMN}'")
