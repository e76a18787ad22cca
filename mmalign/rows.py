"""Feature rows out of files, a part at a time: .npy, .safetensors and .parquet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmalign.arrays import Floats
from mmalign.errors import MmalignError
from mmalign.npyfile import map_npy
from mmalign.stored import Store
from mmalign.stores import opened

if TYPE_CHECKING:
    import pyarrow as pa

NAMES = ("name", "sample")  # columns of a parquet file that name its rows


@dataclass(frozen=True)
class Part:
    """Some rows of a file, (rows, dim), with their names where the file names its rows."""

    values: Floats
    names: tuple[str, ...] = ()


def named_files(given: Sequence[str], modality: str | None = None) -> dict[Any, Path]:
    """Files by modality, from ``MODALITY=FILE``; a single file without one is under None.

    A lone file belongs to ``modality`` where that is given. Raises MmalignError for several
    files of which one names no modality, and for a modality that is named twice.
    """
    found: dict[Any, Path] = {}
    for each in given:
        name, equals, path = each.partition("=")
        if not equals or Path(each).exists():
            name, path = modality or "", each
        if not name and len(given) > 1:
            raise MmalignError(f"'{each}': of several files each says its modality: NAME={each}")
        if name in found:
            raise MmalignError(f"'{each}': the modality '{name}' has a file already")
        found[name or None] = Path(path)
    return found


def read_parts(path: Path, size: int, lacking: bool = False) -> Iterator[Part]:
    """The rows of a file, ``size`` at a time, as float32; never unpickles.

    A file is .safetensors (its tensor "features", or its only one), .parquet (one column of
    lists, or columns of numbers; a column "name" names the rows), or else .npy. With
    ``lacking``, NaN throughout a row says that it lacks the modality. Raises MmalignError for
    a file that is none of these, that has no row, and for NaN or infinity.
    """
    readers: Mapping[str, Callable[[Path, int], Iterator[Part]]] = {
        ".safetensors": _of_safetensors,
        ".parquet": _of_parquet,
    }
    start, dim = 0, None
    for part in readers.get(path.suffix.lower(), _of_npy)(path, size):
        rows = _finite(path, part.values, start, lacking)
        if dim not in (None, rows.shape[1]):
            raise MmalignError(f"{path}: row {start} has {rows.shape[1]} numbers, others {dim}")
        start, dim = start + len(rows), rows.shape[1]
        yield Part(rows, part.names)
    if start == 0:
        raise MmalignError(f"{path}: (rows, dim) was expected; this has no row")


def alongside(files: Mapping[Any, Iterator[Part]]) -> Iterator[dict[Any, Part]]:
    """Parts of several files of the same rows, by modality.

    Raises MmalignError where one has more rows than another, or names them otherwise.
    """
    start = 0
    for parts in zip_longest(*files.values()):
        counts = [0 if part is None else len(part.values) for part in parts]
        if len(set(counts)) > 1:
            said = ", ".join(
                f"{start + count} of '{name}'" for name, count in zip(files, counts, strict=True)
            )
            raise MmalignError(f"every modality must have the same rows; got {said} or more")
        _same_names([part.names for part in parts if part.names], start)
        start += counts[0]
        yield dict(zip(files, parts, strict=True))


def _same_names(named: Sequence[tuple[str, ...]], start: int) -> None:
    for other in named[1:]:
        for row, (one, two) in enumerate(zip(named[0], other, strict=True), start=start):
            if one != two:
                raise MmalignError(f"row {row} is '{one}' in one file and '{two}' in another")


def _of_npy(path: Path, size: int) -> Iterator[Part]:
    try:
        values: Any = map_npy(path, ".npy numbers")
    except MmalignError as error:
        raise MmalignError(f"{path}: {error}") from None
    if values.ndim == 1:
        values = values[None]
    elif values.flags.c_contiguous and 0 not in values.shape and values.dtype.kind in "fiu":
        values = opened(path).store  # what is mapped would stay resident
    yield from _cut(path, values, values.shape, size)


def _of_safetensors(path: Path, size: int) -> Iterator[Part]:
    from safetensors import safe_open

    from mmalign.featurefile import named_rows

    try:
        with safe_open(path, framework="numpy") as file:
            keys = list(file.keys())
            key = "features" if "features" in keys else keys[0]
            if key != "features" and len(keys) > 1:
                raise MmalignError(
                    f"{path}: holds {len(keys)} tensors, none of them 'features'; which is meant?"
                )
            shape, metadata = tuple(file.get_slice(key).get_shape()), file.metadata() or {}
            names = named_rows(path, metadata, shape[0]) if shape and "names" in metadata else ()
        held = opened(path).store if len(shape) == 2 and 0 not in shape else None
        for start, part in enumerate(_cut(path, held, shape, size)):
            yield Part(part.values, names[start * size : (start + 1) * size])
    except MmalignError:
        raise
    # A damaged file makes the reader raise nearly anything; none of it is a bug of ours.
    except Exception as error:
        said = getattr(error, "strerror", None) or error
        raise MmalignError(f"{path}: not readable as safetensors: {said}") from None


def _cut(path: Path, values: Any, shape: tuple[int, ...], size: int) -> Iterator[Part]:
    """Slices of what has rows, read when their turn comes."""
    if len(shape) != 2 or 0 in shape:
        raise MmalignError(f"{path}: (rows, dim) was expected; this is {shape}")
    for start in range(0, shape[0], size):
        stop = min(start + size, shape[0])
        stored = isinstance(values, Store)
        yield Part(values.read(np.arange(start, stop)) if stored else values[start:stop])


def _of_parquet(path: Path, size: int) -> Iterator[Part]:
    from mmalign.extras import need

    need("sweep", "pyarrow")
    from mmalign.stores.parquet import open_parquet, refuse_bombs

    try:
        with open_parquet(path, NAMES) as file:
            refuse_bombs(path, file, whole=False)
            for batch in file.iter_batches(batch_size=size):
                yield _part_of(path, batch)
    except MmalignError:
        raise
    # A damaged file makes pyarrow raise nearly anything; none of it is a bug of ours.
    except Exception as error:
        said = getattr(error, "strerror", None) or " ".join(str(error).split())[:300]
        raise MmalignError(f"{path}: not readable as parquet: {said}") from None


def _part_of(path: Path, batch: pa.RecordBatch) -> Part:
    """A batch's columns as rows: one column of lists, or one number a column."""
    import pyarrow as pa

    from mmalign.stores.parquet import texts_of

    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    names = next((columns.pop(name) for name in NAMES if name in columns), None)
    lists = [n for n, c in columns.items() if pa.types.is_nested(c.type)]
    if len(columns) == 1 and lists:
        (column,) = columns.values()
        if column.null_count or len(set(column.value_lengths().to_pylist())) != 1:
            raise MmalignError(f"{path}: column '{lists[0]}' must hold lists of one length")
        values = np.asarray(column.flatten()).reshape(len(batch), -1)
    else:
        for name, column in columns.items():
            if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
                raise MmalignError(
                    f"{path}: column '{name}' holds {column.type}; give one column of lists, or"
                    " columns of numbers and a column 'name'"
                )
        if not columns:
            raise MmalignError(f"{path}: has no column of numbers")
        numbers = [c.cast(pa.float64()).to_numpy(zero_copy_only=False) for c in columns.values()]
        values = np.stack(numbers, axis=1)
    said = () if names is None else tuple(str(name) for name in texts_of(names))
    return Part(values, said)


def _finite(path: Path, values: np.ndarray, start: int, lacking: bool) -> Floats:
    """The rows as float32. Raises MmalignError for what no row can be."""
    if values.dtype.kind not in "fiu":
        raise MmalignError(f"{path}: real numbers were expected, not {values.dtype}")
    with np.errstate(over="ignore"):  # what overflows is infinite, and refused below
        rows: Floats = values.astype(np.float32)
    wrong = ~np.isfinite(rows).all(axis=1)
    if lacking:
        wrong &= ~np.isnan(rows).all(axis=1)
    if wrong.any():
        raise MmalignError(f"{path}: row {start + int(np.argmax(wrong))} holds NaN or infinity")
    return rows
