"""Features in a .parquet file: columns of numbers, or one column of lists; whole or by groups."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmalign.arrays import Floats, Indices
from mmalign.errors import MmalignError
from mmalign.stored import Store

NAMES = ("sample", "name")  # what a column of names is called
MOST = 2**28  # bytes that a row group may take as float32
HELD = 2  # row groups kept decoded: neighbouring rows may lie on both sides of an edge


def read_parquet(path: Path, called: Sequence[str] = NAMES) -> tuple[np.ndarray, tuple[str, ...]]:
    """The numbers, (rows, dim), an empty cell as NaN, and names from a column so ``called``.

    Raises MmalignError for a file that is damaged or holds anything else.
    """
    try:
        table = pq.ParquetFile(path, memory_map=True).read()
        names, others = _called(table.column_names, called)
        values = _values(path, table, others)
        texts = () if names is None else _texts(path, table.column(names), names)
    except MmalignError:
        raise
    except Exception as error:  # a damaged file makes pyarrow raise nearly anything
        said = " ".join(str(error).split()) or type(error).__name__
        raise MmalignError(f"{path.name}: not readable as parquet: {said}") from None
    return values, texts


def read_parquet_names(path: Path, called: Sequence[str] = NAMES) -> tuple[str, ...]:
    """The names alone; () where no column is so called. Raises MmalignError."""
    try:
        with pq.ParquetFile(path) as file:
            names, _ = _called(file.schema_arrow.names, called)
            table = file.read(columns=[names]) if names else None
    except (OSError, pa.ArrowException) as error:
        raise MmalignError(f"{path.name}: not readable as parquet: {error}") from None
    return () if table is None or names is None else _texts(path, table.column(names), names)


class Groups(Store):
    """A file's rows, a row group at a time.

    A row is as far away as its group is large, so that small groups make random rows cheap.
    Raises MmalignError for a file that is no such thing, or has groups too large to be held.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = threading.Lock()
        self.held: OrderedDict[int, Floats] = OrderedDict()
        try:
            stat = path.stat()
            self.state = (stat.st_size, stat.st_mtime_ns)
            self.file = pq.ParquetFile(path)
            about = self.file.metadata
            counts = [about.row_group(place).num_rows for place in range(about.num_row_groups)]
        except (OSError, pa.ArrowException) as error:
            said = getattr(error, "strerror", None) or " ".join(str(error).split())
            raise MmalignError(f"{path.name}: not readable as parquet: {said}") from None
        _, self.columns = _called(self.file.schema_arrow.names, NAMES)
        self.edges = np.cumsum([0, *counts])
        if self.edges[-1] == 0:
            raise MmalignError(f"{path.name}: has no row")
        first = next(self.file.iter_batches(1, columns=self.columns))
        values = _values(path, pa.Table.from_batches([first]), self.columns)
        self.shape = (int(self.edges[-1]), values.shape[1])
        self.kind, self.grain = str(values.dtype), max(counts)
        if 4 * self.grain * self.shape[1] > MOST:
            most = max(1, MOST // (16 * self.shape[1]))
            raise MmalignError(
                f"{path.name}: has row groups of {self.grain:,} rows, which take"
                f" {4 * self.grain * self.shape[1] / 2**20:,.0f} MiB each; to be read from disk,"
                f" write it with row_group_size={most:,} or less, or as .npy"
            )

    def read(self, rows: Indices, out: Floats | None = None) -> Floats:
        """These rows, out of as many groups as they lie in."""
        out = np.empty((len(rows), self.shape[1]), np.float32) if out is None else out
        groups = np.searchsorted(self.edges, rows, side="right") - 1
        with self.lock:
            for group in np.unique(groups):
                here = groups == group
                out[here] = self._group(int(group))[rows[here] - self.edges[group]]
        return out

    def stamp(self) -> str:
        """Path, size and time of change."""
        return repr((str(self.path.absolute()), *self.state))

    def _group(self, group: int) -> Floats:
        if group in self.held:
            self.held.move_to_end(group)
            return self.held[group]
        try:
            stat = self.path.stat()
            if (stat.st_size, stat.st_mtime_ns) != self.state:
                raise MmalignError(f"{self.path.name}: has changed while it was read")
            table = self.file.read_row_group(group, columns=self.columns)
        except (OSError, pa.ArrowException) as error:
            said = " ".join(str(error).split())
            raise MmalignError(f"{self.path.name}: cannot be read: {said}") from None
        values = _values(self.path, table, self.columns)
        if values.shape != (self.edges[group + 1] - self.edges[group], self.shape[1]):
            raise MmalignError(f"{self.path.name}: row group {group} has rows of another length")
        with np.errstate(over="ignore"):  # what overflows is infinite, and refused later
            self.held[group] = values.astype(np.float32, copy=False)
        if len(self.held) > HELD:
            self.held.popitem(last=False)
        return self.held[group]


def _called(columns: Sequence[str], called: Sequence[str]) -> tuple[str | None, list[str]]:
    """The column of names, and those of numbers."""
    names = next((name for name in called if name in columns), None)
    return names, [
        name
        for name in columns
        if name != names and not name.startswith("__index_level_")  # pandas' row numbers
    ]


def _values(path: Path, table: pa.Table, others: Sequence[str]) -> np.ndarray:
    lists = [name for name in others if is_list(table.schema.field(name).type)]
    if len(lists) == 1 and len(others) == 1:
        return rows_of_lists(path, table.column(lists[0]))
    return _columns(path, table, others)


def is_list(kind: pa.DataType) -> bool:
    """Whether a column of this type holds lists."""
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _numbers(array: Any) -> np.ndarray:
    """Numbers as floats, an empty cell as NaN."""
    kind = (
        np.float32
        if pa.types.is_float32(array.type) or pa.types.is_float16(array.type)
        else np.float64
    )
    found: np.ndarray = array.to_numpy(zero_copy_only=False).astype(kind, copy=False)
    return found


def _columns(path: Path, table: pa.Table, names: Sequence[str]) -> np.ndarray:
    wrong = [name for name in names if not _is_number(table.schema.field(name).type)]
    if wrong or not names:
        said = f"its column '{wrong[0]}' is {table.schema.field(wrong[0]).type}" if wrong else ""
        raise MmalignError(
            f"{path.name}: {said or 'it has no column of numbers'}; give columns of numbers, or"
            " one of lists of equal length, and names in a column 'sample'"
        )
    if len(set(names)) < len(names):
        raise MmalignError(f"{path.name}: two of its columns have one name; rename one")
    wide = any(not pa.types.is_float32(table.schema.field(name).type) for name in names)
    values = np.empty((table.num_rows, len(names)), np.float64 if wide else np.float32)
    for place, name in enumerate(names):
        values[:, place] = _numbers(table.column(name).combine_chunks())
    return values


def rows_of_lists(path: Path, column: Any) -> np.ndarray:
    """Lists of equal length; an empty cell is a row of NaN."""
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # no chunk at all
        raise MmalignError(f"{path.name}: has no row")
    if not _is_number(array.type.value_type):
        raise MmalignError(f"{path.name}: its lists hold {array.type.value_type}, no numbers")
    there = np.asarray(array.is_valid())
    if pa.types.is_fixed_size_list(array.type):
        lengths = np.array([array.type.list_size])
    else:
        lengths = np.unique(np.asarray(array.drop_null().value_lengths()))
    if len(lengths) != 1:
        raise MmalignError(
            f"{path.name}: its lists have {', '.join(map(str, lengths[:5])) or 'no'} numbers;"
            " all rows have as many"
        )
    numbers = _numbers(array.drop_null().flatten()).reshape(-1, int(lengths[0]))
    values = np.full((len(array), int(lengths[0])), np.nan, dtype=numbers.dtype)
    values[there] = numbers
    return values


def _texts(path: Path, column: Any, name: str) -> tuple[str, ...]:
    found = column.to_pylist()
    wrong = next((row for row, each in enumerate(found) if not isinstance(each, str)), None)
    if wrong is not None:
        raise MmalignError(
            f"{path.name}: row {wrong} (from 0) of its column '{name}' is {found[wrong]!r}; names"
            " are texts"
        )
    return tuple(found)
