"""Features in a .parquet file: columns of numbers, or one column of lists; whole or by groups."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmalign.arrays import Floats, Indices
from mmalign.errors import MmalignError
from mmalign.memory import refuse_too_large
from mmalign.stored import Store
from mmalign.stores.footer import claims

NAMES = ("sample", "name")  # what a column of names is called
MOST = 2**28  # bytes that a row group may take as float32
HELD = 2  # row groups kept decoded: neighbouring rows may lie on both sides of an edge


def read_parquet(path: Path, called: Sequence[str] = NAMES) -> tuple[np.ndarray, tuple[str, ...]]:
    """The numbers, (rows, dim), an empty cell as NaN, and names from a column so ``called``.

    Raises MmalignError for a file that is damaged or holds anything else.
    """
    with _reading(path), open_parquet(path, called) as file:
        names, others = _called(file.schema_arrow.names, called)
        _check_types(path, file.schema_arrow, others)
        refuse_bombs(path, file, whole=True)
        table = file.read()
        values = _values(path, table, others)
        texts = () if names is None else _texts(path, table.column(names), names)
    return values, texts


def read_parquet_names(path: Path, called: Sequence[str] = NAMES) -> tuple[str, ...]:
    """The names alone; () where no column is so called. Raises MmalignError."""
    with _reading(path), open_parquet(path, called) as file:
        names, _ = _called(file.schema_arrow.names, called)
        if names is None:
            return ()
        refuse_bombs(path, file, whole=False)
        return _texts(path, file.read(columns=[names]).column(names), names)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """A damaged file makes pyarrow raise nearly anything; none of it is a bug of ours."""
    try:
        yield
    except MmalignError:
        raise
    except Exception as error:
        said = getattr(error, "strerror", None) or " ".join(str(error).split())
        said = said[:300] or type(error).__name__
        raise MmalignError(f"{path.name}: not readable as parquet: {said}") from None


def open_parquet(path: Path, called: Sequence[str] = NAMES) -> pq.ParquetFile:
    """The file, which keeps each different name once: a row's may be a megabyte of few bytes."""
    with pq.ParquetFile(path) as file:
        names, _ = _called(file.schema_arrow.names, called)
    return pq.ParquetFile(path, read_dictionary=[] if names is None else [names])


def refuse_bombs(path: Path, file: pq.ParquetFile, whole: bool) -> None:
    """Raises MmalignError where what the file says of itself does not fit into memory.

    Some hundred bytes may stand for billions of numbers. ``whole`` is of all row groups
    together, and otherwise of the largest.
    """
    wide = [f.type.list_size for f in file.schema_arrow if pa.types.is_fixed_size_list(f.type)]
    sizes = [0]
    for group in claims(path):
        claimed = sum(max(8 * n, size) for n, size in zip(group.values, group.bytes, strict=True))
        sizes.append(max(claimed, 8 * group.rows * sum(wide)))
    refuse_too_large(
        sum(sizes) if whole else max(sizes),
        f"{path.name}: what it says to hold",
        "write it again in smaller row groups (row_group_size), or as .npy",
    )


class Groups(Store):
    """A file's rows, a row group at a time.

    A row is as far away as its group is large, so that small groups make random rows cheap.
    Raises MmalignError for a file that is no such thing, or has groups too large to be held.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = threading.Lock()
        self.held: OrderedDict[int, Floats] = OrderedDict()
        with _reading(path):
            stat = path.stat()
            self.state = (stat.st_size, stat.st_mtime_ns)
            self.file = pq.ParquetFile(path)
            about = self.file.metadata
            counts = [about.row_group(place).num_rows for place in range(about.num_row_groups)]
            _, self.columns = _called(self.file.schema_arrow.names, NAMES)
            _check_types(path, self.file.schema_arrow, self.columns)
            self.edges = np.cumsum([0, *counts])
            if not counts or min(counts) < 0 or self.edges[-1] == 0:
                raise MmalignError(f"{path.name}: has no row")
            refuse_bombs(path, self.file, whole=False)
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
        with _reading(self.path):
            stat = self.path.stat()
            if (stat.st_size, stat.st_mtime_ns) != self.state:
                raise MmalignError(f"{self.path.name}: has changed while it was read")
            table = self.file.read_row_group(group, columns=self.columns)
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
    return _columns(table, others)


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


def _check_types(path: Path, schema: pa.Schema, names: Sequence[str]) -> None:
    """Raises MmalignError for columns that hold no numbers, before any of them is read."""
    if len(set(names)) < len(names):
        raise MmalignError(f"{path.name}: two of its columns have one name; rename one")
    if len(names) == 1 and is_list(kind := schema.field(names[0]).type):
        if not _is_number(kind.value_type):
            raise MmalignError(f"{path.name}: its lists hold {kind.value_type}, no numbers")
        return
    wrong = [name for name in names if not _is_number(schema.field(name).type)]
    if wrong or not names:
        said = f"its column '{wrong[0]}' is {schema.field(wrong[0]).type}" if wrong else ""
        raise MmalignError(
            f"{path.name}: {said or 'it has no column of numbers'}; give columns of numbers, or"
            " one of lists of equal length, and names in a column 'sample'"
        )


def _columns(table: pa.Table, names: Sequence[str]) -> np.ndarray:
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
    # A row of many numbers, and millions of empty ones, which take nothing in the file.
    refuse_too_large(
        8 * len(array) * int(lengths[0]), f"{path.name}: its rows", "write fewer rows together"
    )
    numbers = _numbers(array.drop_null().flatten()).reshape(int(there.sum()), int(lengths[0]))
    values = np.full((len(array), int(lengths[0])), np.nan, dtype=numbers.dtype)
    values[there] = numbers
    return values


def _texts(path: Path, column: Any, name: str) -> tuple[str, ...]:
    found = texts_of(column)
    wrong = next((row for row, each in enumerate(found) if not isinstance(each, str)), None)
    if wrong is not None:
        raise MmalignError(
            f"{path.name}: row {wrong} (from 0) of its column '{name}' is"
            f" {repr(found[wrong])[:80]}; names are texts"
        )
    return tuple(found)


def texts_of(column: Any) -> list[Any]:
    """What stands in each row, the same object for what is the same in a dictionary."""
    found: list[Any] = []
    for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
        if pa.types.is_dictionary(chunk.type):
            texts = chunk.dictionary.to_pylist()
            found += [None if at is None else texts[at] for at in chunk.indices.to_pylist()]
        else:
            found += chunk.to_pylist()
    return found
