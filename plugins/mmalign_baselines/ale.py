"""ALE: a bilinear compatibility by a loss weighted by ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from mmalign import component
from mmalign_baselines.grids import Grid, one
from mmalign_baselines.ranking import Ranking

if TYPE_CHECKING:
    from mmalign import Rows
    from mmalign_baselines.descent import Step


@component
class ALE(Ranking):
    """Attribute label embedding (Akata et al. 2013, 2016) by WARP, a weighted ranking loss.

    ``1 / N sum over n of beta_r / r sum over y of max(0, D(y_n, y) + F(x_n, y) - F(x_n, y_n))``
    with ``F(x, y) = x^T W a_y``, ``D = 1`` for a wrong class, r the number of violators and
    ``beta_r = 1 + 1/2 + ... + 1/r``. A step draws wrong classes until one violates, after k
    draws, C - 1 at most, estimates r as ``floor((C - 1) / k)``, and goes
    ``W += lr beta_r x_n (a_(y_n) - a_y)^T``.

    Published settings, by a public reimplementation, on features of unit length (lr): CUB 0.3;
    SUN 0.1; AWA1 and AWA2 0.01. The paper's optional pull of W towards a prior is left out.

    Ours: wrong classes are drawn with replacement, and lr and the epoch go by validation. Take
    ``scaler = "unit"`` for the features; descriptions are taken as they are and want unit length.
    """

    name: ClassVar[str] = "ale"
    lr: Grid = (0.3, 3.0, 30.0)

    def step(self, rows: Rows) -> Step:
        """A violator, weighted by the estimate of the rank."""
        from mmalign_baselines.descent import RankingStep
        from mmalign_baselines.samplers import warp

        return RankingStep(rows.described, warp, one(self.lr), margin=1.0)
