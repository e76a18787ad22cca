"""The losses ``kl`` and ``jeffreys``: relative entropies of diagonal Gaussians."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from mmalign import Gaussian, component

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor


@component
class KL:
    """Kullback-Leibler divergence of one modality's posterior from another's, per row.

    ``KL(q_i || q_j) = 1/2 sum(logvar_j - logvar_i - 1 + (var_i + d^2) / var_j)`` with
    ``d = mean_i - mean_j``, in nats, once for each ordered pair (i, j) (Kullback & Leibler
    1951, for diagonal Gaussians). It grows without bound as var_j goes to 0.

    A pair's two orders sum to the Jeffreys divergence; what makes a direction is which of
    the two posteriors may move. ``moves = "first"`` holds q_j: each posterior seeks a place
    inside the others (zero-forcing, narrow); ``moves = "second"`` holds q_i: each widens
    until it covers the others (mass-covering).
    """

    name: ClassVar[str] = "kl"
    over: ClassVar[Literal["ordered-posteriors"]] = "ordered-posteriors"
    moves: Literal["both", "first", "second"] = "both"
    """Whose gradient is kept: of q_i ("first"), of q_j ("second"), or of both."""

    def __call__(self, p: Gaussian, q: Gaussian) -> Float[Tensor, " rows"]:
        """``KL(p || q)`` of each row, in nats."""
        if self.moves == "second":
            p = Gaussian(p.mean.detach(), p.logvar.detach())
        if self.moves == "first":
            q = Gaussian(q.mean.detach(), q.logvar.detach())
        wider = p.logvar - q.logvar
        distance = (p.mean - q.mean).square() * (-q.logvar).exp()
        # expm1(x) - x, not exp(x) - 1 - x: posteriors of nearly one width keep their digits.
        return 0.5 * (wider.expm1() - wider + distance).sum(-1)


@component
class Jeffreys:
    """Jeffreys divergence between two modalities' posteriors, per row.

    ``KL(p || q) + KL(q || p) = 1/2 sum((var_p + d^2) / var_q + (var_q + d^2) / var_p - 2)``
    with ``d = mean_p - mean_q``, in nats (Jeffreys 1946). Zero for equal posteriors, where
    the gradient is zero too; without bound where either variance goes to 0.
    """

    name: ClassVar[str] = "jeffreys"
    over: ClassVar[Literal["pairs"]] = "pairs"

    def __call__(self, p: Gaussian, q: Gaussian) -> Float[Tensor, " rows"]:
        """Divergence between the posteriors of each row, in nats."""
        # var_p/var_q + var_q/var_p - 2 = (sqrt(var_p/var_q) - sqrt(var_q/var_p))^2
        widths = (2 * ((p.logvar - q.logvar) / 2).sinh()).square()
        precision = (-p.logvar).exp() + (-q.logvar).exp()
        return 0.5 * (widths + (p.mean - q.mean).square() * precision).sum(-1)
