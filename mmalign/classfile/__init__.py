"""Reads classes and what describes them from a CSV file, and says all that is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmalign.classfile.classes import Classes as Classes
from mmalign.classfile.classes import read_classes as read_classes
from mmalign.classfile.csvfile import Line as Line
from mmalign.classfile.csvfile import Table as Table
from mmalign.classfile.csvfile import file_inside as file_inside
from mmalign.classfile.csvfile import read_table as read_table
from mmalign.classfile.problems import Problems as Problems
from mmalign.classfile.problems import some_names as some_names
from mmalign.errors import MmalignError


def read_class_file(path: Path, texts: Sequence[str] = ("description",)) -> Classes:
    """Names, numbers and texts of one file. Raises MmalignError with every mistake in it."""
    try:
        problems, path = Problems(), path.expanduser().resolve()
    except (OSError, RuntimeError, ValueError) as error:  # a home of nobody, links in a circle
        raise MmalignError(f"{path}: cannot be looked for: {error}") from None
    found = read_classes(path.parent, texts, problems, path.name)
    if found is None or problems.lines:
        raise MmalignError("\n  ".join([f"{path}: not readable as classes", *problems.lines]))
    return found
