"""From which modalities a head draws latents of which classes: for heads of any plugin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mmalign.contracts import Latents
from mmalign.errors import MmalignError
from mmalign.types import Level

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor


@dataclass(frozen=True)
class LatentSource:
    """``count`` latents of each of these classes, from these modalities of these rows."""

    modalities: tuple[str, ...]
    classes: tuple[int, ...]
    count: int
    rows: Literal["training", "shots"] = "training"


def modalities_of(latents: Latents, given: tuple[str, ...], level: Level) -> tuple[str, ...]:
    """The modalities that a head names, or all of this level."""
    return given or tuple(name for name, each in latents.levels.items() if each == level)


def draw_from(
    latents: Latents, sources: Sequence[LatentSource], purpose: str
) -> tuple[Float[Tensor, "rows latent"], Tensor, tuple[int, ...]]:
    """The training set of a classifier: latents, their classes (rows,), and which there are.

    Raises MmalignError for a class from which no latent can be drawn.
    """
    import torch

    drawn = [
        latents.draw(each.modalities, each.classes, each.count, purpose, each.rows)
        for each in sources
    ]
    z, labels = torch.cat([z for z, _ in drawn]), torch.cat([of for _, of in drawn])
    classes = tuple(sorted({index for each in sources for index in each.classes}))
    missing = sorted(set(classes) - set(labels.tolist()))
    if missing:
        raise MmalignError(
            f"no latent can be drawn of {len(missing)} classes (the first has index"
            f" {missing[0]}): a seen class needs images, an unseen one a description"
        )
    return z, labels, classes
