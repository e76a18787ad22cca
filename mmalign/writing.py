"""Files and folders that are there whole or not at all, whenever the process is killed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mmalign.errors import MmalignError


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, over one that is there. Raises MmalignError where that cannot be.

    What was there before stays as it was until the new one is on the disk.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        sync(path.parent)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise unwritten(path, error) from None


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """An empty folder to write into, which takes the place of ``path`` at the end.

    Where that is not reached, what was there before stays. Raises MmalignError where the
    disk is full, or the place may not be written to.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        yield part
        for each in part.rglob("*"):
            sync(each)
        sync(part)
        if path.exists():  # a folder that is not empty cannot be replaced in one step
            shutil.rmtree(path)
        part.rename(path)
        sync(path.parent)
    except OSError as error:
        raise unwritten(path, error) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


def sync(path: Path) -> None:
    """Have what was written to this file, or the names in this folder, go to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def unwritten(path: Path, error: OSError) -> MmalignError:
    """What to say of a file or folder that cannot be written."""
    why = error.strerror or str(error)
    return MmalignError(f"cannot write {path}: {why}; make room, or choose another folder")
