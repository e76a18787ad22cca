"""What there is to ask about besides a person's own pictures: files, or a data set's test rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from mmalign.errors import MmalignError
from mmalign.extract.finding import find_pictures
from mmalign.extract.streaming import is_pictures
from mmalign.rows import named_files

if TYPE_CHECKING:
    from mmalign.arrays import Floats
    from mmalign.model import Model
    from mmalign.types import Source, View

MOST = 10_000  # samples at hand

Row: TypeAlias = "Mapping[str, Floats]"  # (1, dim) by modality, NaN throughout where it lacks it


@dataclass(frozen=True)
class Samples:
    """Things to ask about, by number: pictures in files, or rows of numbers.

    ``about`` says in one sentence what they are. ``truths`` are the classes that they are of,
    empty where nobody knows, and ``names`` may be empty too.
    """

    about: str
    pictures: tuple[Path, ...] = ()
    rows: Sequence[Row] = ()
    names: tuple[str, ...] = ()
    truths: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.pictures) or len(self.rows)

    @property
    def kind(self) -> Literal["pictures", "rows", "none"]:
        """What a person is shown."""
        return "pictures" if self.pictures else "rows" if self.rows else "none"


@dataclass(frozen=True)
class Stock(Sequence[Row]):
    """Rows of a data set, read when they are asked for."""

    views: Mapping[str, View]
    places: Floats | Any = field(repr=False)

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, number: Any) -> Any:
        place = int(self.places[number])
        found = {}
        for name, view in self.views.items():
            row = np.array(view.values[np.array([place])], np.float32)
            found[name] = row if view.mask[place] else np.full_like(row, np.nan)
        return found


def given(paths: Sequence[str], model: Model) -> Samples:
    """The samples of ``--samples``: pictures, or files of rows as ``mmalign predict`` reads them.

    Raises MmalignError for what cannot be read, and for rows that the model does not take.
    """
    from mmalign.inputs import parts_of

    files = named_files(paths)
    pictured = [path for path in files.values() if is_pictures(path)]
    said = ", ".join(str(path) for path in files.values())
    if pictured and len(files) > 1:
        raise MmalignError(f"--samples: pictures stand alone; leave out all but {pictured[0]}")
    if pictured:
        found = find_pictures(pictured[0]) if pictured[0].is_dir() else ()
        shown = found[:MOST]
        paths_of = tuple(each.path for each in shown) or (pictured[0],)
        names = tuple(each.name for each in shown) or (pictured[0].name,)
        return Samples(f"Pictures of {said}{_first(len(found))}.", paths_of, names=names)
    rows: list[Row] = []
    named: list[str] = []
    for part in parts_of(files, model):
        values = part.features
        if not isinstance(values, Mapping):
            values = {_only(model, said): values}
        count = len(next(iter(values.values())))
        rows += [{name: each[[row]] for name, each in values.items()} for row in range(count)]
        named += part.names
        if len(rows) >= MOST:
            break
    model.scores(rows[0])  # of another width: it is said before anything is asked
    about = f"Rows of {said}{_first(len(rows))}."
    return Samples(about, rows=rows[:MOST], names=tuple(islice(named, MOST)))


def _first(count: int) -> str:
    return f", the first {MOST:,}" if count > MOST else ""


def _only(model: Model, said: str) -> str:
    usual = model.sample_modalities
    if len(usual) != 1:
        known = ", ".join(model.signature.levels)
        raise MmalignError(f"--samples {said}: say which modality it is of, NAME=FILE: {known}")
    return usual[0]


def data_set_of(model: Model) -> Source:
    """The data set that the model was trained on. Raises MmalignError where it is not at hand."""
    from mmalign.asking import inside
    from mmalign.component import build
    from mmalign.plugins import discover

    table = model.config["recipe"].get("dataset", {})
    fields = {key: value for key, value in table.items() if key != "use"}
    made, wrong = build(discover().find("dataset", str(table.get("use"))), fields, "dataset")
    if made is None:
        raise MmalignError("; ".join(wrong))
    with inside(made, "load()"):
        source: Source = made.load()
    return source


def held_out(model: Model, source: Source) -> Samples:
    """The rows that a data set keeps to ask about, of seen classes and then of unseen ones.

    Raises MmalignError where a modality's numbers are not at hand.
    """
    from mmalign.checked import viewed

    views = {}
    for name in model.sample_modalities:
        modality = model.modalities[name]
        views[name] = viewed(modality, source, modality.view)
    splits = source.splits
    places = np.concatenate([splits.test_seen, splits.test_unseen])
    has = np.any([view.mask[places] for view in views.values()], axis=0)
    places = places[has]
    return Samples(
        f"Test rows of the data set '{source.name}', none of which it was trained on.",
        rows=Stock(views, places),
        names=tuple(source.samples[place] for place in places) if source.samples else (),
        truths=tuple(source.classes[label] for label in source.labels[places]),
    )
