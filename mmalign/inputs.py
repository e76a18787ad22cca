"""What a user hands in to ask a model about: files of numbers, pictures, or descriptions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmalign.errors import MmalignError
from mmalign.extract.streaming import BATCH, is_pictures, stream
from mmalign.rows import Part, alongside, read_parts

if TYPE_CHECKING:
    from mmalign.arrays import Floats
    from mmalign.model import Model

ROWS = 4096  # held at a time
SCORES = 2**24  # the same, where there are many classes: 64 MiB


def parts_of(files: Mapping[Any, Path], model: Model, device: str = "cpu") -> Iterator[Asked]:
    """Rows of the same things by modality, as many at a time as fit; see ``read_parts``.

    A picture or a folder of them goes through the backbone that the model names for its
    modality; a CSV file holds descriptions, as for ``add-classes``. Raises MmalignError for
    what cannot be read, and where a model names no backbone.
    """
    described = [path for path in files.values() if path.suffix.lower() == ".csv"]
    if described:
        if len(files) > 1:
            raise MmalignError(f"{described[0]}: descriptions stand alone; leave out other files")
        yield _described(described[0], model)
        return
    pictured = {name: path for name, path in files.items() if is_pictures(path)}
    size = max(1, min(ROWS, SCORES // max(1, len(model.known_classes))))
    size = BATCH if pictured else size
    read: dict[Any, Iterator[Part]] = {}
    for name, path in files.items():
        if name in pictured:
            read[name] = stream(path, backbone_of(model, name, path), device)
        else:
            read[name] = read_parts(path, size, lacking=len(files) > 1)
    for parts in alongside(read):
        named = next((part.names for part in parts.values() if part.names), ())
        values = {name: part.values for name, part in parts.items()}
        yield Asked(named, values.get(None, values))


def named_classes(given: Sequence[str]) -> list[str]:
    """Names of classes: as they are, or those of a CSV file. Raises MmalignError for the file."""
    from mmalign.classfile import read_class_file

    found: list[str] = []
    for each in given:
        path = Path(each)
        found += read_class_file(path).names if path.suffix.lower() == ".csv" else [each]
    return list(dict.fromkeys(found))


@dataclass(frozen=True)
class Asked:
    """Some rows to ask about: their names, if any, and their numbers as a model takes them."""

    names: tuple[str, ...]
    features: Floats | Mapping[str, Floats]


def _described(path: Path, model: Model) -> Asked:
    """Descriptions by modality; what does not describe a row is NaN there."""
    from mmalign.newcomers import read_newcomers

    found = read_newcomers(path, model)
    rows = {n: np.where(v.mask[:, None], v.values, np.nan) for n, v in found.views.items()}
    return Asked(found.names, rows)


def backbone_of(model: Model, modality: str | None, path: Path) -> Any:
    """The backbone that pictures of a modality go through. Raises MmalignError for none."""
    from mmalign.component import build
    from mmalign.plugins import discover

    known = model.config.get("backbones", {})
    whole = isinstance(known, dict) and all(
        isinstance(each, dict) and isinstance(each.get("use"), str) for each in known.values()
    )
    if not whole:
        raise MmalignError(f"{path}: what the model says of its backbones is altered")
    names = [modality] if modality is not None else list(model.sample_modalities)
    table = next((known[name] for name in names if name in known), None)
    if table is None:
        raise MmalignError(
            f"{path}: pictures, and the model does not say which backbone its features came from;"
            f" write them by `mmalign extract {path} features.safetensors --backbone NAME` with"
            " the one that it was trained on, and hand in that file"
        )
    fields = {key: value for key, value in table.items() if key != "use"}
    made, wrong = build(discover().find("backbone", table["use"]), fields, table["use"])
    if made is None:
        raise MmalignError("\n  ".join([f"the model's backbone cannot be built: {path}", *wrong]))
    return made
