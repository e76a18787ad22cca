"""The best of several bilinear compatibilities, ``max over i of x^T W_i a``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from mmalign import Asked


@dataclass(frozen=True)
class Piecewise:
    """``score(x, a) = max over i of x^T W_i a``, in W's precision."""

    weight: Float[Tensor, "dim maps q"]

    def scores(self, x: Float[Tensor, "rows dim"], asked: Asked) -> Float[Tensor, "rows classes"]:
        """Scores over the classes asked."""
        of_classes = self.weight @ asked.descriptions.to(self.weight.dtype).T
        by_map = x.to(self.weight.dtype) @ of_classes.flatten(1)
        scores: Tensor = by_map.unflatten(1, of_classes.shape[1:]).amax(1)
        return scores

    def state(self) -> Mapping[str, Tensor]:
        """The maps."""
        return {"weight": self.weight}
