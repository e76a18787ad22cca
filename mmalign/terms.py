"""The terms of a loss over an epoch's steps, and where the first one was no longer finite."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from mmalign.align import Batch
from mmalign.errors import MmalignError
from mmalign.group import Group

SHOWN = 8  # rows of a batch that an error names


class DivergedError(MmalignError):
    """A loss is no longer finite: in which step (from 1), which terms, for which training rows."""

    def __init__(
        self, stage: str, epoch: int, step: int, terms: tuple[str, ...], rows: tuple[int, ...]
    ) -> None:
        self.stage, self.epoch, self.step, self.terms, self.rows = stage, epoch, step, terms, rows
        shown = ", ".join(map(str, rows[:SHOWN])) + (", ..." if len(rows) > SHOWN else "")
        batch = f", with the training rows {shown} ({len(rows)} in all)" if rows else ""
        super().__init__(
            f"training diverged: {', '.join(terms)} no longer finite in step {step} of epoch"
            f" {epoch} of the {stage}{batch}; try a smaller method.lr, method.clip = 1.0, or"
            " another scaler of the modalities"
        )


class Terms:
    """What each step's terms came to, left on the device until the epoch ends."""

    def __init__(self) -> None:
        self.steps: list[Tensor] = []
        self.picked: list[Tensor | None] = []
        self.rows = 0
        self.names: tuple[str, ...] = ()

    def add(self, given: Batch, terms: Mapping[str, Tensor]) -> None:
        """The sums over a batch's rows: one number each, or one for each of several seeds."""
        self.names = tuple(terms)
        self.steps.append(torch.stack([each.detach() for each in terms.values()]))
        self.picked.append(given.picked)
        self.rows += given.count

    def means(
        self, stage: str, epoch: int, group: Group | None = None, seed: int | None = None
    ) -> dict[str, float]:
        """The mean of each term per row; ``epoch`` counts from 1.

        With a group, over the rows of all its processes; ``seed`` is the place of one of
        several. Raises DivergedError where one is no longer finite.
        """
        table = torch.stack(self.steps)
        if group is not None:
            group.sum(table)
        table = table if seed is None else table[..., seed]
        sums = table.double().sum(0).tolist()
        if not all(map(math.isfinite, sums)):
            raise self._diverged(~torch.isfinite(table), stage, epoch)
        return {name: value / self.rows for name, value in zip(self.names, sums, strict=True)}

    def _diverged(self, wrong: Tensor, stage: str, epoch: int) -> DivergedError:
        step = int(wrong.any(1).int().argmax())
        names = tuple(n for n, bad in zip(self.names, wrong[step].tolist(), strict=True) if bad)
        picked = self.picked[step]
        return DivergedError(
            stage, epoch, step + 1, names, () if picked is None else tuple(picked.tolist())
        )
