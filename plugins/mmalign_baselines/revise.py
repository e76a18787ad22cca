"""ReViSE: two autoencoders whose codes are aligned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from mmalign import Epoch, Session, System, component
from mmalign_baselines.grids import Grid

if TYPE_CHECKING:
    from torch import Tensor

    from mmalign import Rows
    from mmalign_baselines.codes import Codes

Width = Annotated[int, Field(ge=1)]


@component
class ReViSE(System):
    """Robust visual-semantic embeddings (Tsai et al. 2017), without unlabelled rows.

    ``L_sup + alpha (L_v + L_t) + beta MMD(v_h, t_h)``, per row:

    - ``L_v = |v - v'|^2 + zeta sum over layers of |d h / d input|_F^2``, a contractive
      autoencoder of features. Its encoder is sigmoid layers, and each is contracted with
      regard to its own input, for which ``sum over j of (h_j (1 - h_j))^2 |W_j|^2`` is exact;
      the product of these norms bounds that of the whole Jacobian;
    - ``L_t = |t - t'|^2``, an autoencoder of descriptions;
    - MMD with a sum of three Gaussian kernels, of a half, one and two medians of the distance;
    - ``L_sup = -sum over c of log sigmoid(s_c) for the true class, log(1 - sigmoid(s_c)) for
      each other``, with ``s = <f_v(v_h), f_t(t_h)>`` and linear f.

    Neither public code nor the full text was at hand: the terms are the paper's as others
    report them. Its self-training on unlabelled test rows is transductive, and left out.

    Ours: all widths, a sigmoid on both codes (they are compared by MMD), ReLU between the
    layers of the descriptions' autoencoder, Adam, batches, and the grids; an MMD is taken
    between the rows of a batch and the descriptions of their classes. Take
    ``scaler = "standard"`` for the features and for the descriptions too: as vectors of unit
    length these hardly move a sigmoid, and training is slow.
    """

    name: ClassVar[str] = "revise"
    open: ClassVar[tuple[str, ...]] = ("alpha", "beta")
    hidden: Annotated[tuple[Width, ...], Field(min_length=1)] = (512, 256)
    """Widths of the sigmoid layers of features; the last is that of both codes."""
    text_hidden: Width = 256
    """Width between a description and its code."""
    joint: Width = 64
    """Dimensions in which scores are inner products."""
    alpha: Grid = (0.1, 1.0)
    """Weight of the reconstructions."""
    beta: Grid = (0.1, 1.0)
    """Weight of the MMD."""
    zeta: float = Field(default=0.1, ge=0)
    """Weight of the contraction beside the reconstruction of features."""
    lr: float = Field(default=1e-3, gt=0)
    """Of Adam."""
    batch: int = Field(default=64, ge=2)
    """Rows of a step."""
    epochs: int = Field(default=30, ge=1)
    """At most; the one to stop at is chosen."""

    def train(self, rows: Rows, session: Session) -> Iterator[Epoch]:
        """Train for one pair of weights."""
        from mmalign_baselines.codes import Codes, begin, epochs

        draw = session.generator("revise.initialisation")
        dim, q = rows.x.shape[1], rows.descriptions.shape[1]
        codes = begin(self, dim, q, rows.x, draw)

        def model() -> Codes:
            return Codes({name: t.detach().clone() for name, t in codes.state().items()})

        trained = epochs(codes, self, rows, session)
        for number, terms in zip(range(1, self.epochs + 1), trained, strict=False):
            yield Epoch(number, model, terms)

    def model(self, state: Mapping[str, Tensor]) -> Codes:
        """The encoders of these tensors."""
        from mmalign_baselines.codes import SCORING, Codes

        for part in SCORING:
            _ = state[f"{part}.0.weight"]
        return Codes(dict(state))
