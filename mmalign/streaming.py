"""Feeds the training loop from rows that stay on disk: blocks, windows, one thread ahead."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from mmalign.ahead import ahead
from mmalign.align import Batch
from mmalign.arrays import Floats, Indices
from mmalign.feeding import Draw, Feed, Resident
from mmalign.group import Group
from mmalign.stored import Stored
from mmalign.types import Training, View

BLOCK = 2**18  # bytes of neighbouring rows that are read together
WINDOW = 2**26  # bytes of the blocks that are shuffled together; up to three are in memory
Part: TypeAlias = tuple[Tensor, dict[str, Tensor]]  # numbers of rows, and their values


@dataclass(frozen=True)
class Window:
    """Rows of training as they lie in the file, and the order in which they are fed.

    ``rows`` are their numbers, ``values`` their numbers by modality: arrays that serve one
    window after another.
    """

    rows: Tensor
    order: Tensor
    values: dict[str, Tensor]

    def __len__(self) -> int:
        return len(self.order)

    def part(self, start: int, stop: int | None = None) -> Part:
        """Numbers and values of rows from one place in the order to another, copied."""
        here = self.order[start:stop]
        return self.rows[here], {n: x.index_select(0, here) for n, x in self.values.items()}


class Streamed(Feed):
    """The training rows out of their files: memory does not grow with their number.

    A block of neighbouring rows is read together. Blocks come in random order, and the rows
    of some of them, a window, are shuffled among one another, while a thread reads the window
    that comes next. So an epoch reads every row once, and a row's companions come from as many
    places in the file as a window has blocks. ``block`` and ``window`` are in bytes of float32.
    Of every row a label, its place and its number stay in memory, 24 bytes at most.
    """

    def __init__(
        self, training: Training, device: str, block: int = BLOCK, window: int = WINDOW
    ) -> None:
        super().__init__(training, device)
        self.views = {n: view for n, view in training.views.items() if view.level == "sample"}
        stored = [view.values for view in self.views.values() if isinstance(view.values, Stored)]
        # Rows that were cut out class by class, as validation does, lie elsewhere in the file.
        rows = stored[0].rows
        self.lie: Tensor | None = None
        if rows is not None and not (rows[1:] >= rows[:-1]).all():
            self.lie = torch.from_numpy(stored[0].in_order(np.arange(len(self))))
        grain = max(values.store.grain for values in stored)
        size = 4 * sum(view.dim for view in self.views.values())
        self.block = max(1, block // size, grain)
        self.window = max(1, window // (size * self.block))  # in blocks

    def batches(
        self, batch: int, draw: Draw, generator: torch.Generator, group: Group | None = None
    ) -> Generator[Batch, None, None]:
        """The batches of an epoch, as many as of ``Resident``.

        With "random" every window is drawn anew from all blocks, so that an epoch misses some
        and takes others twice; "shuffle" takes each once.
        """
        free: deque[dict[str, Floats]] = deque()
        read = (
            self._read(rows, order, free) for rows, order in self.orders(batch, draw, generator)
        )
        rest: Part | None = None
        with closing(ahead(read)) as windows:
            for window in windows:
                start = 0
                if rest is not None:
                    start = min(batch - len(rest[0]), len(window))
                    rest = _joined(rest, window.part(0, start))
                    if len(rest[0]) == batch:
                        yield self._batch(*rest, group)
                        rest = None
                whole = start + (len(window) - start) // batch * batch
                for first in range(start, whole, batch):
                    yield self._batch(*window.part(first, first + batch), group)
                if whole < len(window):
                    rest = window.part(whole)
                free.append({name: x.numpy() for name, x in window.values.items()})
        if rest is not None:
            yield self._batch(*rest, group)

    def orders(
        self, batch: int, draw: Draw, generator: torch.Generator
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Of each window the rows as they lie in the file, and the order in which they are fed."""
        count = len(self)
        blocks, batch = math.ceil(count / self.block), min(batch, count)
        left = count if draw == "shuffle" else math.ceil(count / batch) * batch
        order, start = torch.randperm(blocks, generator=generator), 0
        while left > 0:
            if draw == "random" and start:
                order, start = torch.randperm(blocks, generator=generator), 0
            # In the order of the file, which a disk prefers; they are shuffled afterwards.
            taken = order[start : start + self.window].sort().values
            start += self.window
            rows = (taken[:, None] * self.block + torch.arange(self.block)).flatten()
            rows = rows[rows < count]
            rows = rows if self.lie is None else self.lie[rows]
            fed = torch.randperm(len(rows), generator=generator)[:left]
            left -= len(fed)
            yield rows, fed

    def _read(self, rows: Tensor, order: Tensor, free: deque[dict[str, Floats]]) -> Window:
        """Read a window's rows, block by block, into arrays that are free or new."""
        count = self.block * self.window
        held = free.popleft() if free else {
            name: np.empty((min(count, len(self)), view.dim), np.float32)
            for name, view in self.views.items()
        }  # fmt: skip
        for name, view in self.views.items():
            for start in range(0, len(rows), self.block):
                part = rows[start : start + self.block].numpy()
                self._fill(held[name][start : start + len(part)], view, part)
        values = {name: torch.from_numpy(x) for name, x in held.items()}
        return Window(rows, order, values)

    @staticmethod
    def _fill(out: Floats, view: View, rows: Indices) -> None:
        if isinstance(view.values, Stored):
            view.values.fill(out, rows)
        else:
            out[:] = view.values[rows]
        lacking = ~view.mask[rows]
        if lacking.any():
            out[lacking] = 0

    def _batch(self, rows: Tensor, values: dict[str, Tensor], group: Group | None) -> Batch:
        share = None if group is None else group.share(len(rows))
        own = slice(None) if share is None else share.rows
        here = {name: x[own].to(self.device) for name, x in values.items()}
        return replace(self.with_classes(rows[own], here), share=share)


def _joined(one: Part, other: Part) -> Part:
    """The rows of one, then those of the other."""
    values = {name: torch.cat([x, other[1][name]]) for name, x in one[1].items()}
    return torch.cat([one[0], other[0]]), values


def feed(training: Training, device: str) -> Feed:
    """What suits the rows: tensors where they are arrays, a stream where any stay on disk."""
    stored = any(isinstance(view.values, Stored) for view in training.views.values())
    return Streamed(training, device) if stored else Resident(training, device)
