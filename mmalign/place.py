"""Where a run happens: its folder, and its device."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import torch

from mmalign.errors import MmalignError


def new_folder(parent: Path) -> Path:
    """A new folder named by the time; never one that is there already."""
    stamp = datetime.now(UTC).astimezone().strftime("%Y-%m-%dT%H-%M-%S")
    for attempt in range(1, 1000):
        folder = parent / (stamp if attempt == 1 else f"{stamp}-{attempt}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise MmalignError(f"cannot make {folder}: {error.strerror}; choose --out") from None
        return folder
    raise MmalignError(f"{parent}: too many runs begun in one second")


def made_folder(folder: Path, option: str) -> None:
    """Make a folder that may be there already. Raises MmalignError, naming the option."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MmalignError(f"{option}: cannot make {folder}: {error.strerror}") from None


def checked_device(name: str) -> str:
    """The device, if torch has it and keeps numbers there. Raises MmalignError otherwise."""
    try:
        torch.empty(1, device=name).tolist()  # "meta" has shapes only
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        said = str(error).splitlines()[0]
        raise MmalignError(f"run.device: torch cannot use '{name}': {said}") from None
    return name
