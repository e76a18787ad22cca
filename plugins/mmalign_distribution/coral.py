"""The loss ``coral``: first and second moments of two batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from mmalign import Gaussian, component

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor


@component
class Coral:
    """Correlation alignment of two batches of posteriors, with their means matched too.

    ``|C_p - C_q|_F^2 / (4 k^2) + mean * |m_p - m_q|^2 / k`` in k latent dimensions (Sun &
    Saenko 2016, eq. 1, for the first term, which sees no shift). m and C are mean and
    covariance of the aggregated posterior, the even mixture of the batch's Gaussians: by
    the law of total variance ``C = Cov(means) + diag(average of var)``. So nothing is
    sampled, and a batch of one row has a covariance too. Which row is which is not used.
    """

    name: ClassVar[str] = "coral"
    over: ClassVar[Literal["batches"]] = "batches"
    mean: float = Field(default=1.0, ge=0)
    """Weight of the squared distance between the means, averaged over dimensions."""

    def __call__(self, p: Gaussian, q: Gaussian) -> Float[Tensor, ""]:
        """One number for the two batches, in squared units of the latent space and above."""
        (one, of_p), (other, of_q) = moments(p), moments(q)
        second = (of_p - of_q).square().mean() / 4
        return second + self.mean * (one - other).square().mean()


def moments(
    p: Gaussian,
) -> tuple[Float[Tensor, " latent"], Float[Tensor, "latent latent"]]:
    """Mean and covariance of the even mixture of a batch's Gaussians."""
    mean = p.mean.mean(0)
    apart = p.mean - mean
    return mean, apart.T @ apart / len(apart) + p.logvar.exp().mean(0).diag()
