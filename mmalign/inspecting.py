"""Looks through a folder of data, by a data set that can; and writes a new one."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from mmalign.component import build
from mmalign.datafiles import Inspectable, Inspection
from mmalign.errors import MmalignError, RecipeError, did_you_mean
from mmalign.plugins import Registry
from mmalign.recipe import overrides, read
from mmalign.types import Indices, Source

RECIPE = "recipe.toml"
SHOWN = 12  # classes that are listed, unless all are asked for


def able(registry: Registry, members: Sequence[str]) -> dict[str, Any]:
    """The data sets that have all of these members, by name."""
    return {
        name: cls
        for name, cls in sorted(registry.components["dataset"].items())
        if all(hasattr(cls, member) for member in members)
    }


def inspectable(registry: Registry, use: str | None) -> Any:
    """The data set that looks through folders: the one named, or the only one there is."""
    known = able(registry, ("inspect", "template"))
    if use is None and len(known) == 1:
        return next(iter(known.values()))
    if use is None:
        said = f"--use says which: {', '.join(known)}" if known else "no plugin offers any"
        raise MmalignError(f"{len(known)} data sets look through folders; {said}")
    registry.find("dataset", use)  # the error for a name that is none
    if use not in known:
        raise MmalignError(
            f"data set '{use}' does not look through folders; {did_you_mean(use, known)}"
        )
    return known[use]


def chosen(
    path: Path, registry: Registry, use: str | None, settings: Sequence[str] = ()
) -> tuple[Inspectable, Path | None]:
    """The data set of a folder or of a recipe, and the recipe that says so.

    A folder's own recipe.toml is followed where the folder has one. Raises MmalignError.
    """
    recipe = path / RECIPE if path.is_dir() and use is None else path
    if not recipe.is_file():
        return _made(inspectable(registry, use), {"root": str(path)}, settings), None
    if recipe.suffix != ".toml":
        raise MmalignError(f"{path}: give a folder of data, or a recipe that reads one")
    laid = [each if each.startswith("dataset.") else f"dataset.{each}" for each in settings]
    dataset = read(str(recipe), registry, laid).dataset
    if not isinstance(dataset, Inspectable):
        raise MmalignError(f"{recipe}: its data set '{dataset.name}' does not look through folders")
    if path.is_dir() and dataset.root.expanduser().resolve() != path.resolve():
        raise MmalignError(
            f"{recipe}: its dataset.root is '{dataset.root}', which is not {path} from here; mend"
            " it, or call mmalign from the folder that it starts from"
        )
    return dataset, recipe


def _made(cls: Any, table: Mapping[str, Any], settings: Sequence[str]) -> Inspectable:
    """The data set with ``field=value`` settings; every mistake at once."""
    problems: list[str] = []
    laid = overrides([each.removeprefix("dataset.") for each in settings], problems)
    typed = {**table, **{key: value for key, (value, _) in laid.items()}}
    made, wrong = build(cls, typed, "dataset")
    refused = [key for key in laid if any(line.startswith(f"dataset.{key}:") for line in wrong)]
    if refused:  # tried once more as the text that was written, as in a recipe
        again, fewer = build(cls, typed | {key: laid[key][1] for key in refused}, "dataset")
        made, wrong = (again, fewer) if len(fewer) < len(wrong) else (made, wrong)
    if made is None or problems:
        raise RecipeError(f"data set {cls.name}", [*problems, *wrong])
    checked: Inspectable = made
    return checked


def show(
    found: Inspection, dataset: Inspectable, recipe: Path | None, console: Console, every: bool
) -> None:
    """Print what was found. Raises MmalignError with every mistake, where there is one."""
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


def keep(found: Inspection, to: Path) -> None:
    """Write the recipe that suits the data. Raises MmalignError where a file is already."""
    if not found.recipe:
        raise MmalignError("--recipe: the data set suggests none")
    try:
        with to.open("x", encoding="utf-8") as file:
            file.write(f"# mmalign run {quote(to.as_posix())}\n\n{found.recipe}")
    except FileExistsError:
        raise MmalignError(f"--recipe: {to} is there already; choose another file") from None
    except OSError as error:
        raise MmalignError(f"--recipe: cannot write {to}: {error.strerror}") from None


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


def begin(path: Path, registry: Registry, use: str | None) -> tuple[str, ...]:
    """Write a data set's example into a new folder, whole or not at all; its files' names.

    Raises MmalignError for a folder in which anything is.
    """
    files = inspectable(registry, use).template(path.as_posix())
    try:
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise MmalignError(f"{path} is there already; choose a folder that is not")
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as made:
            folder = Path(made) / path.name
            for name, content in files.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
            if path.is_dir():
                path.rmdir()  # empty; a folder is not replaced by another everywhere
            shutil.move(folder, path)
    except OSError as error:
        raise MmalignError(f"cannot write {path}: {error.strerror or error}") from None
    return tuple(files)
