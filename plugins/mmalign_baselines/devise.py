"""DeViSE: a bilinear compatibility by a hinge loss over all wrong classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from mmalign import component
from mmalign_baselines.grids import Grid, one
from mmalign_baselines.ranking import Ranking

if TYPE_CHECKING:
    from mmalign import Rows
    from mmalign_baselines.descent import Step


@component
class DeViSE(Ranking):
    """Deep visual-semantic embedding (Frome et al. 2013), on features that stay as they are.

    ``sum over n, y != y_n of max(0, margin + F(x_n, y) - F(x_n, y_n))`` with
    ``F(x, y) = x^T W a_y``, eq. 1 of the paper. A step visits the wrong classes in random order
    and stops at the first that violates the margin: ``W += lr x_n (a_(y_n) - a_y)^T``.

    Published settings, by a public reimplementation (lr, margin, features): CUB 1, 1, unit
    length; SUN 0.01, 3, as they are; AWA1 0.01, 200, z-score; AWA2 0.001, 150, z-score. The
    paper takes a margin of 0.1, unit-length word vectors and, once W has converged, trains the
    network of the pictures too, which is left out here as in all comparisons on fixed features.

    Ours: the grids, and the epoch by validation. Take ``scaler = "unit"`` for the features;
    descriptions are taken as they are and want unit length.
    """

    name: ClassVar[str] = "devise"
    open: ClassVar[tuple[str, ...]] = ("lr", "margin")
    margin: Grid = (0.3, 1.0)
    """By how much the true class must lead each other one."""

    def step(self, rows: Rows) -> Step:
        """Any violator."""
        from mmalign_baselines.descent import RankingStep
        from mmalign_baselines.samplers import some_violator

        return RankingStep(rows.described, some_violator, one(self.lr), one(self.margin))
