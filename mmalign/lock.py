"""One process at a time in a folder; the lock of a process that died is no lock."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmalign.errors import MmalignError


@contextmanager
def locked(folder: Path, what: str, option: str = "--out") -> Iterator[None]:
    """Hold the folder's lock. Raises MmalignError when another process holds it.

    ``option`` is what gives another folder. The operating system lets go of the lock when the
    process ends, however it ends.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("a+", encoding="utf-8")
    except OSError as error:
        raise MmalignError(f"cannot make {folder}: {error.strerror}; choose {option}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise MmalignError(
                f"{folder}: another {what} is at work here (process {holder}); wait for it, or"
                f" choose another {option}"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
