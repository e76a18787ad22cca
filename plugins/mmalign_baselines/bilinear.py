"""The bilinear compatibility of features and descriptions, ``x^T W a``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from mmalign import Asked


@dataclass(frozen=True)
class Bilinear:
    """``score(x, a) = x^T W a``, in W's precision."""

    weight: Float[Tensor, "dim q"]

    def scores(self, x: Float[Tensor, "rows dim"], asked: Asked) -> Float[Tensor, "rows classes"]:
        """Scores over the classes asked."""
        of_classes = self.weight @ asked.descriptions.to(self.weight.dtype).T
        scores: Tensor = x.to(self.weight.dtype) @ of_classes
        return scores

    def state(self) -> Mapping[str, Tensor]:
        """The matrix W."""
        return {"weight": self.weight.contiguous()}

    @staticmethod
    def of(state: Mapping[str, Tensor]) -> Bilinear:
        """The compatibility of these tensors. Raises KeyError without them."""
        return Bilinear(state["weight"])
