"""CVAE-ZSL: features made up by a conditional variational autoencoder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field

from mmalign import Session, component, need
from mmalign_baselines.generative import Counts, Generative, KnownFrom

if TYPE_CHECKING:
    from typing import Self

    from torch import Tensor

    from mmalign import Rows, Scoring
    from mmalign_baselines.conditional_vae import ConditionalVAE
    from mmalign_baselines.synthetic_features import FeatureGenerator

Reduction: TypeAlias = Literal["mean", "sum"]


@component
class CVAE(Generative):
    """Conditional variational autoencoder for zero-shot learning (Mishra et al. 2018).

    An autoencoder of features x, both sides of which are told the description a of their
    class: ``min E over z ~ q(z | x, a) of |x - D(z, a)|^2 + KL(q(z | x, a) | N(0, I))``,
    the evidence lower bound of the paper. Features of a class are ``D(z, a)`` with z from
    N(0, I), and a classifier is trained on those of all classes, known ones too. Defaults
    are those of the official code for CUB, which classifies by support vectors.

    With ``recon_reduction = "mean"`` the KL weighs as many times more as features have
    dimensions; the posterior then says next to nothing, and ``D(z, a)`` is nearly the mean
    of its class. With "sum" this depends on the size of the features: take ``scaler =
    "standard"`` for the image, because in [0, 1] their variance is too small for it.

    Ours: every row has noise of its own, where the official code has one for a batch; a
    linear softmax is the default classifier; the epoch is chosen on the validation protocol.
    """

    name: ClassVar[str] = "cvae"
    open: ClassVar[tuple[str, ...]] = ("n_syn", "lr_cls", "recon_reduction")
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
    recon_reduction: Reduction | Annotated[tuple[Reduction, ...], Field(min_length=1)] = "mean"
    """The squared error's reduction over dimensions: "mean" as in the official code, or "sum"."""
    classifier: Literal["softmax", "svc"] = "softmax"
    """What is trained on the features that are made up.

    "svc" is the official code's: support vectors with a Gaussian kernel, one class against
    one, on features of unit length. It needs the extra ``svm``, and minutes for each epoch
    that may be chosen: pairs of classes grow as their square.
    """
    c: float = Field(default=100.0, gt=0)
    """Weight of the errors of "svc"."""
    gamma: Literal["scale", "auto"] = "auto"
    """Width of the kernel of "svc": ``1 / dim``, or ``1 / (dim * variance)`` with "scale".

    "auto" was what scikit-learn took unasked when the official code was written.
    """

    def candidates(self) -> list[Self]:
        """Each combination of open values; support vectors have no learning rate among them."""
        if self.classifier == "svc" and isinstance(self.lr_cls, tuple):
            return replace(self, lr_cls=self.lr_cls[0]).candidates()
        return super().candidates()

    def generators(
        self, rows: Rows, session: Session
    ) -> Iterator[tuple[ConditionalVAE, Mapping[str, float]]]:
        """Train the autoencoder. Raises MmalignError where an extra is missing."""
        if self.classifier == "svc":
            need("svm", "sklearn")  # here, and not after the training; a model needs it no more
        from mmalign_baselines.conditional_vae import train

        return train(self, rows, session)

    def classifier_of(self, generator: FeatureGenerator, rows: Rows, session: Session) -> Scoring:
        """The classifier that a generator leads to."""
        if self.classifier == "softmax":
            return super().classifier_of(generator, rows, session)
        from mmalign_baselines.support_vectors import SupportVectors

        return SupportVectors.train(self, generator, rows, session)

    def model(self, state: Mapping[str, Tensor]) -> Scoring:
        """The classifier of these tensors."""
        if self.classifier == "softmax":
            return super().model(state)
        from mmalign_baselines.support_vectors import SupportVectors

        return SupportVectors.of(state)
