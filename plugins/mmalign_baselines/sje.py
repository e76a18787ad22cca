"""SJE: a bilinear compatibility by a structured hinge loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from mmalign import component
from mmalign_baselines.grids import Grid, one
from mmalign_baselines.ranking import Ranking

if TYPE_CHECKING:
    from mmalign import Rows
    from mmalign_baselines.descent import Step


@component
class SJE(Ranking):
    """Structured joint embedding (Akata et al. 2015).

    ``sum over n of max over y of [D(y_n, y) + F(x_n, y) - F(x_n, y_n)]`` with
    ``F(x, y) = x^T W a_y`` and ``D = margin`` for a wrong class, 0 for the true one. A step
    takes the class y at the maximum: ``W += lr x_n (a_(y_n) - a_y)^T`` where y is wrong.

    Published settings, by a public reimplementation (lr, margin, features): CUB 0.1, 4, z-score;
    SUN 1, 2, z-score; AWA1 and AWA2 1, 2.5, unit length. Take ``scaler = "standard"`` for the
    features; descriptions are taken as they are and want unit length, or long ones win.

    Ours: the grids, and the epoch by validation. The paper chooses among several distances D
    and regularises by stopping early, as here.
    """

    name: ClassVar[str] = "sje"
    open: ClassVar[tuple[str, ...]] = ("lr", "margin")
    lr: Grid = (0.01, 0.1, 1.0)
    margin: Grid = (2.0, 4.0)
    """By how much the true class must lead."""
    scale_projection: bool = True
    """Bring ``x^T W`` to mean 0 and deviation 1 before the maximum is looked for.

    No part of the objective; the reimplementation whose numbers are compared does it.
    """

    def step(self, rows: Rows) -> Step:
        """The most violating class."""
        from mmalign_baselines.descent import RankingStep
        from mmalign_baselines.samplers import most_violating

        lr, margin = one(self.lr), one(self.margin)
        return RankingStep(rows.described, most_violating, lr, margin, self.scale_projection)
