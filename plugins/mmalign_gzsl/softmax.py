"""The settings of the softmax head, and what a fitted one is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from mmalign import Facts, Latents, Scorer, Session, Signature, component

if TYPE_CHECKING:
    from torch import Tensor

    from mmalign_gzsl.fitting import FittedSoftmax
    from mmalign_gzsl.sources import Part, Source


@component
class Softmax:
    """A linear softmax on latents, trained once over all classes and once over unseen ones.

    Latents are drawn once: of a seen class from its images, of an unseen class from its
    description (Schonfeld et al. 2019, section 4.1; counts and optimiser from the public
    code). Scores over unseen classes alone come from the second classifier.
    """

    name: ClassVar[str] = "softmax"
    seen: int = Field(default=200, ge=1)
    """Latents of each seen class."""
    unseen: int = Field(default=400, ge=1)
    """Latents of each unseen class, from its description."""
    unseen_only: int = Field(default=200, ge=1)
    """The same, for the classifier of unseen classes alone."""
    seen_from: tuple[str, ...] = ()
    """Modalities that the latents of seen classes come from; all sample-level ones by default."""
    unseen_from: tuple[str, ...] = ()
    """The same of unseen classes' descriptions; all class-level ones by default. Those of
    several modalities are shared out; "attributes+sentences" draws from the product of both."""
    epochs: Annotated[int, Field(ge=1)] | Literal["validation"] = "validation"
    """Epochs; "validation" takes those with the best H on the validation protocol."""
    epochs_unseen_only: Annotated[int, Field(ge=1)] | Literal["validation"] = "validation"
    """Epochs of the classifier of unseen classes alone; chosen by T1."""
    most_epochs: int = Field(default=200, ge=1)
    """Where the choice by validation ends."""
    batch: int = Field(default=32, ge=1)
    """Latents of a step."""
    lr: float = Field(default=1e-3, gt=0)
    """Learning rate of Adam."""

    def sources(self, part: Part, latents: Latents) -> list[Source]:
        """What the training set of a classifier is drawn from."""
        from mmalign_gzsl.sources import Source, named

        described = named(latents, self.unseen_from, "class")
        if part == "unseen":
            return [Source(described, latents.unseen, self.unseen_only)]
        pictured = named(latents, self.seen_from, "sample")
        return [
            Source(pictured, latents.seen, self.seen),
            Source(described, latents.unseen, self.unseen),
        ]

    @property
    def needs_validation(self) -> bool:
        """Whether epochs are left to be chosen."""
        return "validation" in (self.epochs, self.epochs_unseen_only)

    def tuned(
        self,
        latents: Latents,
        measure: Callable[[Scorer, Literal["H", "T1"]], float],
        session: Session,
    ) -> tuple[Softmax, Facts]:
        """This head with the epochs that were best on the validation protocol."""
        from mmalign_gzsl.fitting import best_epochs

        return best_epochs(self, latents, measure, session)

    def fit(self, latents: Latents, session: Session) -> FittedSoftmax:
        """Train both classifiers."""
        from mmalign_gzsl.fitting import fit

        return fit(self, latents, session)

    def restore(self, state: Mapping[str, Tensor], signature: Signature) -> FittedSoftmax:
        """The fitted head that these tensors came from."""
        from mmalign_gzsl.fitting import restore

        return restore(state, signature)
