"""What a data set may offer beyond ``load``: to be looked through, begun anew, and fetched.

``mmalign data`` finds by these members what a data set can do; nothing has to be inherited.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

from mmalign.types import Source


@dataclass(frozen=True)
class Inspection:
    """What a folder of data holds, what is wrong with it, and what a run would make of it.

    ``found`` are files, each with what it is; ``problems`` one line a mistake: where, what is
    wrong, what to do. ``plan`` says how the splits come about and what else a run does.
    ``source`` is what ``load`` gives, and None where it gives nothing. ``recipe`` is one that
    suits the data, as TOML, "" where there is none.
    """

    found: tuple[tuple[str, str], ...]
    problems: tuple[str, ...] = ()
    plan: tuple[str, ...] = ()
    source: Source | None = None
    recipe: str = ""


@dataclass(frozen=True)
class Published:
    """Where a data set's authors publish it: a zip archive, and the files wanted from it.

    ``files`` are paths in the archive, each with the path that it gets below the data set's
    root. ``by`` says who publishes it.
    """

    url: str
    files: Mapping[str, str]
    by: str


@runtime_checkable
class Inspectable(Protocol):
    """A data set of a user's own files: it says what is there, and gives a first example.

    ``root`` is the folder of the files.
    """

    name: ClassVar[str]

    @property
    def root(self) -> Path: ...  # noqa: D102

    def inspect(self) -> Inspection:
        """Look through the folder; what is wrong with it is no exception here."""
        ...

    @classmethod
    def template(cls, root: str) -> Mapping[str, bytes]:
        """A small valid folder, file by file, with a recipe that reads it from ``root``."""
        ...


@runtime_checkable
class Fetchable(Protocol):
    """A data set that is published in one archive. ``root`` is the folder of the files."""

    name: ClassVar[str]
    published: ClassVar[Published]

    @property
    def root(self) -> Path: ...  # noqa: D102

    def differences(self) -> tuple[str, ...]:
        """Where files, counts and shapes are not as published; raises MmalignError as ``load``."""
        ...
