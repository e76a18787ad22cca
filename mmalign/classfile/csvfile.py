"""A CSV file with the number of each line, and where its mistakes are."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mmalign.classfile.problems import Problems
from mmalign.errors import MmalignError
from mmalign.memory import refuse_too_large

SHARED = 2**16  # different cells that are looked up
TIMES = 8  # bytes of memory that a byte of a usual file takes


@dataclass(frozen=True, slots=True)
class Line:
    """One line's cells, without the spaces around; ``number`` counts from 1, as editors do."""

    number: int
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A CSV file: columns from its first line, and the lines below that are not empty."""

    name: str
    columns: tuple[str, ...]
    lines: tuple[Line, ...]

    @cached_property
    def _where(self) -> Mapping[str, tuple[int, ...]]:
        """The places of each column: looking through thousands for every cell takes for ever."""
        found: dict[str, list[int]] = {}
        for place, name in enumerate(self.columns):
            found.setdefault(name, []).append(place)
        return {name: tuple(places) for name, places in found.items()}

    def places(self, column: str) -> tuple[int, ...]:
        """Where a column of this name stands; several times where it is repeated."""
        return self._where.get(column, ())

    def cell(self, line: Line, column: str) -> str:
        """What stands in the first column of this name; "" where there is none."""
        places = self._where.get(column)
        return line.cells[places[0]] if places else ""

    def where(self, line: Line, column: str = "") -> str:
        """How a message names a place."""
        place = f"{self.name}, line {line.number}"
        return f"{place}, column '{column}'" if column else place


def file_inside(root: Path, name: str) -> Path | None:
    """The file of this name in a folder, if it is there; ``root`` is resolved.

    Raises MmalignError for a link that leads out of the folder.
    """
    path = root / name
    if not path.is_file():
        return None
    if not path.resolve().is_relative_to(root):
        raise MmalignError(
            f"{name}: a link to {path.resolve()}, which is outside the folder and not read; copy"
            " the file here, or make root the folder that holds both"
        )
    return path


def read_table(root: Path, name: str, problems: Problems) -> Table | None:
    """Read a CSV file of a folder; None where it is not there, or not readable as one."""
    try:
        path = file_inside(root, name)
        if path is None:
            return None
        refuse_too_large(TIMES * path.stat().st_size, f"{name}: its lines", "take a file of fewer")
        content = path.read_bytes()
        return _table(name, content, problems)
    except OSError as error:
        problems.add(name, f"cannot be read: {error.strerror}")
    except MmalignError as error:
        problems.lines.append(str(error))
    return None


def _table(name: str, content: bytes, problems: Problems) -> Table | None:
    lines = _lines(name, content)
    if not lines:
        raise MmalignError(f"{name}: is empty; its first line names the columns")
    columns = lines[0].cells
    before = len(problems.lines)
    if len(columns) == 1 and (mark := next((m for m in ";\t|" if m in columns[0]), None)):
        raise MmalignError(
            f"{name}, line 1: cells are separated by {mark!r}; save the file with commas"
        )
    problems.several([
        f"{name}, line 1: column {place} has no name; name it, or take it out"
        for place, column in enumerate(columns, start=1)
        if not column
    ])  # fmt: skip
    problems.several([
        f"{name}, line {line.number}: has {len(line.cells)} cells for {len(columns)} columns; put"
        " a cell that holds a comma in double quotes"
        for line in lines[1:]
        if len(line.cells) != len(columns)
    ])  # fmt: skip
    if len(lines) == 1:
        problems.add(name, "has no line below the names of its columns")
    if len(problems.lines) > before:
        return None
    return Table(name, columns, tuple(lines[1:]))


def _lines(name: str, content: bytes) -> list[Line]:
    """The lines in which anything stands. Raises MmalignError where it is no CSV file."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MmalignError(
            f"{name}: no CSV file in UTF-8: {error.reason} at byte {error.start}; save it as"
            ' "CSV UTF-8"'
        ) from None
    if "\0" in text:
        raise MmalignError(f"{name}: no CSV file: it holds bytes that are no text")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    lines, before = [], 0
    known: dict[str, str] = {}  # of millions of cells that say the same, one object each
    try:
        for cells in reader:
            # A cell may hold line breaks; the line that opens with it is the one to look at.
            if any(cell.strip() for cell in cells):
                bare = [cell.strip() for cell in cells]
                if len(known) < SHARED:
                    known.update(zip(bare, bare, strict=True))
                lines.append(Line(before + 1, tuple(known.get(cell, cell) for cell in bare)))
            before = reader.line_num
    except csv.Error as error:
        raise MmalignError(f"{name}, line {before + 1}: no CSV from here on: {error}") from None
    return lines
