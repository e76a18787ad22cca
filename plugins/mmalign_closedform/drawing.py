"""What both heads draw: of seen classes from samples, of unseen ones from all that is known."""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

from pydantic import Field

from mmalign import Latents, LatentSource, component, modalities_of

Part: TypeAlias = Literal["all", "unseen"]


@component
class Drawing:
    """How many latents of each class, and from which modalities.

    Shots are drawn from where the protocol gives any away.
    """

    uses_shots: ClassVar[bool | None] = None
    seen: int = Field(default=200, ge=1)
    """Latents of each seen class."""
    unseen: int = Field(default=200, ge=0)
    """Latents of each unseen class, from its description."""
    shots: int = Field(default=200, ge=0)
    """Latents of each unseen class, from its shots, where there are any."""
    seen_from: tuple[str, ...] = ()
    """Modalities that the latents of seen classes come from; all sample-level ones by default."""
    unseen_from: tuple[str, ...] = ()
    """The same of unseen classes' descriptions; all class-level ones by default. Those of
    several modalities are shared out; "attributes+sentences" draws from the product of both."""
    shots_from: tuple[str, ...] = ()
    """The same of shots; all sample-level modalities by default."""

    def sources(self, part: Part, latents: Latents) -> list[LatentSource]:
        """What a classifier of all classes, or of unseen ones alone, is fitted to."""
        described = modalities_of(latents, self.unseen_from, "class")
        found = [LatentSource(described, latents.unseen, self.unseen)]
        if latents.shots:
            shown = modalities_of(latents, self.shots_from, "sample")
            found.append(LatentSource(shown, latents.unseen, self.shots, "shots"))
        if part == "all":
            pictured = modalities_of(latents, self.seen_from, "sample")
            found.insert(0, LatentSource(pictured, latents.seen, self.seen))
        return found
