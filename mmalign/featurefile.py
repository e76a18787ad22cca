"""Features of pictures in one safetensors file: written by ``mmalign extract``, read by anyone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

import numpy as np

from mmalign.arrays import Floats, Indices
from mmalign.errors import MmalignError
from mmalign.pictures import SUFFIXES

DEEPEST = 64  # folders by which a name that is longer is compared: all ends take the square
Key: TypeAlias = tuple[str, ...]  # a name's folders, and its last part


@dataclass(frozen=True)
class FeatureFile:
    """Features with the names of their pictures.

    ``features`` is (rows, dim) float32, ``names`` are relative paths with "/". ``stamps``
    is (rows, 2): bytes and time of change (ns) of each picture's file, and empty where the
    file has none. ``metadata`` is what else the file says of itself; ``digest`` is its
    SHA-256.
    """

    features: Floats
    names: tuple[str, ...]
    stamps: Indices = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    metadata: Mapping[str, str] = field(default_factory=dict)
    digest: str = ""

    @property
    def backbone(self) -> Mapping[str, Any] | None:
        """The backbone's table, ``use`` and its fields, where the file tells it."""
        try:
            table = json.loads(self.metadata.get("backbone", "null"))
        except (ValueError, RecursionError):
            return None
        named = isinstance(table, dict) and isinstance(table.get("use"), str)
        return table if named else None

    def rows_of(self, samples: Sequence[str]) -> Indices:
        """The row of each sample, by name; -1 for a sample that has none.

        A name fits when the two are equal, or when one of them ends with the whole other,
        counted in folders: ``CUB/images/1/a.jpg`` and ``1/a.jpg``. A sample's name without a
        picture's suffix fits a row's name with any. Raises MmalignError where several rows
        fit a sample equally well, or samples of different names fit one row.
        """
        keys = {name: _parts(name) for name in {*self.names, *samples}}
        whole: dict[Key, list[int]] = {}
        ends: dict[Key, list[int]] = {}
        for row, name in enumerate(self.names):
            for key in {keys[name], _stem(keys[name])}:
                whole.setdefault(key, []).append(row)
                for cut in range(max(0, len(key) - DEEPEST), len(key)):
                    ends.setdefault(key[cut:], []).append(row)
        found = {name: _fitting(name, keys[name], whole, ends, self.names) for name in set(samples)}
        _check_apart(found, self.names)
        return np.array([found[name] for name in samples], dtype=np.int64)


def _parts(name: str) -> Key:
    return tuple(part for part in name.replace("\\", "/").split("/") if part not in ("", "."))


def _stem(key: Key) -> Key:
    """The same without a picture's suffix."""
    last = PurePosixPath(key[-1]) if key else PurePosixPath()
    return (*key[:-1], last.stem) if last.suffix.lower() in SUFFIXES else key


def _fitting(
    name: str,
    key: Key,
    whole: Mapping[Key, Sequence[int]],
    ends: Mapping[Key, Sequence[int]],
    names: Sequence[str],
) -> int:
    """The row whose name fits this sample's; the longest fit counts."""
    cuts = [0, *range(max(1, len(key) - DEEPEST), len(key))] if key else []
    inside = (whole[key[cut:]] for cut in cuts if key[cut:] in whole)
    rows = next(inside, None) or ends.get(key, ())
    if len(rows) > 1:
        both = " and ".join(f"'{names[row]}'" for row in rows[:2])
        raise MmalignError(f"sample '{name}' fits {len(rows)} rows, {both} among them")
    return rows[0] if rows else -1


def _check_apart(found: Mapping[str, int], names: Sequence[str]) -> None:
    """Two pictures must not be taken for one because their last folders agree."""
    taken: dict[int, str] = {}
    for name, row in sorted(found.items()):
        if row >= 0 and row in taken:
            raise MmalignError(
                f"row '{names[row]}' fits both samples '{taken[row]}' and '{name}'; extract"
                " from a folder further up, so that rows have longer names"
            )
        taken[row] = name


def read_features(path: Path) -> FeatureFile:
    """Read a feature file; what it says is checked, and nothing is unpickled.

    Any safetensors file will do that has a tensor "features" of (rows, dim) numbers and
    metadata "names", a JSON list of one text a row. Raises MmalignError for all else.
    """
    from safetensors import safe_open

    try:
        with path.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        with safe_open(path, framework="numpy") as opened:
            metadata = opened.metadata() or {}
            tensors = {
                key: opened.get_tensor(key)
                for key in ("features", "stamps")
                if key in opened.keys()  # noqa: SIM118
            }
    # A damaged file makes the reader raise nearly anything; none of it is a bug of ours.
    except Exception as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise MmalignError(f"{path}: not readable as safetensors: {said}") from None
    features = _checked(path, tensors)
    names = named_rows(path, metadata, len(features))
    stamps = tensors.get("stamps")
    if stamps is None or stamps.shape != (len(features), 2) or stamps.dtype != np.int64:
        stamps = np.zeros((0, 2), np.int64)
    return FeatureFile(features, names, stamps, metadata, digest)


def _checked(path: Path, tensors: Mapping[str, np.ndarray]) -> Floats:
    if "features" not in tensors:
        raise MmalignError(f"{path}: holds no tensor 'features'; `mmalign extract` writes one")
    features = tensors["features"]
    if features.ndim != 2 or 0 in features.shape or features.dtype.kind != "f":
        raise MmalignError(
            f"{path}: 'features' must be (rows, dim) real numbers; it is {features.shape}"
            f" {features.dtype}"
        )
    with np.errstate(over="ignore"):  # what overflows is infinite, and refused below
        values: Floats = features.astype(np.float32)
    wrong = ~np.isfinite(values).all(axis=1)
    if wrong.any():
        raise MmalignError(f"{path}: row {int(np.argmax(wrong))} holds NaN or infinity")
    return values


def named_rows(path: Path, metadata: Mapping[str, str], rows: int) -> tuple[str, ...]:
    """The rows' names, from a file's metadata. Raises MmalignError where they are no such."""
    try:
        names = json.loads(metadata.get("names", "null"))
    except (ValueError, RecursionError):
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise MmalignError(f"{path}: its metadata 'names' must be a JSON list of a name a row")
    if len(names) != rows or len(set(names)) != rows:
        raise MmalignError(
            f"{path}: {len(set(names))} different names for {rows} rows; each row needs its own"
        )
    return tuple(names)


def write_features(path: Path, made: FeatureFile) -> None:
    """Write a feature file, whole or not at all. Raises MmalignError where it cannot."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    tensors: dict[str, Any] = {
        "features": np.ascontiguousarray(made.features),
        "stamps": made.stamps,
    }
    metadata = {**made.metadata, "names": json.dumps(made.names)}
    beside = path.with_name(f"{path.name}.tmp")
    try:
        save_file(tensors, beside, metadata)
        beside.replace(path)
    except (OSError, SafetensorError) as error:
        said = getattr(error, "strerror", None) or error
        raise MmalignError(f"cannot write {path}: {said}") from None
