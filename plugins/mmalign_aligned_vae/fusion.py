"""One posterior of a row from those of all modalities that the row has."""

from __future__ import annotations

from itertools import combinations
from typing import Literal, TypeAlias

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mmalign import Gaussian

Fusion: TypeAlias = Literal["product", "mixture", "mixture-of-products"]


def product(posteriors: list[Gaussian], present: Bool[Tensor, "modalities rows"]) -> Gaussian:
    """Each row's product of experts (Wu & Goodman 2018, MVAE), a Gaussian again.

    ``1 / var = sum(1 / var_m)`` and ``mean = var * sum(mean_m / var_m)``, over the
    modalities that the row has. The prior is no expert of its own: each posterior holds it
    already, and a single modality is to keep its mean. A row without any modality gets NaN;
    what stands where ``present`` is False is never read.
    """
    means = torch.stack([each.mean for each in posteriors])
    precisions = torch.stack([(-each.logvar).exp() for each in posteriors])
    shown = present[:, :, None]
    total = torch.where(shown, precisions, 0).sum(0)
    weighted = torch.where(shown, precisions * means, 0).sum(0)
    return Gaussian(weighted / total, -total.log())


def fuse(
    posteriors: list[Gaussian], present: Bool[Tensor, "modalities rows"], fusion: Fusion
) -> Float[Tensor, "rows latent"]:
    """The mean of each row's fused posterior; rows without any modality get NaN.

    - "product": as ``product`` says.
    - "mixture": mixture of experts (Shi et al. 2019, MMVAE), the average of the means.
    - "mixture-of-products": the average over every non-empty subset of the modalities that
      a row has of the subset's product (Sutter et al. 2021, MoPoE). Exponential in M.
    """
    if fusion == "product":
        return product(posteriors, present).mean
    shown = present[:, :, None]
    if fusion == "mixture":
        means = torch.stack([each.mean for each in posteriors])
        return torch.where(shown, means, 0).sum(0) / shown.sum(0)
    total = torch.zeros_like(posteriors[0].mean)
    count = torch.zeros_like(total[:, :1])
    for subset in _subsets(len(posteriors)):
        whole = present[subset].all(0)[:, None]
        of_subset = product([posteriors[place] for place in subset], present[subset]).mean
        total = total + torch.where(whole, of_subset, 0)
        count = count + whole
    return total / count


def _subsets(count: int) -> list[list[int]]:
    """Every non-empty subset of the first ``count`` numbers."""
    return [list(c) for size in range(1, count + 1) for c in combinations(range(count), size)]
