"""How much memory is at hand, asked before something large is read whole."""

from __future__ import annotations

from pathlib import Path

from mmalign.errors import MmalignError

MEMINFO = Path("/proc/meminfo")
GROUP = Path("/sys/fs/cgroup")
SHARE = 0.5  # of what is at hand, that one array may take
GIB = 2**30


def at_hand() -> int | None:
    """Bytes that a process may still take; None where the system does not say.

    The machine's available memory, or what is left of the control group's limit, whichever is
    less.
    """
    left = [each for each in (_of_machine(), _of_group()) if each is not None]
    return min(left, default=None)


def refuse_too_large(size: int, what: str, advice: str) -> None:
    """Raises MmalignError where ``size`` bytes are more than half of what is at hand."""
    left = at_hand()
    if left is not None and size > SHARE * left:
        raise MmalignError(
            f"{what} would take {size / GIB:.1f} GiB of memory, and {left / GIB:.1f} GiB are at"
            f" hand; {advice}"
        )


def _of_machine() -> int | None:
    try:
        for line in MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return None


def _of_group() -> int | None:
    try:
        most = int((GROUP / "memory.max").read_text())
        return max(0, most - int((GROUP / "memory.current").read_text()))
    except (OSError, ValueError):  # "max": no limit
        return None
