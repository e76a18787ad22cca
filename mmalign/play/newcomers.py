"""Classes that a person has described on the page, and the model that knows them too."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmalign.errors import MmalignError
from mmalign.newcomers import read_newcomers
from mmalign.reclassing import Told, with_classes
from mmalign.types import View

if TYPE_CHECKING:
    from mmalign.model import Model

FILE = "new-classes.csv"


@dataclass(frozen=True)
class Written:
    """What a person wrote: a name, and a text, numbers, or both or neither."""

    name: str
    text: str = ""
    numbers: tuple[float, ...] = ()


@dataclass(frozen=True)
class Added:
    """A class that was described, its views by modality, and what does not describe it."""

    written: Written
    views: Mapping[str, View]
    lacking: Mapping[str, str]


def understood(written: Written, model: Model) -> Added:
    """What the model's modalities make of a description, as ``mmalign add-classes`` reads it.

    Raises MmalignError where nothing in it describes a class to this model, and for a name
    that the model knows.
    """
    if written.name in model.known_classes:
        raise MmalignError(f"the model knows the class '{written.name}' already; choose another")
    with tempfile.TemporaryDirectory() as place:
        path = Path(place).resolve() / FILE
        path.write_text(as_csv([written]), encoding="utf-8")
        try:
            found = read_newcomers(path, model)
        except MmalignError as error:
            said = str(error).replace(f"{path}: ", "").replace(str(path), FILE)
            if not written.text and not written.numbers:
                said = f"'{written.name}' has no description yet: {said}"
            raise MmalignError(said) from None
    if found.names != (written.name,):
        raise MmalignError(f"'{written.name}' is not read back as it was written; rename it")
    return Added(written, found.views, found.lacking)


def grown(base: Model, added: Sequence[Added], told: Told | None = None) -> Model:
    """The model with all of these classes besides; itself where there are none."""
    if not added:
        return base
    names = [each.written.name for each in added]
    return with_classes(base, names, joined(added), told)


def joined(added: Sequence[Added]) -> dict[str, View]:
    """The views of all classes by modality, a row each; one that has none is masked."""
    dims = {name: view.dim for each in added for name, view in each.views.items()}
    found = {}
    for name, dim in dims.items():
        values, mask = np.zeros((len(added), dim), np.float32), np.zeros(len(added), np.bool_)
        for row, each in enumerate(added):
            if name in each.views and each.views[name].mask[0]:
                values[row], mask[row] = each.views[name].array[0], True
        found[name] = View(values, "class", mask)
    return found


def as_csv(written: Sequence[Written]) -> str:
    """The file that ``mmalign add-classes`` takes."""
    text = any(each.text for each in written)
    width = max((len(each.numbers) for each in written), default=0)
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\n")
    lines.writerow(["class", *["description"] * text, *(f"number {n}" for n in range(width))])
    for each in written:
        numbers = [f"{number:.9g}" for number in each.numbers] or [""] * width
        lines.writerow([each.name, *[each.text] * text, *numbers])
    return out.getvalue()
