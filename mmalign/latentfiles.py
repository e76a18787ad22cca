"""Rows of a latent space, and what is decoded from them, as files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmalign.errors import MmalignError
from mmalign.extras import need
from mmalign.rows import Part

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIXES = (".npy", ".safetensors", ".parquet")


@dataclass(frozen=True)
class Written:
    """How much was written."""

    rows: int
    dim: int


def check_suffix(path: Path) -> None:
    """Refuse, before anything is computed, a file of a kind that is not written."""
    if path.suffix.lower() not in SUFFIXES:
        raise MmalignError(f"{path}: name a file of one of {', '.join(SUFFIXES)}")
    if path.suffix.lower() == ".parquet":
        need("sweep", "pyarrow")


def write_rows(parts: Iterable[Part], path: Path) -> Written:
    """Write rows, whole or not at all: .npy, .safetensors with names, or .parquet.

    Parquet is written as rows come; the other two say their length first, so that all rows are
    held until the end. Raises MmalignError where it cannot be written.
    """
    beside = path.with_name(path.name + ".part")
    writers = {".npy": _npy, ".safetensors": _safetensors, ".parquet": _parquet}
    try:
        done = writers[path.suffix.lower()](iter(parts), beside)
        beside.replace(path)
    except OSError as error:
        raise MmalignError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        beside.unlink(missing_ok=True)
    return done


def together(parts: Iterable[Part]) -> Part:
    """All parts as one."""
    kept = list(parts)
    names = tuple(name for part in kept for name in part.names)
    return Part(np.concatenate([part.values for part in kept]), names)


def _npy(parts: Iterator[Part], path: Path) -> Written:
    whole = together(parts)
    with path.open("wb") as file:
        np.save(file, whole.values, allow_pickle=False)
    return Written(*whole.values.shape)


def _safetensors(parts: Iterator[Part], path: Path) -> Written:
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    whole = together(parts)
    metadata = {"names": json.dumps(whole.names)} if whole.names else None
    try:
        save_file({"features": np.ascontiguousarray(whole.values)}, path, metadata)
    except SafetensorError as error:
        raise OSError(str(error)) from None
    return Written(*whole.values.shape)


def _parquet(parts: Iterator[Part], path: Path) -> Written:
    import pyarrow.parquet as pq

    first = next(parts)
    batch = _batch(first)
    rows, dim = len(first.values), first.values.shape[1]
    with pq.ParquetWriter(path, batch.schema) as writer:
        writer.write_batch(batch)
        for part in parts:
            writer.write_batch(_batch(part))
            rows += len(part.values)
    return Written(rows, dim)


def _batch(part: Part) -> pa.RecordBatch:
    import pyarrow as pa

    numbers = pa.array(part.values.ravel(), pa.float32())
    columns = {"features": pa.FixedSizeListArray.from_arrays(numbers, part.values.shape[1])}
    named = {"name": pa.array(part.names)} if part.names else {}
    return pa.record_batch({**named, **columns})
