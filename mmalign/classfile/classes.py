"""Reads a file of classes: names, attributes and texts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mmalign.classfile.csvfile import Line, Table, read_table
from mmalign.classfile.problems import Problems, some_names
from mmalign.types import Texts, View


@dataclass(frozen=True)
class Classes:
    """The classes in the order of their first lines, and all that describes them.

    ``words`` are, by column, one word a class, "" where it has none; ``lines`` the number of
    each class's first line.
    """

    names: tuple[str, ...]
    attributes: View | None
    texts: Mapping[str, Texts]
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    lines: tuple[int, ...] = ()


def read_classes(
    root: Path,
    texts: Sequence[str],
    problems: Problems,
    name: str,
    words: Sequence[str] = (),
) -> Classes | None:
    """Read and check a file of classes; None where their names cannot be known.

    ``texts`` are the columns of text, ``words`` those of one word a class; all others but
    "class" hold numbers.
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
    attributes = _attributes(table, lines, (*texts, *words), problems)
    described = {
        name: Texts(tuple(_texts(table, own, name) for own in lines.values()), "class")
        for name in texts
        if name in table.columns
    }
    said = {
        name: _one_each(table, lines, name, problems) for name in words if name in table.columns
    }
    first = tuple(own[0].number for own in lines.values())
    return Classes(tuple(lines), attributes, described, said, first)


def _check_columns(table: Table, texts: Sequence[str], problems: Problems) -> bool:
    """Whether there are classes; a text's column may be repeated, no other one may."""
    where = f"{table.name}, line 1"
    for name in dict.fromkeys(table.columns):
        if len(table.places(name)) > 1 and name not in texts:
            problems.add(where, f"has the column '{name}' twice; keep one")
    if "class" not in table.columns:
        problems.add(
            where,
            f"has no column 'class'; there are {some_names(table.columns)}, and that of the names"
            " must be called so",
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


def _one_each(
    table: Table, lines: Mapping[str, Sequence[Line]], column: str, problems: Problems
) -> tuple[str, ...]:
    """A column's word of each class, which a class with several lines may say once or more."""
    found, wrong = [], []
    for own in lines.values():
        said = list(dict.fromkeys(filter(None, (table.cell(line, column) for line in own))))
        found.append(said[0] if said else "")
        if len(said) > 1:
            wrong.append(
                f"{table.where(own[0], column)}: the class is both '{said[0]}' and '{said[1]}'"
                " in its lines; a class is one"
            )
    problems.several(wrong)
    return tuple(found)


def _attributes(
    table: Table, lines: Mapping[str, Sequence[Line]], others: Sequence[str], problems: Problems
) -> View | None:
    """One row a class; a class whose cells are all empty has no attributes."""
    columns = [name for name in dict.fromkeys(table.columns) if name not in ("class", *others)]
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
        f" {some_names([column for column, there in zip(columns, row, strict=True) if not there])};"
        " fill in all of them, or none"
        for (name, own), row in zip(lines.items(), given, strict=True)
        if row.any() and not row.all()
    ])  # fmt: skip
    if not mask.any():
        problems.add(table.name, f"the columns {some_names(columns)} hold no number; fill them in")
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
                    " have; write one such as 0.5; text goes into a column 'description'"
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
