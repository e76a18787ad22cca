"""SE: features made up by a conditional VAE with a regressor's feedback."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from mmalign import Session, component
from mmalign_baselines.generative import Generative, KnownFrom
from mmalign_baselines.grids import Grid

if TYPE_CHECKING:
    from mmalign import Rows
    from mmalign_baselines.feedback_vae import FeedbackVAE


@component
class SE(Generative):
    """Synthesised examples, by a generator with feedback (Kumar Verma et al. 2018)."""

    name: ClassVar[str] = "se"
    open: ClassVar[tuple[str, ...]] = (
        *("n_syn", "lr_cls"),
        *("lambda_r", "lambda_c", "lambda_reg", "lambda_e"),
    )
    epochs: int = Field(default=30, ge=1)
    """Times that training goes through the rows."""
    known_from: KnownFrom = "synthetic"
    """What the classifier sees of classes with rows: these, or as many made up as of the others."""
    lr_end: float = Field(default=1e-4, gt=0)
    """Learning rate that is reached, by equal factors an epoch."""
    decay: int = Field(default=20, ge=1)
    """Epochs after which it is reached."""
    latent: int = Field(default=100, ge=1)
    """Dimensions of the latent space."""
    hidden: int = Field(default=512, ge=1)
    """Width of the hidden layers: two in the encoder, one in decoder and regressor."""
    lambda_r: Grid = 0.1
    """Weight of made-up features in the regressor's loss."""
    lambda_c: Grid = 0.1
    """Weight of the regressor's feedback to the decoder."""
    lambda_reg: Grid = 0.1
    """Weight of the reconstruction from the prior."""
    lambda_e: Grid = 0.1
    """Weight of what keeps latents independent of descriptions."""

    def lr_at(self, epoch: int) -> float:
        """The learning rate of an epoch, from 0."""
        share = min(epoch / self.decay, 1)
        return float(self.lr ** (1 - share) * self.lr_end**share)

    def generators(
        self, rows: Rows, session: Session
    ) -> Iterator[tuple[FeedbackVAE, Mapping[str, float]]]:
        """Train the three networks."""
        from mmalign_baselines.feedback_vae import train

        return train(self, rows, session)
