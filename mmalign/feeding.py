"""What feeds the training loop: which rows a step takes, and their numbers as a batch."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Generator
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from mmalign.align import Batch
from mmalign.group import Group
from mmalign.types import Training

Draw = Literal["random", "shuffle"]


class Feed(ABC):
    """The training rows, as batches; class-level views stay one row a class.

    Labels and the order of rows stay on the host, where they are drawn: so which classes a
    batch has is known without waiting for the device.
    """

    def __init__(self, training: Training, device: str) -> None:
        self.device = device
        self.labels = torch.from_numpy(training.labels)
        self.classes, self.masks = {}, {}
        for name, view in training.views.items():
            if view.level == "class":
                self.classes[name] = torch.from_numpy(view.array).to(device)
            mask = view.mask if view.level == "sample" else view.mask[training.labels]
            if not mask.all():
                self.masks[name] = torch.from_numpy(mask).to(device)

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def batches(
        self, batch: int, draw: Draw, generator: torch.Generator, group: Group | None = None
    ) -> Generator[Batch, None, None]:
        """The batches of an epoch; close it where it is not read to its end.

        With a group they are this process's shares, of the same batches as without.
        """

    def with_classes(self, rows: Tensor, values: dict[str, Tensor]) -> Batch:
        """A batch of these rows; a class-level view has one row for each class among them.

        ``values`` are the sample-level views' numbers of the rows, on the device.
        """
        picked = rows
        classes, place = torch.unique(self.labels[rows], return_inverse=True)
        here, classes, place = (each.to(self.device) for each in (rows, classes, place))
        described = {name: x.index_select(0, classes) for name, x in self.classes.items()}
        masks = {name: mask[here] for name, mask in self.masks.items()}
        return Batch(values | described, masks, dict.fromkeys(described, place), None, picked)


class Resident(Feed):
    """The training rows as tensors on the device."""

    def __init__(self, training: Training, device: str) -> None:
        super().__init__(training, device)
        self.values = {
            name: torch.from_numpy(view.array).to(device)
            for name, view in training.views.items()
            if view.level == "sample"
        }

    def batches(
        self, batch: int, draw: Draw, generator: torch.Generator, group: Group | None = None
    ) -> Generator[Batch, None, None]:
        """The batches of an epoch."""
        for rows in indices(len(self), batch, draw, generator):
            if group is None:
                yield self.batch(rows)
            else:
                share = group.share(len(rows))
                yield replace(self.batch(rows[share.rows]), share=share)

    def batch(self, rows: Tensor) -> Batch:
        """These training rows."""
        here = rows.to(self.device)
        return self.with_classes(
            rows, {name: x.index_select(0, here) for name, x in self.values.items()}
        )


def indices(count: int, batch: int, draw: Draw, generator: torch.Generator) -> list[Tensor]:
    """The rows of each of an epoch's ``ceil(count / batch)`` steps.

    "random" draws every batch anew from all rows, so that an epoch misses some and takes
    others twice (the published code); "shuffle" goes once through a permutation.
    """
    steps = math.ceil(count / batch)
    if draw == "shuffle":
        return list(torch.randperm(count, generator=generator).split(batch))
    return [torch.randperm(count, generator=generator)[:batch] for _ in range(steps)]
