"""Which wrong class a step of a ranking loss moves a row away from, and how far.

A sampler takes by how much each class falls short of the margin (rows, classes), and uniform
numbers in [0, 1) (rows, 2) for all that is left to chance. It gives a class for each row and
the weight of the step, 0 where there is nothing to mend.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor

Sampler: TypeAlias = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
EULER = 0.5772156649015329  # beta_r = digamma(r + 1) + EULER


def margins(
    targets: Int[Tensor, " rows"], classes: int, margin: float, dtype: torch.dtype
) -> Float[Tensor, "rows classes"]:
    """The margin for each wrong class, minus infinity for the true one."""
    full = torch.full((len(targets), classes), margin, dtype=dtype, device=targets.device)
    return full.scatter_(1, targets[:, None], -math.inf)


def shortfalls(
    scores: Float[Tensor, "rows classes"],
    targets: Int[Tensor, "rows 1"],
    margin: Float[Tensor, "rows classes"],
) -> Float[Tensor, "rows classes"]:
    """``margin + s_c - s_y`` with the true class y: where it is positive, c violates."""
    return (scores - scores.gather(1, targets)).add_(margin)


def most_violating(
    short: Float[Tensor, "rows classes"], u: Float[Tensor, "rows 2"]
) -> tuple[Int[Tensor, " rows"], Float[Tensor, " rows"]]:
    """SJE: the class that falls shortest, with weight 1 if it violates the margin."""
    worst, negatives = short.max(1)
    return negatives, (worst > 0).to(short.dtype)


def some_violator(
    short: Float[Tensor, "rows classes"], u: Float[Tensor, "rows 2"]
) -> tuple[Int[Tensor, " rows"], Float[Tensor, " rows"]]:
    """DeViSE: a violator, each as likely as the others.

    The first violator of a random order, as the paper has it, is distributed like this.
    """
    negatives, count = _violator(short, u[:, 0])
    return negatives, (count > 0).to(short.dtype)


def warp(
    short: Float[Tensor, "rows classes"], u: Float[Tensor, "rows 2"]
) -> tuple[Int[Tensor, " rows"], Float[Tensor, " rows"]]:
    """ALE: wrong classes are drawn until one violates; k draws give the rank's estimate.

    The weight is ``beta_r = 1 + 1/2 + ... + 1/r`` at ``r = floor((C - 1) / k)``; after C - 1
    draws without a violator it is 0. With V violators k is geometric, its chance V / (C - 1),
    and whichever violator ends the drawing is any of them: so two uniform numbers do.
    """
    negatives, count = _violator(short, u[:, 0])
    wrong = max(short.shape[1] - 1, 1)
    # P(k > n) = (1 - V / (C - 1))^n, inverted at 1 - u. Half a violator stands for none.
    draws = torch.log1p(-u[:, 1]) / torch.log1p(count.clamp_min(0.5) / -wrong)
    rank = (wrong / draws.ceil_().clamp_min_(1)).floor_()
    weights = torch.digamma(rank + 1).add_(EULER).clamp_min_(0).mul_(count > 0)
    return negatives, weights.to(short.dtype)


def some_wrong(
    targets: Int[Tensor, " rows"], classes: int, u: Float[Tensor, "rows 2"]
) -> Int[Tensor, " rows"]:
    """LATEM: one wrong class, each as likely, whether it violates or not."""
    return (targets + 1 + (u[:, 0] * (classes - 1)).long()) % classes


def _violator(
    short: Float[Tensor, "rows classes"], u: Float[Tensor, " rows"]
) -> tuple[Int[Tensor, " rows"], Int[Tensor, " rows"]]:
    """One of each row's violators, any class where there is none; and how many there are."""
    so_far = (short > 0).cumsum(1)
    count = so_far[:, -1]
    place = (u * count).long() + 1
    found = torch.searchsorted(so_far, place[:, None])[:, 0]
    return found.clamp_max_(short.shape[1] - 1), count
