"""The loss ``mmd``: maximum mean discrepancy of two Gaussians, in closed form."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from mmalign import Gaussian, component

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor


@component
class MMD:
    """Maximum mean discrepancy between two modalities' posteriors, squared, per row.

    ``E k(z, z') + E k(w, w') - 2 E k(z, w)`` with z, z' from p and w, w' from q (Gretton et
    al. 2012, lemma 6), for the Gaussian kernel ``k(x, y) = exp(-|x - y|^2 / (2 h^2))``.
    Over Gaussians its mean is known, so that nothing is sampled: ``E k(z, w) = prod_d
    h / sqrt(v_d) exp(-(mean_p - mean_q)_d^2 / (2 v_d))``, ``v = var_p + var_q + h^2``.
    In [0, 2], without a unit: the average over the bandwidths.

    Squared by default: it is smooth where the posteriors are equal and needs no floor
    there, and its gradient fades as they meet. The root is a distance, which pulls equally
    hard to the end, as the Wasserstein distance does.
    """

    name: ClassVar[str] = "mmd"
    over: ClassVar[Literal["pairs"]] = "pairs"
    bandwidths: Annotated[
        tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)
    ] = (0.5, 1.0, 2.0)  # fmt: skip
    """Bandwidths h, in multiples of the root of the latent dimensions.

    Squared distances grow with the dimensions: at h = 1 two draws from one standard normal
    in 64 dimensions have E k = 3^-32, and every gradient is lost.
    """
    root: bool = False
    """Take the root of each row's value."""
    floor: float = Field(default=1e-12, gt=0)
    """Least value under the root, which has no gradient at 0."""

    def __call__(self, p: Gaussian, q: Gaussian) -> Float[Tensor, " rows"]:
        """Squared discrepancy of each row, or its root."""
        square = p.mean.new_zeros(len(p.mean))
        for multiple in self.bandwidths:
            h = multiple * math.sqrt(p.mean.shape[1])
            within = expected_kernel(p, p, h) + expected_kernel(q, q, h)
            square = square + within - 2 * expected_kernel(p, q, h)
        square = square / len(self.bandwidths)
        return square.clamp_min(self.floor).sqrt() if self.root else square


def expected_kernel(p: Gaussian, q: Gaussian, h: float) -> Float[Tensor, " rows"]:
    """``E k(z, w)`` for z from p and w from q, in (0, 1].

    As a sum of logarithms: the factors of 64 dimensions can underflow where their product
    with the others would not, and no factor has to be a number of its own.
    """
    v = p.logvar.exp() + q.logvar.exp() + h * h
    logs = -0.5 * (v / (h * h)).log() - (p.mean - q.mean).square() / (2 * v)
    return logs.sum(-1).exp()
