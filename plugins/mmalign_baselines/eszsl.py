"""ESZSL: a bilinear compatibility in closed form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

from mmalign import Epoch, Session, System, component
from mmalign_baselines.bilinear import Bilinear
from mmalign_baselines.grids import Grid, one

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from mmalign import Rows

GAMMAS = (1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6)
LAMS = (1e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 3.0, 1e1, 1e2, 1e3)


@component
class ESZSL(System):
    """Embarrassingly simple zero-shot learning (Romera-Paredes & Torr 2015).

    ``min over V of |X^T V S - Y|^2 + gamma |V S|^2 + lam |X^T V|^2 + gamma lam |V|^2``, eq. 5
    of the paper, with features X (dim, rows), descriptions S (q, classes) and targets Y (rows,
    classes). It is solved by ``V = (X X^T + gamma I)^-1 X Y S^T (S S^T + lam I)^-1``, eq. 6,
    and a row scores ``x^T V s``. The whole grid comes from one eigendecomposition of each of
    the two Gram matrices, in float64.

    The paper takes features as they are; take ``scaler = "none"`` for that. Ours: gamma is
    searched three decades beyond the paper's 1e-3 to 1e3, because the Gram matrix grows with
    the rows, and lam at half decades around 1; targets are binary by default.
    """

    name: ClassVar[str] = "eszsl"
    open: ClassVar[tuple[str, ...]] = ("gamma", "lam")
    gamma: Grid = GAMMAS
    """Regulariser of the feature space."""
    lam: Grid = LAMS
    """Regulariser of the description space."""
    targets: Literal["signed", "binary"] = "binary"
    """Y is 1 for a row's class; for every other class it is -1 (the paper) or 0.

    They give the same V where every feature has mean 0. Where it has not, -1 asks V for an
    offset that descriptions cannot give, at the cost of what tells classes apart.
    """

    def train(self, rows: Rows, session: Session) -> Iterator[Epoch]:
        """Solve for one pair of regularisers."""
        for _, epoch in self.explore([self], rows, session):
            yield epoch

    def explore(
        self, candidates: Sequence[ESZSL], rows: Rows, session: Session
    ) -> Iterator[tuple[ESZSL, Epoch]]:
        """Solve for every pair from the same two decompositions."""
        parts = decompose(rows, self.targets)
        for each in candidates:
            yield each, Epoch(1, partial(parts.solve, one(each.gamma), one(each.lam)))

    def model(self, state: Mapping[str, Tensor]) -> Bilinear:
        """The compatibility of these tensors."""
        return Bilinear.of(state)


@dataclass(frozen=True)
class Decomposed:
    """Both Gram matrices by eigenvalues and -vectors, and ``X Y S^T`` between them."""

    of_features: Float[Tensor, " dim"]
    features: Float[Tensor, "dim dim"]
    of_descriptions: Float[Tensor, " q"]
    descriptions: Float[Tensor, "q q"]
    between: Float[Tensor, "dim q"]

    def solve(self, gamma: float, lam: float) -> Bilinear:
        """V for these regularisers: two products of matrices."""
        left = (self.of_features + gamma)[:, None]
        right = (self.of_descriptions + lam)[None, :]
        return Bilinear(self.features @ (self.between / left / right) @ self.descriptions.T)


def decompose(rows: Rows, targets: Literal["signed", "binary"]) -> Decomposed:
    """Decompose ``X X^T`` and ``S S^T``."""
    import torch

    x, s = rows.x.double(), rows.described.double().T
    # X Y comes from the sum of each class's rows; Y itself, (rows, classes), is never made.
    sums = x.new_zeros(s.shape[1], x.shape[1]).index_add_(0, rows.targets, x)
    xy = sums if targets == "binary" else 2 * sums - x.sum(0)
    values, vectors = torch.linalg.eigh(x.T @ x)
    of_s, s_vectors = torch.linalg.eigh(s @ s.T)
    between = vectors.T @ xy.T @ s.T @ s_vectors
    # A Gram matrix has no negative eigenvalue; rounding may give one.
    return Decomposed(values.clamp_min(0), vectors, of_s.clamp_min(0), s_vectors, between)
