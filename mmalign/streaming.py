"""Feeds the training loop from rows that stay on disk: blocks, windows, one thread ahead."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from mmalign.ahead import ahead
from mmalign.align import Batch
from mmalign.feeding import Draw, Feed, Resident
from mmalign.group import Group
from mmalign.stored import Stored
from mmalign.types import Floats, Indices, Training, View

BLOCK = 2**18  # bytes of neighbouring rows that are read together
WINDOW = 2**26  # bytes of the blocks that are shuffled together; up to three are in memory


@dataclass(frozen=True)
class Window:
    """Rows of training in the order in which they are fed, and their numbers by modality."""

    rows: Tensor
    values: dict[str, Tensor]

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, start: int, stop: int | None = None) -> Window:
        """Some of them, not copied."""
        cut = slice(start, stop)
        return Window(self.rows[cut], {name: x[cut] for name, x in self.values.items()})

    def with_more(self, more: Window) -> Window:
        """These, and more behind them, copied."""
        values = {name: torch.cat([x, more.values[name]]) for name, x in self.values.items()}
        return Window(torch.cat([self.rows, more.rows]), values)


class Streamed(Feed):
    """The training rows out of their files: memory does not grow with their number.

    A block of neighbouring rows is read together. Blocks come in random order, and the rows
    of some of them, a window, are shuffled among one another, while a thread reads the window
    that comes next. So an epoch reads every row once, and a row's companions come from as many
    places in the file as a window has blocks. ``block`` and ``window`` are in bytes of float32.
    Of every row a label and its number stay in memory, 16 bytes.
    """

    def __init__(
        self, training: Training, device: str, block: int = BLOCK, window: int = WINDOW
    ) -> None:
        super().__init__(training, device)
        self.views = {n: view for n, view in training.views.items() if view.level == "sample"}
        stored = [view.values for view in self.views.values() if isinstance(view.values, Stored)]
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
        rest: Window | None = None
        with closing(ahead(self._read(rows) for rows in self._orders(batch, draw, generator))) as w:
            for window in w:
                start = 0
                if rest is not None:
                    start = batch - len(rest)
                    rest = rest.with_more(window.part(0, start))
                    if len(rest) < batch:
                        continue
                    yield self._batch(rest, group)
                whole = start + (len(window) - start) // batch * batch
                for first in range(start, whole, batch):
                    yield self._batch(window.part(first, first + batch), group)
                left = window.part(whole)  # copied, or it would hold the whole window
                rest = left.with_more(left.part(0, 0)) if len(left) else None
        if rest is not None:
            yield self._batch(rest, group)

    def orders(self, batch: int, draw: Draw, generator: torch.Generator) -> Iterator[Tensor]:
        """The rows of each window, in the order in which they are fed."""
        for rows, place in self._orders(batch, draw, generator):
            order = torch.empty(len(rows), dtype=torch.int64)
            order[torch.from_numpy(place)] = torch.from_numpy(rows)
            yield order

    def _orders(
        self, batch: int, draw: Draw, generator: torch.Generator
    ) -> Iterator[tuple[Indices, Indices]]:
        """Of each window the rows as they lie in the file, and each one's place when fed."""
        count = len(self)
        blocks, batch = math.ceil(count / self.block), min(batch, count)
        left = count if draw == "shuffle" else math.ceil(count / batch) * batch
        order = torch.randperm(blocks, generator=generator).numpy()
        start = 0
        while left > 0:
            if draw == "random" and start:
                order, start = torch.randperm(blocks, generator=generator).numpy(), 0
            # In the order of the file, which a disk prefers; they are shuffled afterwards.
            taken = np.sort(order[start : start + self.window])
            start += self.window
            rows = (taken[:, None] * self.block + np.arange(self.block)).reshape(-1)
            rows = rows[rows < count]
            place = torch.randperm(len(rows), generator=generator).numpy()
            kept = place < left
            left -= int(kept.sum())
            yield rows[kept], place[kept]

    def _read(self, window: tuple[Indices, Indices]) -> Window:
        """Read a window's rows, block by block, each row into its place."""
        rows, place = window
        order = np.empty(len(rows), np.int64)
        order[place] = rows
        values = {
            name: torch.from_numpy(self._of(v, rows, place)) for name, v in self.views.items()
        }
        return Window(torch.from_numpy(order), values)

    def _of(self, view: View, rows: Indices, place: Indices) -> Floats:
        out: Floats = np.empty((len(rows), view.dim), np.float32)
        for start in range(0, len(rows), self.block):
            part = slice(start, start + self.block)
            x = view.values[rows[part]]
            lacking = ~view.mask[rows[part]]
            if lacking.any():
                x[lacking] = 0
            out[place[part]] = x
        return out

    def _batch(self, window: Window, group: Group | None) -> Batch:
        share = None if group is None else group.share(len(window))
        own = window if share is None else window.part(share.start, share.stop)
        values = {name: x.to(self.device) for name, x in own.values.items()}
        return replace(self.with_classes(own.rows, values), share=share)


def feed(training: Training, device: str) -> Feed:
    """What suits the rows: tensors where they are arrays, a stream where any stay on disk."""
    stored = any(isinstance(view.values, Stored) for view in training.views.values())
    return Streamed(training, device) if stored else Resident(training, device)
