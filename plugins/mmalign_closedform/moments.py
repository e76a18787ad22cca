"""Means and covariances by class, in float64."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor


def class_means(
    z: Float[Tensor, "rows latent"], labels: Int[Tensor, " rows"], classes: tuple[int, ...]
) -> Float[Tensor, "classes latent"]:
    """The mean of each class's rows, in the order of ``classes``."""
    return torch.stack([z[labels == index].double().mean(0) for index in classes])


def within(
    z: Float[Tensor, "rows latent"], labels: Int[Tensor, " rows"], classes: tuple[int, ...]
) -> Float[Tensor, "latent latent"]:
    """The average over classes of the covariance of a class's rows."""
    total = torch.zeros(z.shape[1], z.shape[1], dtype=torch.float64, device=z.device)
    for index in classes:
        rows = z[labels == index].double()
        apart = rows - rows.mean(0)
        total += apart.T @ apart / len(rows)
    return total / len(classes)


def between(means: Float[Tensor, "classes latent"]) -> Float[Tensor, "latent latent"]:
    """The covariance of the class means, every class with the same weight."""
    apart = means - means.mean(0)
    return apart.T @ apart / len(means)
