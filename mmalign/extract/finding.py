"""Which pictures a folder holds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mmalign.errors import MmalignError
from mmalign.pictures import SUFFIXES

NOWHERE = (-1, -1)  # the stamp of a link that leads nowhere


@dataclass(frozen=True)
class Found:
    """A picture's file: its path inside the folder, with "/", and what tells of a change.

    ``stamp`` is the file's size in bytes and its time of change in nanoseconds.
    """

    name: str
    path: Path
    stamp: tuple[int, int]


def find_pictures(folder: Path) -> tuple[Found, ...]:
    """Every picture in a folder and the folders in it, in the order of their names.

    A picture is known by its suffix; hidden files and folders are left out. Links are
    followed, and each real folder is read once, by its own name rather than a link's: a
    link that leads back to where it came from adds nothing. Raises MmalignError for a
    folder that is not there, cannot be looked into, or holds no picture.
    """
    if not folder.is_dir():
        said = "is no folder" if folder.exists() else "is not there"
        raise MmalignError(f"{folder} {said}; give a folder of pictures")
    found: list[Found] = []
    folders: list[tuple[Path, str]] = [(folder, "")]
    links: list[tuple[Path, str]] = []
    seen: set[tuple[int, int]] = set()
    while folders or links:
        here, prefix = folders.pop(0) if folders else links.pop(0)
        for entry, kind in _look_into(here, seen):
            name = f"{prefix}{entry.name}"
            if kind == "file":
                found.append(Found(name, folder / name, _stamp(entry)))
            else:
                (folders if kind == "folder" else links).append((folder / name, f"{name}/"))
    if not found:
        raise MmalignError(
            f"{folder} holds no picture; looked for {', '.join(SUFFIXES)}, in the folders in it too"
        )
    for each in found:
        if not each.name.isprintable():  # among them bytes that are no UTF-8
            raise MmalignError(f"{folder}: rename {each.name!r}; a name must be printable text")
    return tuple(sorted(found, key=lambda each: each.name))


def _look_into(folder: Path, seen: set[tuple[int, int]]) -> Iterator[tuple[os.DirEntry[str], str]]:
    """Pictures and folders in a folder that was not seen before; "link": to a folder."""
    try:
        about = folder.stat()
        if (about.st_dev, about.st_ino) in seen:
            return
        seen.add((about.st_dev, about.st_ino))
        with os.scandir(folder) as entries:
            ordered = sorted(entries, key=lambda each: each.name)
    except OSError as error:
        raise MmalignError(f"cannot look into {folder}: {error.strerror}") from None
    for entry in ordered:
        if entry.name.startswith("."):
            continue
        if _is(entry, "is_dir"):
            yield entry, "link" if entry.is_symlink() else "folder"
        # A pipe or a device is no picture, whatever its name; a link that leads nowhere is
        # a picture that is missed when it is read.
        elif Path(entry.name).suffix.lower() in SUFFIXES and (
            _is(entry, "is_file") or entry.is_symlink()
        ):
            yield entry, "file"


def _is(entry: os.DirEntry[str], what: str) -> bool:
    try:
        return bool(getattr(entry, what)())
    except OSError:  # links in a circle
        return False


def _stamp(entry: os.DirEntry[str]) -> tuple[int, int]:
    try:
        about = entry.stat()
    except OSError:
        return NOWHERE
    return about.st_size, about.st_mtime_ns
