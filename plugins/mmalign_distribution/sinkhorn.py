"""The loss ``sinkhorn``: debiased entropic transport between two batches of posteriors."""

from __future__ import annotations

import math
from importlib.util import find_spec
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from mmalign import Gaussian, component

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

LEAST = 1e-12  # average squared distance of clouds whose points all lie in one place
NO_ANNEALING = 1 + 1e-6  # ratio of GeomLoss's first blur to its last


@component
class Sinkhorn:
    """Sinkhorn divergence between two batches of posteriors, by GeomLoss (the extra ``ot``).

    ``S = OT(P, Q) - OT(P, P) / 2 - OT(Q, Q) / 2`` with ``OT(P, Q) = min over plans T of
    <T, C> + e KL(T | a b)`` (Feydy et al. 2019): symmetric, never negative, and
    zero for equal clouds alone. The cost of moving one posterior to another is their squared
    2-Wasserstein distance, ``|mean_p - mean_q|^2 + |std_p - std_q|^2``, so S is in squared
    units of the latent space. Every row weighs the same; which row is which is not used.

    The iteration works on logarithms, where nothing underflows, and keeps no graph: the
    gradient is that of the last step with the potentials held, which is exact once they have
    converged (Danskin's theorem).
    """

    name: ClassVar[str] = "sinkhorn"
    over: ClassVar[Literal["batches"]] = "batches"
    epsilon: float = Field(default=0.25, gt=0)
    """Regularisation e, as a share of the average cost between the two clouds.

    A share, not a number of its own: the latent space has no unit, and the clouds' distance
    shrinks by orders of magnitude in training. Far below 1 / log(rows), which is 0.26 for 50
    rows, a plan from a cloud to itself leaves every row where it is, and S falls back to
    exact transport: slow to converge, and far from zero for two samples of one distribution.
    Large shares compare the means alone.
    """
    iterations: int = Field(default=100, ge=1)
    """Updates of the potentials; a small epsilon needs more of them."""

    def __post_init__(self) -> None:
        if find_spec("geomloss") is None:
            raise ValueError("'sinkhorn' needs the extra 'ot': pip install 'mmalign[ot]'")

    def __call__(self, p: Gaussian, q: Gaussian) -> Float[Tensor, ""]:
        """One number for the two batches, in squared units of the latent space."""
        import torch
        from geomloss import SamplesLoss

        x, y = torch.cat([p.mean, p.std], 1), torch.cat([q.mean, q.std], 1)
        # Distances stay as they are, and squares lose no digits to a common offset.
        middle = torch.cat([x, y]).mean(0).detach()
        x, y = x - middle, y - middle
        # S is of degree 1 in the costs when e is a share of them: in clouds that lie one
        # unit apart a share is a number, and the gradient goes through the unit too.
        cost = average_cost(x, y).clamp_min(LEAST)
        unit = cost.sqrt()
        # GeomLoss halves the costs, and e is its blur squared. It would begin at a wide blur
        # and end at this one with a single update, which is not converged yet; so it is to
        # begin at it, nearly.
        blur = math.sqrt(self.epsilon / 2)
        divergence = SamplesLoss(
            "sinkhorn",
            p=2,
            blur=blur,
            diameter=blur * NO_ANNEALING,
            scaling=NO_ANNEALING ** (-1 / self.iterations),
            backend="tensorized",
        )
        value: Tensor = 2 * cost * divergence(x / unit, y / unit)
        return value


def average_cost(x: Float[Tensor, "one dim"], y: Float[Tensor, "other dim"]) -> Float[Tensor, ""]:
    """Average squared distance of the rows of one cloud from those of another.

    ``avg |x|^2 + avg |y|^2 - 2 <avg x, avg y>``, with no matrix of them all.
    """
    squares = x.square().sum(1).mean() + y.square().sum(1).mean()
    return squares - 2 * x.mean(0) @ y.mean(0)
