"""Reads a file of classes: names, attributes, texts, and which split a class belongs to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mmalign.classfile.csvfile import Line, Table, read_table
from mmalign.classfile.problems import Problems, some
from mmalign.types import Texts, View

FILE = "classes.csv"
OWN = ("class", "split")  # columns that are neither attribute nor text


@dataclass(frozen=True)
class Classes:
    """The classes in the order of their first lines, and all that describes them.

    ``words`` are the classes' words of the column "split", by name; None without it.
    """

    names: tuple[str, ...]
    attributes: View | None
    texts: Mapping[str, Texts]
    words: Mapping[str, tuple[str, str]] | None
    digest: str
    said: str = ""
    notes: tuple[str, ...] = field(default=())


def read_classes(
    root: Path, texts: Sequence[str], problems: Problems, name: str = FILE
) -> Classes | None:
    """Read and check a file of classes; None where their names cannot be known.

    ``texts`` are the columns of text; all others but "class" and "split" hold numbers.
    """
    before = len(problems.lines)
    table = read_table(root, name, problems)
    if table is None:
        if len(problems.lines) == before:
            problems.add(
                name,
                "is not there; give a line for each class: a column 'class', and columns of"
                " attributes or a column 'description'",
            )
        return None
    if not _check_columns(table, texts, problems):
        return None
    lines = _by_class(table, texts, problems)
    if not lines:
        return None
    attributes = _attributes(table, lines, texts, problems)
    described = {
        name: Texts(tuple(_texts(table, own, name) for own in lines.values()), "class")
        for name in texts
        if name in table.columns
    }
    notes = _check_described(table, lines, attributes, described, problems)
    words = _words(table, lines, problems) if "split" in table.columns else None
    dims = f"{attributes.dim} attributes" if attributes is not None else "no attribute"
    several = [f"{sum(map(len, t.values))} texts '{name}'" for name, t in described.items()]
    said = ", ".join([f"{len(lines)} classes", dims, *several])
    return Classes(tuple(lines), attributes, described, words, table.digest, said, notes)


def _check_columns(table: Table, texts: Sequence[str], problems: Problems) -> bool:
    """Whether there are classes; a text's column may be repeated, no other one may."""
    for name in dict.fromkeys(table.columns):
        if len(table.places(name)) > 1 and name not in texts:
            problems.add(f"{table.name}, line 1", f"has the column '{name}' twice; keep one")
    for name in texts:
        if name in OWN:
            problems.add("dataset.texts", f"'{name}' is no text; take it out")
        elif name not in table.columns and tuple(texts) != ("description",):
            problems.add(
                f"{table.name}, line 1",
                f"has no column '{name}', which dataset.texts names; there are"
                f" {some(table.columns)}",
            )
    if "class" not in table.columns:
        problems.add(
            f"{table.name}, line 1",
            f"has no column 'class'; there are {some(table.columns)}, and that of the names must"
            " be called so",
        )
    return "class" in table.columns


def _by_class(table: Table, texts: Sequence[str], problems: Problems) -> dict[str, list[Line]]:
    """Each class's lines; a further line must bring a further text."""
    found: dict[str, list[Line]] = {}
    nameless, twice = [], []
    for line in table.lines:
        name = table.cell(line, "class")
        if not name:
            nameless.append(f"{table.where(line, 'class')}: is empty; a description needs a class")
            continue
        own = found.setdefault(name, [])
        if own and not any(_texts(table, [line], text) for text in texts):
            twice.append(
                f"{table.where(line)}: the class '{name}' stands in line {own[0].number} too;"
                " a further line must bring a further text"
            )
        own.append(line)
    problems.several(nameless)
    problems.several(twice)
    return found


def _texts(table: Table, lines: Iterable[Line], column: str) -> tuple[str, ...]:
    places = table.places(column)
    return tuple(line.cells[place] for line in lines for place in places if line.cells[place])


def _attributes(
    table: Table, lines: Mapping[str, Sequence[Line]], texts: Sequence[str], problems: Problems
) -> View | None:
    """One row a class; a class whose cells are all empty has no attributes."""
    columns = [name for name in dict.fromkeys(table.columns) if name not in (*OWN, *texts)]
    if not columns:
        return None
    values = np.full((len(lines), len(columns)), np.nan)
    before = len(problems.lines)
    for place, column in enumerate(columns):
        _fill(values[:, place], table, lines, column, problems)
    if len(problems.lines) > before:  # holes would be what was just said, once more
        return None
    given = ~np.isnan(values)
    mask = given.any(axis=1)
    problems.several([
        f"{table.where(own[0])}: the class '{name}' has attributes, but no"
        f" {some([column for column, there in zip(columns, row, strict=True) if not there])};"
        " fill in all of them, or none"
        for (name, own), row in zip(lines.items(), given, strict=True)
        if row.any() and not row.all()
    ])  # fmt: skip
    if not mask.any():
        problems.add(table.name, f"the columns {some(columns)} hold no number; fill them in")
    if len(problems.lines) > before:
        return None
    values[~mask] = 0
    return View(values.astype(np.float32), "class", mask)


def _fill(
    into: np.ndarray,
    table: Table,
    lines: Mapping[str, Sequence[Line]],
    column: str,
    problems: Problems,
) -> None:
    """A column's number of each class, left as it is where there is none."""
    wrong = []
    for row, own in enumerate(lines.values()):
        for line in own:
            cell = table.cell(line, column)
            number = _number(cell)
            if not cell:
                continue
            if number is None:
                wrong.append(
                    f"{table.where(line, column)}: '{cell}' is no number that an attribute can"
                    " have; write one such as 0.5, or name the column in dataset.texts where it"
                    " is text"
                )
            elif not np.isnan(into[row]) and into[row] != number:
                wrong.append(
                    f"{table.where(line, column)}: {cell} is another number than in line"
                    f" {own[0].number}; a class has one"
                )
            else:
                into[row] = number
    problems.several(wrong)


def _number(cell: str) -> float | None:
    """A finite number within float32, as everyone writes it; "1_0" is none."""
    try:
        number = float(cell)
    except ValueError:
        return None
    fits = math.isfinite(number) and abs(number) <= np.finfo(np.float32).max and "_" not in cell
    return number if fits else None


def _check_described(
    table: Table,
    lines: Mapping[str, Sequence[Line]],
    attributes: View | None,
    texts: Mapping[str, Texts],
    problems: Problems,
) -> tuple[str, ...]:
    """Where the file describes classes, each must be described; and notes on what one lacks."""
    masks = {name: np.array([bool(row) for row in each.values]) for name, each in texts.items()}
    if attributes is not None:
        masks["attributes"] = attributes.mask
    if not masks or len(problems.lines):
        return () if masks else (f"{table.name} holds names only, no description",)
    bare = ~np.any(list(masks.values()), axis=0)
    problems.several([
        f"{table.where(own[0])}: the class '{name}' has no description; fill in"
        f" {' or '.join(masks)}"
        for (name, own), there in zip(lines.items(), bare, strict=True)
        if there
    ])  # fmt: skip
    names = np.array(list(lines))
    return tuple(
        f"{table.name}: {int((~mask).sum())} classes have no {kind}: {some(names[~mask].tolist())}"
        for kind, mask in masks.items()
        if not mask.all()
    )


def _words(
    table: Table, lines: Mapping[str, Sequence[Line]], problems: Problems
) -> dict[str, tuple[str, str]]:
    """Each class's word of the column "split", and where it stands."""
    found: dict[str, tuple[str, str]] = {}
    wrong = []
    for name, own in lines.items():
        for line in own:
            word = table.cell(line, "split")
            if word and found.setdefault(name, (word, table.where(line, "split")))[0] != word:
                wrong.append(
                    f"{table.where(line, 'split')}: '{word}' is another split of the class"
                    f" '{name}' than in line {own[0].number}; a class has one"
                )
    problems.several(wrong)
    return found
