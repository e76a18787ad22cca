"""Features in a .parquet file: columns of numbers, or one column of lists."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmalign import MmalignError


def read_parquet(path: Path, called: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """The numbers, (rows, dim), an empty cell as NaN, and names from a column so ``called``.

    Raises MmalignError for a file that is damaged or holds anything else.
    """
    try:
        table = pq.ParquetFile(path, memory_map=True).read()
        names = next((name for name in called if name in table.column_names), None)
        others = [
            name
            for name in table.column_names
            if name != names and not name.startswith("__index_level_")  # pandas' row numbers
        ]
        lists = [name for name in others if _is_list(table.schema.field(name).type)]
        if len(lists) == 1 and len(others) == 1:
            values = _rows(path, table.column(lists[0]))
        else:
            values = _columns(path, table, others)
        texts = () if names is None else _texts(path, table.column(names), names)
    except MmalignError:
        raise
    except Exception as error:  # a damaged file makes pyarrow raise nearly anything
        said = " ".join(str(error).split()) or type(error).__name__
        raise MmalignError(f"{path.name}: not readable as parquet: {said}") from None
    return values, texts


def _is_list(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _numbers(array: Any) -> np.ndarray:
    """Numbers as floats, an empty cell as NaN."""
    kind = np.float32 if pa.types.is_float32(array.type) else np.float64
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


def _rows(path: Path, column: Any) -> np.ndarray:
    """Lists of equal length; an empty cell is a row of NaN."""
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # no chunk at all
        raise MmalignError(f"{path.name}: has no row")
    if not _is_number(array.type.value_type):
        raise MmalignError(f"{path.name}: its lists hold {array.type.value_type}, no numbers")
    there = np.asarray(array.is_valid())
    lengths = np.unique([len(row) for row in array.drop_null()])
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
