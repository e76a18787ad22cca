"""Stochastic gradient descent of the ranking losses: row by row, or in batches.

W is kept as (dim, columns), where columns are q, or maps x q for LATEM.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mmalign import Rows
from mmalign_baselines.samplers import Sampler, margins, shortfalls, some_wrong

BLOCK = 64  # rows whose products with W are taken together where steps go row by row
Given: TypeAlias = tuple[Tensor, ...]


@runtime_checkable
class Step(Protocol):
    """What rows ask of W: ``W += sum over rows of x change^T``."""

    def given(self, targets: Tensor, u: Tensor) -> Given:
        """What a step needs that does not depend on W, a line for each row."""
        ...

    def __call__(self, projected: Tensor, given: Given) -> tuple[Tensor, Tensor]:
        """Each row's change, and its weight, from its projection ``x^T W``."""
        ...


@dataclass(frozen=True)
class RankingStep:
    """``W += lr w x (a_y - a_c)^T``, for the violator c that the sampler takes, of weight w.

    ``standardise`` brings ``x^T W`` to mean 0 and deviation 1 before violators are looked for.
    """

    descriptions: Float[Tensor, "classes q"]
    sampler: Sampler
    lr: float
    margin: float
    standardise: bool = False

    def given(self, targets: Int[Tensor, " rows"], u: Float[Tensor, "rows 2"]) -> Given:
        """Targets, their descriptions, margins, and the numbers for chance."""
        a = self.descriptions
        margin = margins(targets, len(a), self.margin, a.dtype)
        return targets[:, None], self.lr * a[targets], margin, u

    def __call__(
        self, projected: Float[Tensor, "rows q"], given: Given
    ) -> tuple[Float[Tensor, "rows q"], Float[Tensor, " rows"]]:
        """Changes and weights."""
        targets, own, margin, u = given
        seen = standardised(projected) if self.standardise else projected
        short = shortfalls(seen @ self.descriptions.T, targets, margin)
        negatives, weights = self.sampler(short, u)
        apart = torch.sub(own, self.descriptions[negatives], alpha=self.lr)
        return apart.mul_(weights[:, None]), weights


@dataclass(frozen=True)
class LatentStep:
    """LATEM: a random wrong class c, and the maps i and j by which it and the true y score best.

    If c violates, ``W_i -= lr x a_c^T`` and ``W_j += lr x a_y^T``, which for i = j is one step.
    """

    descriptions: Float[Tensor, "classes q"]
    maps: int
    lr: float
    margin: float

    def given(self, targets: Int[Tensor, " rows"], u: Float[Tensor, "rows 2"]) -> Given:
        """Descriptions of the true class and of a wrong one."""
        wrong = some_wrong(targets, len(self.descriptions), u)
        return (self.descriptions[torch.stack([targets, wrong], 1)],)

    def __call__(
        self, projected: Float[Tensor, "rows columns"], given: Given
    ) -> tuple[Float[Tensor, "rows columns"], Float[Tensor, " rows"]]:
        """Changes and weights."""
        (pair,) = given
        by_map = projected.unflatten(1, (self.maps, -1))
        scores, maps = (pair @ by_map.mT).max(2)
        weights = (scores[:, 1] - scores[:, 0] > -self.margin).to(scores.dtype)
        moves = pair * torch.stack([weights, -weights], 1).mul_(self.lr)[:, :, None]
        changes = torch.zeros_like(by_map)
        changes.scatter_add_(1, maps[:, :, None].expand_as(moves), moves)
        return changes.flatten(1), weights


def standardised(projected: Float[Tensor, "rows q"]) -> Float[Tensor, "rows q"]:
    """Mean 0 and deviation 1 over q; a row that is the same everywhere becomes zeros."""
    deviation, mean = torch.std_mean(projected, 1, correction=0, keepdim=True)
    return (projected - mean).div_(deviation.clamp_min_(torch.finfo(projected.dtype).tiny))


def epochs(
    weight: Float[Tensor, "dim columns"],
    rows: Rows,
    step: Step,
    batch: int,
    order: torch.Generator,
    draws: torch.Generator,
    block: int = BLOCK,
) -> Iterator[float]:
    """Train ``weight`` in place, an epoch at a time; gives the mean weight of its steps.

    An epoch goes once through a permutation of the rows. With ``batch = 1`` each row's step is
    taken before the next row is looked at; otherwise a batch's steps are all found at the same
    W and then taken together, each as long as it would be alone. A W that has become infinite
    is left so.
    """
    device, size = rows.x.device, block if batch == 1 else batch
    while True:
        if not weight.isfinite().all():
            yield 0.0
            continue
        shuffled = torch.randperm(len(rows.x), generator=order).to(device)
        u = torch.rand(len(rows.x), 2, generator=draws, dtype=torch.float64).to(device)
        total = 0.0
        for part, chance in zip(shuffled.split(size), u.split(size), strict=True):
            x, given = rows.x[part], step.given(rows.targets[part], chance)
            if batch == 1:
                changes, weights = one_by_one(step, x, x @ weight, given)
            else:
                changes, weights = step(x @ weight, given)
            weight.addmm_(x.T, changes)
            total += float(weights.sum())
        yield total / len(rows.x)


def one_by_one(
    step: Step,
    x: Float[Tensor, "rows dim"],
    projected: Float[Tensor, "rows columns"],
    given: Given,
) -> tuple[Float[Tensor, "rows columns"], Float[Tensor, " rows"]]:
    """The changes of rows, each of which sees those of the rows before it.

    The step of row m moves the projection of row n by ``<x_n, x_m> change_m``. So the products
    with W, nearly all of the arithmetic, are those of matrices, a block of rows at a time, and
    the steps are still those of descent by single rows.
    """
    near, changes = x @ x.T, torch.zeros_like(projected)
    weights, single = [], list(zip(*(each.split(1) for each in given), strict=True))
    for row, before in enumerate(projected.split(1)):
        now = torch.addmm(before, near[row : row + 1, :row], changes[:row])
        changes[row : row + 1], weight = step(now, single[row])
        weights.append(weight)
    return changes, torch.cat(weights)
