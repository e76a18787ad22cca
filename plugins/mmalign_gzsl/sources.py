"""From which modalities a head draws latents of which classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from mmalign import Latents, Level

Part: TypeAlias = Literal["all", "unseen"]


@dataclass(frozen=True)
class Source:
    """``count`` latents of each of these classes, from these modalities of these rows."""

    modalities: tuple[str, ...]
    classes: tuple[int, ...]
    count: int
    rows: Literal["training", "shots"] = "training"


def named(latents: Latents, given: tuple[str, ...], level: Level) -> tuple[str, ...]:
    """The modalities that a head names, or all of this level."""
    return given or tuple(name for name, each in latents.levels.items() if each == level)
