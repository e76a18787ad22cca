"""SYNC: classifiers synthesised from those of phantom classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field

from mmalign import Epoch, Session, System, component
from mmalign_baselines.grids import Grid, one

if TYPE_CHECKING:
    from torch import Tensor

    from mmalign import Rows, Scoring

Loss: TypeAlias = Literal["one-versus-other", "crammer-singer", "structured"]


@component
class SYNC(System):
    """Synthesised classifiers (Changpinyo et al. 2016), with one phantom class a seen class.

    The classifier of class c is ``w_c = sum over r of s_cr v_r`` (eq. 1) with ``s_cr =
    softmax over r of -scale |a_c - b_r|^2`` (eq. 2). Phantoms b_r are the descriptions of the
    classes with rows, the paper's simplification for as many phantoms as classes; then linear
    classifiers W of these classes are trained alone, ``min over W of loss + lam / 2 |W|^2``,
    and ``V = S^+ W``. A row scores ``x^T w_c``, without a bias. The losses:

    - "one-versus-other": ``1 / (N C) sum over n, c of max(0, 1 - y_nc w_c^T x_n)^2``;
    - "crammer-singer": ``1 / N sum over n of max over c of [D(y_n, c) + (w_c - w_y)^T x_n]``
      with ``D = 1`` for a wrong class;
    - "structured": the same with ``D(y, c) = |a_y - a_c|``.

    Descriptions are scaled to unit length, then divided by the median distance between those
    of the classes with rows. Take ``scaler = "unit"`` for the features, as the paper does.

    Ours: W comes from L-BFGS as published, but it begins at random numbers (normal, over 100)
    for the first ``lam`` only, and at the last solution for each one that follows;
    ``lam`` and ``scale`` are chosen by H and T1 on the validation protocol, and not by AUSUC in
    a cross-validation over classes.
    """

    name: ClassVar[str] = "sync"
    open: ClassVar[tuple[str, ...]] = ("loss", "lam", "scale")
    loss: Loss | Annotated[tuple[Loss, ...], Field(min_length=1)] = "one-versus-other"
    """What the linear classifiers are trained by."""
    lam: Grid = tuple(2.0**power for power in range(-8, -31, -2))
    """Weight of the regulariser."""
    scale: Grid = tuple(2.0**power for power in range(-5, 6))
    """Sharpness of the similarities, ``1 / sigma^2``."""
    iterations: int = Field(default=1000, ge=1)
    """Of L-BFGS, at most."""
    tolerance: float = Field(default=1e-10, gt=0)
    """L-BFGS ends where the objective falls by less than this share of itself."""

    def train(self, rows: Rows, session: Session) -> Iterator[Epoch]:
        """Train for one choice of the open fields."""
        for _, epoch in self.explore([self], rows, session):
            yield epoch

    def explore(
        self, candidates: Sequence[SYNC], rows: Rows, session: Session
    ) -> Iterator[tuple[SYNC, Epoch]]:
        """Train W once for all scales."""
        from mmalign_baselines.synthesised import Phantoms, classifiers, first

        phantoms = Phantoms.of(rows)
        # Strongest regulariser first: its solution is where the next one begins.
        ordered = sorted(candidates, key=lambda each: (str(each.loss), -one(each.lam)))
        weight = None
        begin = session.generator("sync.initialisation")
        for _, group in groupby(ordered, key=lambda each: (each.loss, each.lam)):
            same = list(group)
            if weight is None:
                weight = first(rows, begin)
            weight = classifiers(same[0], rows, phantoms, weight)
            for each in same:
                yield each, Epoch(1, partial(phantoms.synthesiser, weight, one(each.scale)))

    def model(self, state: Mapping[str, Tensor]) -> Scoring:
        """The synthesiser of these tensors."""
        from mmalign_baselines.synthesised import Synthesiser

        return Synthesiser(**{name: state[name] for name in Synthesiser.NAMES})
