"""Opens a file of rows by its suffix, .npy, .safetensors or .parquet, or a saved data set."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mmalign.errors import MmalignError
from mmalign.npyfile import map_npy
from mmalign.stored import Store, Stored
from mmalign.stores.flat import Flat

KINDS = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1",
}  # fmt: skip


def opened(path: Path, lacking: bool = False) -> Stored:
    """The rows of a file, unread; nothing is unpickled.

    A .safetensors file has a tensor "features", or one alone; a .parquet file one column of
    lists or columns of numbers. A folder is a Hugging Face data set that ``save_to_disk``
    wrote, with a column of lists called "features", or one alone. With ``lacking``, a row that
    is NaN throughout is one that is not there. Raises MmalignError for what is no such file,
    or holds no (rows, dim) numbers.
    """
    stores: dict[str, Callable[[Path], Store]] = {
        ".safetensors": _safetensors,
        ".parquet": _parquet,
    }
    reader = _saved if path.is_dir() else stores.get(path.suffix.lower(), _npy)
    return Stored(reader(path), lacking=lacking)


def _npy(path: Path) -> Store:
    try:
        held: Any = map_npy(path, ".npy numbers")
    except MmalignError as error:
        raise MmalignError(f"{path}: {error}") from None
    shape, kind = _checked(path, held.shape, held.dtype)
    if not held.flags.c_contiguous:
        raise MmalignError(
            f"{path}: lies column by column, and stays on disk only row by row: save"
            " np.ascontiguousarray of it"
        )
    return Flat(path, held.offset, shape, kind)


def _safetensors(path: Path) -> Store:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:  # checks the header
            keys = list(file.keys())
        with path.open("rb") as raw:
            size = int.from_bytes(raw.read(8), "little")
            header: dict[str, Any] = json.loads(raw.read(size))
    except (OSError, SafetensorError, ValueError) as error:
        said = getattr(error, "strerror", None) or error
        raise MmalignError(f"{path}: not readable as safetensors: {said}") from None
    key = "features" if "features" in keys else keys[0] if len(keys) == 1 else None
    if key is None:
        raise MmalignError(
            f"{path}: holds {len(keys)} tensors; one was expected, or one called 'features'"
        )
    about = header[key]
    if about["dtype"] not in KINDS:
        raise MmalignError(f"{path}: real numbers were expected, not {about['dtype']}")
    shape, kind = _checked(path, tuple(about["shape"]), np.dtype(KINDS[about["dtype"]]))
    return Flat(path, 8 + size + about["data_offsets"][0], shape, kind)


def _parquet(path: Path) -> Store:
    from mmalign.extras import need

    need("sweep", "pyarrow")
    from mmalign.stores.parquet import Groups

    return Groups(path)


def _saved(path: Path) -> Store:
    from mmalign.extras import need

    need("sweep", "pyarrow")
    from mmalign.stores.arrow import Batches

    return Batches(path)


def _checked(
    path: Path, shape: tuple[int, ...], kind: np.dtype[Any]
) -> tuple[tuple[int, int], np.dtype[Any]]:
    """Raises MmalignError for what are no rows of numbers."""
    if len(shape) != 2 or 0 in shape:
        raise MmalignError(f"{path}: (rows, dim) was expected; this is {shape}")
    if kind.kind not in "fiu":
        raise MmalignError(f"{path}: real numbers were expected, not {kind}")
    return (shape[0], shape[1]), kind
