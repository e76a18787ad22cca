"""The settings of the few-shot head."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from mmalign import Latents, component
from mmalign_gzsl.softmax import Softmax

if TYPE_CHECKING:
    from mmalign_gzsl.sources import Part, Source


@component
class FewShot(Softmax):
    """The softmax head with latents of unseen classes from shots too, any number of them.

    Latents of an unseen class come half from its description and half from its shots, each
    shot repeated with noise of its own (Schonfeld et al. 2019, section 4.4; counts from the
    public code). ``protocol.shots`` says how many there are.
    """

    name: ClassVar[str] = "few-shot"
    uses_shots: ClassVar[bool] = True
    unseen: int = Field(default=200, ge=0)
    """Latents of each unseen class, from its description."""
    unseen_only: int = Field(default=200, ge=0)
    """The same, for the classifier of unseen classes alone."""
    shots: int = Field(default=200, ge=1)
    """Latents of each unseen class, from its shots."""
    shots_from: tuple[str, ...] = ()
    """Modalities that the latents of shots come from; all sample-level ones by default."""

    def sources(self, part: Part, latents: Latents) -> list[Source]:
        """What the training set of a classifier is drawn from."""
        from mmalign_gzsl.sources import Source, named

        shown = named(latents, self.shots_from, "sample")
        given = Source(shown, latents.unseen, self.shots, "shots")
        return [*super().sources(part, latents), given]
