"""SE: features made up by a conditional VAE with a regressor's feedback."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from mmalign import Session, component
from mmalign_baselines.generative import Generative
from mmalign_baselines.grids import Grid

if TYPE_CHECKING:
    from mmalign import Rows
    from mmalign_baselines.feedback_vae import FeedbackVAE


@component
class SE(Generative):
    """Synthesised examples, by a generator with feedback (Kumar Verma et al. 2018).

    An encoder ``q(z | x)``, a decoder ``p(x | z, a)`` that is told the description a of a
    class, and a regressor ``p(a | x)``, trained in turn at every batch. With features ``x'``
    decoded from z of the prior N(0, I) and the batch's descriptions:

    - the regressor: ``min over R of -log p_R(a | x) - lambda_r log p_R(a | x')``;
    - encoder and decoder: ``min over E, G of -E log p_G(x | z, a) + KL(q(z | x) | N(0, I))
      - lambda_c log p_R(a | x') - lambda_reg log p_G(x | z', a)
      + lambda_e KL(q(z | x') | N(0, I))``.

    The feedback, weight lambda_c, is that x' must show its description; the last term keeps
    latents independent of descriptions. Then a classifier is trained on features from the
    prior. G makes no negative numbers: take ``scaler = "min-max"`` for the features, the
    default of ``image``.

    Ours, because no code is public: layers, latent size, all weights, learning rates, epochs
    and counts. Hidden layers have a leaky ReLU (slope 0.2), since plain ones died on features
    that are all positive. Both Gaussians have one variance for all dimensions, that of the
    training rows and of the known classes' descriptions, so that a weight means the same
    whatever the scaling. In the term of lambda_reg, which would be a constant if x' were its
    own x, x is the batch's real feature. The classifier sees real features of known classes,
    which was better on the validation protocol of CUB than made-up ones.
    """

    name: ClassVar[str] = "se"
    open: ClassVar[tuple[str, ...]] = (
        *("n_syn", "lr_cls"),
        *("lambda_r", "lambda_c", "lambda_reg", "lambda_e"),
    )
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
