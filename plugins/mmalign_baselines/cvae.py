"""CVAE-ZSL: features made up by a conditional variational autoencoder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from mmalign import Session, component
from mmalign_baselines.generative import Counts, Generative, KnownFrom

if TYPE_CHECKING:
    from mmalign import Rows
    from mmalign_baselines.conditional_vae import ConditionalVAE


@component
class CVAE(Generative):
    """Conditional variational autoencoder for zero-shot learning (Mishra et al. 2018)."""

    name: ClassVar[str] = "cvae"
    batch: int = Field(default=50, ge=1)
    """Rows of a step."""
    known_from: KnownFrom = "synthetic"
    """What the classifier sees of classes with rows: these, or as many made up as of the others."""
    n_syn: Counts = 200
    """Features made up of each class, for the classifier of all classes."""
    latent: int = Field(default=50, ge=1)
    """Dimensions of the latent space."""
    encoder: int = Field(default=512, ge=1)
    """Width of the encoder's two hidden layers."""
    decoder: int = Field(default=1024, ge=1)
    """Width of the decoder's hidden layer."""
    dropout: float = Field(default=0.7, ge=0, lt=1)
    """Share of the encoder's first hidden layer that is dropped while it trains."""
    recon_reduction: Literal["mean", "sum"] = "mean"
    """The squared error's reduction over dimensions."""

    def generators(
        self, rows: Rows, session: Session
    ) -> Iterator[tuple[ConditionalVAE, Mapping[str, float]]]:
        """Train the autoencoder."""
        from mmalign_baselines.conditional_vae import train

        return train(self, rows, session)
