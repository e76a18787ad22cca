"""CMT: a regressor of descriptions, and its novelty gate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import Field

from mmalign import Epoch, Session, System, component
from mmalign_baselines.grids import Grid, one

if TYPE_CHECKING:
    from torch import Tensor

    from mmalign import Rows
    from mmalign_baselines.transfer import Transfer

QUANTILES = (0.01, 0.03, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8)
Share: TypeAlias = Annotated[float, Field(gt=0, lt=1)]


@component
class CMT(System):
    """Cross-modal transfer (Socher et al. 2013): the nearest description to a regressed one.

    ``1 / (2 N) sum over n of |a_(y_n) - g(x_n)|^2 + lam / 2 (|W_1|^2 + |W_2|^2)`` with
    ``g(x) = W_2 tanh(W_1 x + b_1) + b_2``, eq. 1 of the paper, by L-BFGS; descriptions have
    unit length, and a row scores ``-|g(x) - a_y|``. Take ``scaler = "unit"`` for the features:
    with larger ones tanh saturates, and L-BFGS is far from its end after 500 iterations.

    With a gate it is CMT*. A row that the gate finds novel goes to the nearest unseen class;
    any other to a softmax classifier of features over the seen ones. Where only unseen classes
    are asked, or only seen ones, there is no gate.

    - "gaussian": ``log sum over seen c of pi_c N(g(x); a_c, sigma_c^2 I)`` below a threshold,
      with sigma_c^2 from the N_c rows of the class (the public code divides by N);
    - "loop": the local outlier probability (Kriegel et al. 2009) among the rows of each seen
      class, the least of them above a threshold.

    The threshold is a quantile of the seen training rows' own values. The public code adds
    sparsity of the hidden units, which is left out here.

    Ours: the regulariser spares biases; the grids; the gate's quantile by validation; and the
    classifier's training. Rows of shots train the regressor alone.
    """

    name: ClassVar[str] = "cmt"
    open: ClassVar[tuple[str, ...]] = ("lam", "quantile")
    hidden: int = Field(default=200, ge=1)
    """Width of the hidden layer."""
    lam: Grid = 1e-4
    """Weight of the regulariser."""
    iterations: int = Field(default=500, ge=1)
    """Of L-BFGS, at most."""
    gate: Literal["none", "gaussian", "loop"] = "none"
    """How novel rows are told from others."""
    quantile: Share | Annotated[tuple[Share, ...], Field(min_length=1)] = QUANTILES
    """Share of the seen training rows that the gate would find novel.

    It may have to be large: the regressor has been fitted to these rows, so they lie nearer to
    their descriptions than test rows of the same classes do.
    """
    neighbours: int = Field(default=20, ge=1)
    """Of the gate "loop"."""
    classifier_epochs: int = Field(default=20, ge=1)
    """Of the softmax classifier behind a gate."""

    def candidates(self) -> list[CMT]:
        """Each regulariser and, with a gate, each quantile."""
        if self.gate == "none" and isinstance(self.quantile, tuple):
            return replace(self, quantile=self.quantile[0]).candidates()
        return super().candidates()

    def settings(self) -> dict[str, Any]:
        """The open fields; a quantile only where there is a gate."""
        found = super().settings()
        return found if self.gate != "none" else {"lam": found["lam"]}

    def train(self, rows: Rows, session: Session) -> Iterator[Epoch]:
        """Train for one choice of the open fields."""
        for _, epoch in self.explore([self], rows, session):
            yield epoch

    def explore(
        self, candidates: Sequence[CMT], rows: Rows, session: Session
    ) -> Iterator[tuple[CMT, Epoch]]:
        """Train a regressor once for all quantiles, and one classifier for all of them."""
        from mmalign_baselines import transfer

        known = transfer.classifier(self, rows, session) if self.gate != "none" else None
        for lam, group in groupby(candidates, key=lambda each: one(each.lam)):
            regressor = transfer.regressor(self, lam, rows, session)
            gate = transfer.gate(self, regressor, rows)
            for each in group:
                model = partial(transfer.assembled, regressor, known, gate, one(each.quantile))
                yield each, Epoch(1, model)

    def model(self, state: Mapping[str, Tensor]) -> Transfer:
        """The regressor of these tensors, with its gate."""
        from mmalign_baselines.transfer import restore

        return restore(self.gate, state)
