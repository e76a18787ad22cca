"""Checkpoints of one fit: the state of its loops in files, by which a killed run goes on."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from mmalign.errors import MmalignError
from mmalign.writing import write_whole

if TYPE_CHECKING:
    from torch import Tensor

KEPT = 2  # of each loop: should the last one be damaged, the one before it is there
Terms: TypeAlias = Mapping[str, float]


@dataclass(frozen=True)
class Checkpoint:
    """A loop after an epoch: what each epoch's terms were, and its tensors by name."""

    history: tuple[Terms, ...]
    tensors: Mapping[str, Tensor]


class Checkpoints:
    """Those of one fit, in a folder that is made when the first is written.

    A loop is known by its stage and by how many of that stage there were before: the same
    fit comes to the same loops again. A checkpoint is due ``every`` seconds after the last
    one, so that no more than these are lost; 0 keeps one after each epoch.
    """

    def __init__(
        self, folder: Path, every: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.folder, self.every, self.clock = folder, every, clock
        self.last = clock()
        self.begun: Counter[str] = Counter()

    def loop(self, stage: str) -> str:
        """The name of a loop that begins."""
        name = re.sub(r"[^A-Za-z0-9_.+-]", "_", stage)
        self.begun[name] += 1
        return f"{name}-{self.begun[name]}"

    @property
    def due(self) -> bool:
        """Whether so much time has passed that one should be written."""
        return self.clock() - self.last >= self.every

    def save(self, loop: str, history: Sequence[Terms], tensors: Mapping[str, Tensor]) -> None:
        """Keep a loop's state. Raises MmalignError where it cannot be written."""
        from safetensors.torch import save

        here = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        said = {"history": json.dumps(list(history)), "sha256": _digest(here)}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MmalignError(f"cannot make {self.folder}: {error.strerror}") from None
        write_whole(self._file(loop, len(history)), save(here, said))
        for old in self._files(loop)[:-KEPT]:
            old.unlink(missing_ok=True)
        self.last = self.clock()

    def load(self, loop: str) -> Checkpoint | None:
        """The last whole checkpoint of a loop, None where there is none."""
        for path in reversed(self._files(loop)):
            if (found := _read(path)) is not None:
                return found
        return None

    def _file(self, loop: str, epoch: int) -> Path:
        return self.folder / f"{loop}.{epoch:06}.safetensors"

    def _files(self, loop: str) -> list[Path]:
        """A loop's checkpoints, the oldest first."""
        return sorted(self.folder.glob(f"{loop}.[0-9]*.safetensors"))


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].flatten().numpy().data)
    return digest.hexdigest()


def _read(path: Path) -> Checkpoint | None:
    """A checkpoint that is whole, or None: a disk may lose what it had said was written."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            said = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        whole = said["sha256"] == _digest(tensors)
        return Checkpoint(tuple(json.loads(said["history"])), tensors) if whole else None
    except (SafetensorError, OSError, KeyError, TypeError, ValueError):
        return None
