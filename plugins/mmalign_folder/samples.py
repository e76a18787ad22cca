"""Reads which class each row of features has, and whether it trains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from mmalign import (
    Line,
    MmalignError,
    Problems,
    Table,
    did_you_mean,
    file_inside,
    map_npy,
    read_table,
    some_names,
)
from mmalign_folder.arrays import Array

COLUMNS = ("class", "sample", "split")
SPLITS = ("train", "test")


@dataclass(frozen=True)
class Samples:
    """One entry a sample: its class, its name, its split; ``names`` and ``splits`` may be ().

    ``file`` is where they stand, ``lines`` the line of each, () where the file has none.
    ``unused`` are columns that say nothing to mmalign.
    """

    file: str
    classes: tuple[str, ...]
    names: tuple[str, ...]
    splits: tuple[str, ...] = ()
    lines: tuple[int, ...] = ()
    unused: tuple[str, ...] = ()

    def where(self, row: int) -> str:
        """How a message names the place of a sample."""
        return f"{self.file}, line {self.lines[row]}" if self.lines else f"{self.file}, row {row}"


def read_samples(
    root: Path,
    name: str,
    arrays: Sequence[Array],
    others: Sequence[str],
    known: Sequence[str],
    problems: Problems,
) -> Samples | None:
    """The file of samples, or names of rows in its place; None where neither can be had.

    ``others`` are the CSV files that are there, for who has called it something else. ``known``
    are the names in the file of classes.
    """
    before = len(problems.lines)
    if name.endswith(".npy"):
        try:
            return _of_numbers(root, name, known)
        except MmalignError as error:
            problems.add(name, str(error))
            return None
    table = read_table(root, name, problems)
    if table is not None:
        return _of_table(table, problems)
    if len(problems.lines) > before:
        return None
    named = next((array for array in arrays if array.names), None)
    if named is None:
        there = f" (there is {some_names(others)})" if others else ""
        problems.add(
            name,
            f"is not there{there}; give a line for each row of features, with a column 'class'",
        )
        return None
    classes = _classes_of(named.names, named.name, (), problems)
    return None if classes is None else Samples(named.name, classes, named.names)


def _of_numbers(root: Path, name: str, known: Sequence[str]) -> Samples:
    """Labels as whole numbers: millions of samples take no line of text each."""
    path = file_inside(root, name)
    if path is None:
        raise MmalignError("is not there")
    held = map_npy(path)
    if held.dtype.kind not in "iu" or held.size == 0 or held.ndim == 0:
        raise MmalignError("holds no whole numbers; give the class of each sample, from 0")
    columns = held[:, None] if held.ndim == 1 else held
    if columns.ndim != 2 or columns.shape[1] > 2:
        raise MmalignError(
            f"has the shape {held.shape}; give (samples,), or (samples, 2) with a 1 for those asked"
        )
    wrong = np.flatnonzero((columns[:, 0] < 0) | (columns[:, 0] >= len(known)))
    if len(wrong):
        raise MmalignError(
            f"row {wrong[0]}: class {columns[wrong[0], 0]} is none of the {len(known)} in the file"
            " of classes, which are counted from 0"
        )
    if columns.shape[1] == 2 and not np.isin(columns[:, 1], (0, 1)).all():
        row = int(np.argmin(np.isin(columns[:, 1], (0, 1))))
        raise MmalignError(f"row {row}: {columns[row, 1]} is no split; 0 trains, and 1 is asked")
    # One object a class, not one a sample.
    classes = tuple(map(known.__getitem__, columns[:, 0].tolist()))
    words = map(SPLITS.__getitem__, columns[:, 1].tolist()) if columns.shape[1] == 2 else ()
    return Samples(name, classes, (), tuple(words))


def _of_table(table: Table, problems: Problems) -> Samples | None:
    before = len(problems.lines)
    where, columns = f"{table.name}, line 1", list(dict.fromkeys(table.columns))
    for column in columns:
        hint = did_you_mean(column, COLUMNS)
        if column not in COLUMNS and hint.startswith("did"):
            problems.add(where, f"there is no use for the column '{column}'; {hint}")
        if column in COLUMNS and len(table.places(column)) > 1:
            problems.add(where, f"has the column '{column}' twice; keep one")
    if not {"class", "sample"} & set(columns):
        problems.add(where, f"has no column 'class'; there are {some_names(columns)}")
    names = _column(table, "sample", problems)
    _refuse_twins(table, names, problems)
    lines = tuple(line.number for line in table.lines)
    if "class" in columns:
        classes: tuple[str, ...] | None = _column(table, "class", problems)
    else:
        classes = _classes_of(names, table.name, lines, problems)
    splits = tuple(table.cell(line, "split").casefold() for line in table.lines)
    problems.several([
        f"{table.where(line, 'split')}: '{table.cell(line, 'split')}' is no split; write train"
        " or test"
        for line, split in zip(table.lines, splits, strict=True)
        if split and split not in SPLITS
    ])  # fmt: skip
    if len(problems.lines) > before or classes is None:
        return None
    unused = tuple(column for column in columns if column not in COLUMNS)
    return Samples(table.name, classes, names, splits if any(splits) else (), lines, unused)


def _column(table: Table, column: str, problems: Problems) -> tuple[str, ...]:
    """A column in which every cell is filled; () where there is none."""
    if column not in table.columns:
        return ()
    found = tuple(table.cell(line, column) for line in table.lines)
    kind = "class" if column == "class" else "name"
    problems.several([
        f"{table.where(line, column)}: is empty; every sample has a {kind}"
        for line, cell in zip(table.lines, found, strict=True)
        if not cell
    ])  # fmt: skip
    return found


def _refuse_twins(table: Table, names: Sequence[str], problems: Problems) -> None:
    first: dict[str, Line] = {}
    wrong = []
    for line, name in zip(table.lines, names, strict=False):
        if name and first.setdefault(name, line) is not line:
            wrong.append(
                f"{table.where(line, 'sample')}: '{name}' stands in line {first[name].number} too;"
                " a sample has one line"
            )
    problems.several(wrong)


def _classes_of(
    names: Sequence[str], file: str, lines: Sequence[int], problems: Problems
) -> tuple[str, ...] | None:
    """The class of a sample is the folder that it lies in."""
    found = tuple(PurePosixPath(name.replace("\\", "/")).parent.name for name in names)
    wrong = []
    for row, (name, folder) in enumerate(zip(names, found, strict=True)):
        if name and not folder:
            place = f"line {lines[row]}" if lines else f"row {row}"
            wrong.append(
                f"{file}, {place}: '{name}' lies in no folder that could be its class; give a"
                " column 'class' in samples.csv"
            )
    problems.several(wrong)
    return None if wrong else found
