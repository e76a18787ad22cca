"""One latent of a row from the posteriors of all modalities that the row has."""

from __future__ import annotations

from itertools import combinations
from typing import Literal, TypeAlias

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mmalign import Gaussian

Fusion: TypeAlias = Literal["product", "mixture", "mixture-of-products"]


def fuse(
    posteriors: list[Gaussian], present: Bool[Tensor, "modalities rows"], fusion: Fusion
) -> Float[Tensor, "rows latent"]:
    """The mean of each row's fused posterior; rows without any modality get NaN.

    - "product": product of experts (Wu & Goodman 2018, MVAE), precision-weighted:
      ``mean = sum(mean_m / var_m) / sum(1 / var_m)``. The prior is no expert of its own:
      each posterior holds it already, and a single modality is to keep its mean.
    - "mixture": mixture of experts (Shi et al. 2019, MMVAE), the average of the means.
    - "mixture-of-products": the average over every non-empty subset of the modalities that
      a row has of the subset's product (Sutter et al. 2021, MoPoE). Exponential in M.

    ``present`` says which modalities a row has; what stands elsewhere is never read.
    """
    means = torch.stack([each.mean for each in posteriors])
    precisions = torch.stack([(-each.logvar).exp() for each in posteriors])
    if fusion == "mixture":
        precisions = torch.ones_like(precisions)
    shown = present[:, :, None]
    weights, weighted = torch.where(shown, precisions, 0), torch.where(shown, precisions * means, 0)
    if fusion != "mixture-of-products":
        return weighted.sum(0) / weights.sum(0)
    total, count = torch.zeros_like(means[0]), torch.zeros_like(means[0, :, :1])
    for subset in _subsets(len(posteriors)):
        whole = present[subset].all(0)[:, None]
        product = weighted[subset].sum(0) / weights[subset].sum(0)
        total = total + torch.where(whole, product, 0)
        count = count + whole
    return total / count


def _subsets(count: int) -> list[list[int]]:
    """Every non-empty subset of the first ``count`` numbers."""
    return [list(c) for size in range(1, count + 1) for c in combinations(range(count), size)]
