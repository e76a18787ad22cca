"""A piece of work in a process of its own, which is killed (SIGKILL) at a chosen moment.

The process is forked, so that the imports are paid for once.
"""

import contextlib
import os
import signal
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch

from mmalign import bundle, writing


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class After:
    """Killed from outside, so many seconds after the work began."""

    seconds: float

    def arm(self):
        """Nothing: the parent kills."""


@dataclass(frozen=True)
class During:
    """Killed in the middle of the n-th call of one of ``PLACES``."""

    place: str
    n: int

    def arm(self):
        """Have the call kill this process."""
        holder, name = PLACES[self.place]
        real, left = getattr(holder, name), [self.n]

        def counted(*given, **named):
            left[0] -= 1
            if left[0] == 0:
                half(self.place, given)
            return real(*given, **named)

        setattr(holder, name, counted)


# Where a run may be killed on its way: before what is written reaches the disk, between the
# renaming of a file and of the next, while a checkpoint is put together, while the model is.
PLACES = {
    "fsync": (os, "fsync"),
    "rename": (Path, "replace"),
    "checkpoint": (safetensors.torch, "save"),
    "export": (bundle, "save_file"),
    "card": (writing, "sync"),
}


def half(place, given):
    """Leave half a file behind, as a process does that is killed while it writes; then die."""
    if place == "export":
        Path(given[1]).write_bytes(b"\0" * 100)
    if place == "fsync":
        with contextlib.suppress(OSError):  # a folder, or a file that is only read
            os.ftruncate(given[0], os.fstat(given[0]).st_size // 2)
    die()


def survived(work: Callable[[], None], killed: After | During | None = None) -> bool:
    """Do the work in a fork; whether it came to its end before it was killed.

    Raises AssertionError, with its traceback, where it ends in an error of its own.
    """
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 0
        try:
            os.close(told)
            if killed is not None:
                killed.arm()
            work()
        except BaseException:
            os.write(tell, traceback.format_exc().encode()[-60_000:])
            status = 1
        finally:
            os._exit(status)
    os.close(tell)
    if isinstance(killed, After):
        time.sleep(killed.seconds)
        os.kill(pid, signal.SIGKILL)
    with os.fdopen(told, "rb") as pipe:
        said = pipe.read().decode()
    _, status = os.waitpid(pid, 0)
    assert not said, said
    return os.waitstatus_to_exitcode(status) == 0
