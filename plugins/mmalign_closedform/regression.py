"""Class-balanced ridge regression for many regularisers by one eigendecomposition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mmalign import Facts, Latents, Linear, LinearPair, MmalignError, Scorer, draw_from
from mmalign_closedform.moments import between, class_means, within

if TYPE_CHECKING:
    from mmalign_closedform.drawing import Part
    from mmalign_closedform.ridge import Ridge


@dataclass(frozen=True)
class Regression:
    """All that the solutions for one training set share, in float64.

    With every class weighing ``1 / classes``, the covariance of latents is that within
    classes plus that between their means, and its covariance with class c's one-hot column is
    ``(m_c - m) / classes``: no matrix of rows by classes is ever made.
    """

    means: Float[Tensor, "classes latent"]
    values: Float[Tensor, " latent"]
    vectors: Float[Tensor, "latent latent"]
    classes: tuple[int, ...]
    dtype: torch.dtype

    def solve(self, regulariser: float) -> Linear:
        """The regression with this regulariser, which costs one product of matrices.

        ``W = (C + r t I)^-1 (M - m)^T / classes`` and ``b = 1 / classes - m W``, with the
        covariance ``C = V diag(values) V^T`` and t the average of its eigenvalues.
        """
        count, middle = len(self.means), self.means.mean(0)
        # A floor for latents that are all the same: nothing can be told apart, W is zero.
        shrunk = self.values + regulariser * self.values.mean()
        inverse = 1 / shrunk.clamp_min(torch.finfo(shrunk.dtype).tiny)
        projected = self.vectors.T @ (self.means - middle).T / count
        weight = self.vectors @ (inverse[:, None] * projected)
        bias = 1 / count - middle @ weight
        return Linear(weight.to(self.dtype), bias.to(self.dtype), self.classes)


def regression(
    z: Float[Tensor, "rows latent"], labels: Int[Tensor, " rows"], classes: tuple[int, ...]
) -> Regression:
    """Decompose the class-balanced covariance of latents."""
    means = class_means(z, labels, classes)
    values, vectors = torch.linalg.eigh(within(z, labels, classes) + between(means))
    # A covariance has no negative eigenvalue; rounding may give one.
    return Regression(means, values.clamp_min(0), vectors, classes, z.dtype)


def regression_of(head: Ridge, part: Part, latents: Latents) -> Regression:
    """The regression over all classes, or over unseen ones alone, on freshly drawn latents."""
    return regression(*draw_from(latents, head.sources(part, latents), f"head.{part}"))


def fit(head: Ridge, latents: Latents) -> LinearPair:
    """Solve both regressions with the regularisers given."""
    if isinstance(head.regulariser, str) or isinstance(head.regulariser_unseen_only, str):
        raise MmalignError("the head's regularisers are not chosen yet; call tuned() first")
    everything = regression_of(head, "all", latents).solve(head.regulariser)
    alone = Linear.nothing(latents.dim)
    if latents.unseen:
        alone = regression_of(head, "unseen", latents).solve(head.regulariser_unseen_only)
    return LinearPair(
        everything,
        alone,
        {
            "regulariser": head.regulariser,
            "regulariser_unseen_only": head.regulariser_unseen_only,
        },
    )


def best_regularisers(
    head: Ridge, latents: Latents, measure: Callable[[Scorer, Literal["H", "T1"]], float]
) -> tuple[Ridge, Facts]:
    """Solve for the whole grid on the validation protocol, and take the best.

    The classifier of all classes is judged by H, that of unseen classes alone by T1. What
    was measured is told in the order of the grid.
    """

    def judge(part: Part, metric: Literal["H", "T1"]) -> tuple[float, list[float]]:
        problem = regression_of(head, part, latents)
        curve = [measure(problem.solve(each), metric) for each in head.grid]
        return head.grid[curve.index(max(curve))], [round(value, 5) for value in curve]

    all_classes, alone = head.regulariser, head.regulariser_unseen_only
    facts: dict[str, Any] = {}
    if all_classes == "validation":
        all_classes, facts["validation_H"] = judge("all", "H")
    if alone == "validation":
        alone, facts["validation_T1"] = judge("unseen", "T1")
    tuned = replace(head, regulariser=all_classes, regulariser_unseen_only=alone)
    return tuned, facts
