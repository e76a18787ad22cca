"""Files of features: .npy, .safetensors and .parquet, each as rows of float32, or left on disk."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from mmalign import FeatureFile, Floats, Mask, MmalignError, Stored, map_npy, need, opened

SUFFIXES = (".npy", ".safetensors", ".parquet")
BLOCK = 2**20  # numbers looked at together
LARGE = 2**31  # bytes of a file from which on its rows stay in it
STATE = "state.json"  # in a folder that is a saved data set
Memory: TypeAlias = Literal["auto", "always", "never"]


@dataclass(frozen=True)
class Array:
    """Features of one file: (rows, dim); ``names`` of the rows where the file gives them.

    ``values`` of a large file stay in it, and are read when they are used. ``mask`` is False
    for rows that are NaN throughout. ``kind`` is the type that the file has, ``backbone`` what
    made the features, where the file tells it.
    """

    name: str
    values: Floats | Stored
    mask: Mask
    names: tuple[str, ...]
    kind: str
    digest: str
    backbone: Mapping[str, Any] | None = None


class Held(NamedTuple):
    """What a file holds, before any of it is believed."""

    values: np.ndarray | Stored
    names: tuple[str, ...] = ()
    metadata: Mapping[str, str] = MappingProxyType({})


def read_array(path: Path, memory: Memory = "auto") -> Array:
    """Read a file by its suffix, or open it where it stays on disk; nothing is unpickled.

    Every row is looked at once either way. Raises MmalignError, naming the file and the row,
    for what are no finite numbers.
    """
    stays = memory == "never" or (memory == "auto" and size_of(path) > LARGE)
    readers: Mapping[str, Callable[[Path, bool], Held]] = {
        ".npy": _npy,
        ".safetensors": _safetensors,
        ".parquet": _parquet,
    }
    held = _saved(path, stays) if path.is_dir() else readers[path.suffix](path, stays)
    values, names = held.values, held.names
    if values.ndim != 2 or 0 in values.shape:
        raise MmalignError(
            f"{path.name}: has the shape {values.shape}; features are (rows, numbers of a row)"
        )
    kind = values.store.kind if isinstance(values, Stored) else str(values.dtype)
    if values.dtype.kind not in "fiu":
        raise MmalignError(f"{path.name}: holds {kind}; features are real numbers")
    if names and len(names) != len(values):
        raise MmalignError(f"{path.name}: {len(names)} names for {len(values)} rows")
    if len(set(names)) < len(names):
        twice = next(name for name, count in Counter(names).items() if count > 1)
        raise MmalignError(f"{path.name}: two rows are called '{twice}'; each needs its own name")
    with np.errstate(over="ignore"):  # what overflows is infinite, and refused below
        floats = values if isinstance(values, Stored) else values.astype(np.float32, copy=False)
    none = np.zeros((0, 0), np.float32)
    backbone = FeatureFile(none, (), metadata=held.metadata).backbone
    with ThreadPoolExecutor(1) as beside:  # both read the whole file
        sha = beside.submit(digest, path)
        mask = _mask(path, floats)
    return Array(path.name, floats, mask, names, kind, sha.result(), backbone)


def is_saved(path: Path) -> bool:
    """Whether it is a folder that ``save_to_disk`` of Hugging Face's datasets wrote."""
    return (path / STATE).is_file()


def size_of(path: Path) -> int:
    """Bytes of a file, or of a folder's files."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)


def digest(path: Path) -> str:
    """SHA-256 of a file, or of those of a folder's files. Raises MmalignError."""
    try:
        if path.is_dir():
            files = [digest(file) for file in sorted(path.iterdir()) if file.is_file()]
            return hashlib.sha256("".join(files).encode()).hexdigest()
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise MmalignError(f"{path.name}: cannot be read: {error.strerror}") from None


def _mask(path: Path, values: Floats | Stored) -> Mask:
    """Which rows have features, looked at in blocks: a large file never is in memory whole."""
    mask = np.ones(len(values), dtype=np.bool_)
    step = max(1, BLOCK // values.shape[1])
    for start in range(0, len(values), step):
        stop = min(start + step, len(values))
        if isinstance(values, Stored):
            block = values.store.read(np.arange(start, stop))
        else:
            block = values[start:stop]
        with np.errstate(over="ignore", invalid="ignore"):
            if np.isfinite(block.sum()):  # no number of it is anything else
                continue
        finite = np.isfinite(block)
        lacking = np.isnan(block).all(axis=1)
        wrong = ~finite.all(axis=1) & ~lacking
        if wrong.any():
            row = int(np.argmax(wrong))
            column = int(np.argmin(finite[row]))
            said = "NaN" if np.isnan(block[row, column]) else "infinite, or too large for float32"
            raise MmalignError(
                f"{path.name}: row {start + row}, number {column} (both from 0) is {said}; mend it,"
                " or make the whole row NaN, which says that the sample has no such features"
            )
        mask[start:stop] = ~lacking
    if not mask.any():
        raise MmalignError(f"{path.name}: every row is NaN; take the file away, or mend it")
    return mask


def _npy(path: Path, stays: bool) -> Held:
    if stays:
        return Held(opened(path, lacking=True))
    try:
        return Held(map_npy(path))
    except MmalignError as error:
        raise MmalignError(f"{path.name}: {error}; write rows of numbers with numpy.save") from None


def _safetensors(path: Path, stays: bool) -> Held:
    """The tensor "features", or the only one; names from the metadata, where it has them."""
    from safetensors import safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            held = list(file.keys())
            metadata = file.metadata() or {}
            key = "features" if "features" in held else held[0] if len(held) == 1 else None
            values = None if stays or key is None else file.get_tensor(key)
    except Exception as error:  # as for .npy
        said = " ".join(str(error).split()) or type(error).__name__
        raise MmalignError(f"{path.name}: not readable as safetensors: {said}") from None
    if key is None:
        raise MmalignError(
            f"{path.name}: holds {len(held)} tensors; one was expected, or one called 'features'"
        )
    names = _json_names(path, metadata["names"]) if "names" in metadata else ()
    return Held(opened(path, lacking=True) if values is None else values, names, metadata)


def _json_names(path: Path, text: str) -> tuple[str, ...]:
    try:
        names = json.loads(text)
    except (ValueError, RecursionError):
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise MmalignError(f"{path.name}: its metadata 'names' are no JSON list of texts")
    return tuple(names)


def _parquet(path: Path, stays: bool) -> Held:
    """Columns of numbers, or one of lists of them; a column "sample" has the rows' names."""
    try:
        need("sweep", "pyarrow")
    except MmalignError as error:
        raise MmalignError(f"{path.name}: {error}") from None
    from mmalign import read_parquet, read_parquet_names

    if stays:
        return Held(opened(path, lacking=True), read_parquet_names(path))
    return Held(*read_parquet(path))


def _saved(path: Path, stays: bool) -> Held:
    """The column "features" of a saved data set, or its only one of lists."""
    rows = opened(path, lacking=True)
    return Held(rows if stays else rows.store.read(np.arange(len(rows))))
