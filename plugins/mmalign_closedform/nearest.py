"""Prototypes of classes as a linear classifier, for each metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mmalign import Facts, Latents, Linear, MmalignError, Signature, draw_from
from mmalign_closedform.moments import class_means, within

if TYPE_CHECKING:
    from mmalign_closedform.prototype import Prototype


@dataclass(frozen=True)
class FittedPrototypes:
    """How near latents are to prototypes; with ``unit`` a latent's length does not count."""

    linear: Linear
    unit: bool
    facts: Facts = field(default_factory=dict)

    def scores(
        self, z: Float[Tensor, "rows latent"], classes: Sequence[int]
    ) -> Float[Tensor, "rows wanted"]:
        """Nearness to these classes' prototypes, up to a constant of the row."""
        return self.linear.scores(directions(z) if self.unit else z, classes)

    def state(self) -> Mapping[str, Tensor]:
        """The weights and biases that the prototypes amount to."""
        return self.linear.state("prototypes")


def fit(head: Prototype, latents: Latents) -> FittedPrototypes:
    """Draw latents once, and take each class's mean."""
    z, labels, classes = draw_from(latents, head.sources("all", latents), "head.all")
    means = class_means(z, labels, classes)
    if head.metric == "cosine":
        weight, bias = directions(means), means.new_zeros(len(means))
    else:
        weight = means
        if head.metric == "mahalanobis":
            weight = whitened(head, means, z, labels, latents.seen)
        bias = -(weight * means).sum(1) / 2
    linear = Linear(weight.T.to(z.dtype), bias.to(z.dtype), classes)
    return FittedPrototypes(linear, head.metric == "cosine", {"metric": head.metric})


def whitened(
    head: Prototype,
    means: Float[Tensor, "classes latent"],
    z: Float[Tensor, "rows latent"],
    labels: Int[Tensor, " rows"],
    seen: tuple[int, ...],
) -> Float[Tensor, "classes latent"]:
    """``S^-1 m`` of each mean. Raises MmalignError where S has no inverse."""
    covariance = within(z, labels, seen)
    identity = torch.eye(z.shape[1], dtype=covariance.dtype, device=z.device)
    size = covariance.diagonal().mean()
    shrunk = (1 - head.shrinkage) * covariance + head.shrinkage * size * identity
    factor, failed = torch.linalg.cholesky_ex(shrunk)
    # Rounding can hide a direction without spread: its pivot is then as small as rounding.
    least = factor.diagonal().square().min()
    spread = size > 1e-15 * z.double().square().mean()
    if failed or not (spread and least > 1e-12 * size):
        raise MmalignError(
            "the head 'prototype' cannot invert the covariance within classes: some direction"
            f" has no spread; raise head.shrinkage (it is {head.shrinkage:g}), or draw more"
            " latents of each seen class"
        )
    solved: Tensor = torch.cholesky_solve(means.T, factor)
    return solved.T


def directions(z: Float[Tensor, "rows latent"]) -> Float[Tensor, "rows latent"]:
    """Rows of length 1; a row of zeros stays as it is."""
    lengths: Tensor = z.norm(dim=1, keepdim=True).clamp_min(torch.finfo(z.dtype).tiny)
    return z / lengths


def restore(head: Prototype, state: Mapping[str, Tensor], signature: Signature) -> FittedPrototypes:
    """Rebuild the classifier. Raises MmalignError for tensors that do not fit."""
    classes = tuple(sorted((*signature.seen, *signature.unseen)))
    linear = Linear.restore(state, "prototypes", classes)
    return FittedPrototypes(linear, head.metric == "cosine", {"metric": head.metric})
