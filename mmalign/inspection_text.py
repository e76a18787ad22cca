"""Prints what was found in a folder of data."""

from __future__ import annotations

from collections.abc import Sequence
from shlex import quote

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from mmalign.arrays import Indices
from mmalign.datafiles import Inspection
from mmalign.errors import MmalignError
from mmalign.inspecting import Chosen
from mmalign.types import Source

SHOWN = 12  # classes that are listed, unless all are asked for


def show(found: Inspection, what: Chosen, console: Console, every: bool) -> None:
    """Print what was found. Raises MmalignError with every mistake, where there is one."""
    dataset, recipe = what.dataset, what.recipe
    said = f", as {recipe} says" if recipe else ""
    console.print(f"{dataset.root}: data set '{dataset.name}'{said}", soft_wrap=True)
    if found.found:
        console.print(_pairs(found.found))
    if found.problems:
        count = "1 mistake" if len(found.problems) == 1 else f"{len(found.problems)} mistakes"
        raise MmalignError("\n  ".join([f"{dataset.root}: {count}", *found.problems]))
    if found.source is not None:
        console.print(Group(Text(), _classes(found.source, every), Text(), _splits(found)))
    if found.recipe and recipe is None:
        console.print("\nA recipe for it:\n")
        console.print(found.recipe, soft_wrap=True, end="")
    elif recipe is not None:
        console.print(
            f"\nNothing is wrong. It runs: mmalign run {quote(str(recipe))}", soft_wrap=True
        )


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _pairs(pairs: Sequence[tuple[str, str]]) -> RenderableType:
    table = Table(box=None, show_header=False, padding=(0, 0, 0, 2), pad_edge=True)
    for name, said in pairs:
        table.add_row(Text(name), Text(said))
    return table


def _classes(source: Source, every: bool) -> RenderableType:
    """A line a class: what it is, its samples, and what describes it."""
    table = _table("class", "is", "samples", "trained on", "asked", "described by")
    splits, count = source.splits, len(source.classes)
    train, seen, unseen = (
        np.bincount(source.labels[rows], minlength=count)
        for rows in (splits.train, splits.test_seen, splits.test_unseen)
    )
    total = np.bincount(source.labels, minlength=count)
    roles = _roles(source)
    for index in range(count if every or count <= SHOWN + 3 else SHOWN):
        numbers = (total[index], train[index], seen[index] + unseen[index])
        table.add_row(
            Text(source.classes[index]), roles[index], *map(str, numbers), _described(source, index)
        )
    if len(table.rows) < count:
        more = f"and {count - len(table.rows)} more classes; --classes lists all"
        return Group(table, Text(more))
    return table


def _described(source: Source, index: int) -> str:
    by = [
        name for name, view in source.arrays.items() if view.level == "class" and view.mask[index]
    ]
    by += [
        f"{name} ({len(texts.values[index])})" if len(texts.values[index]) > 1 else name
        for name, texts in source.texts.items()
        if texts.level == "class" and texts.values[index]
    ]
    return ", ".join(by) or "its name"


def _roles(source: Source) -> list[str]:
    splits, roles = source.splits, ["not used"] * len(source.classes)
    nobody: Indices = np.empty(0, dtype=np.int64)
    for word, classes in (
        ("seen", source.labels[splits.train]),
        ("seen, validation", splits.validation_classes),
        ("unseen", source.labels[splits.test_unseen]),
        ("unseen", splits.unseen_classes),
    ):
        for index in set((nobody if classes is None else classes).tolist()):
            roles[index] = word
    return roles


def _splits(found: Inspection) -> RenderableType:
    """How many classes and samples of each kind, and how that comes about."""
    assert found.source is not None, "shown where there is one"
    splits, roles = found.source.splits, _roles(found.source)
    unseen, validation = roles.count("unseen"), roles.count("seen, validation")
    lines = [
        f"{len(roles) - unseen - roles.count('not used')} seen classes, {validation} of them for"
        f" validation; {unseen} unseen ones",
        f"{len(splits.train):,} samples train; asked are {len(splits.test_seen):,} of seen and"
        f" {len(splits.test_unseen):,} of unseen classes",
        *found.plan,
    ]
    return Group(*map(Text, lines))
