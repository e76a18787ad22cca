"""LATEM: the best of several bilinear compatibilities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, TypeAlias

from pydantic import Field

from mmalign import MmalignError, component
from mmalign_baselines.grids import Grid, one
from mmalign_baselines.piecewise import Piecewise
from mmalign_baselines.ranking import Ranking

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from mmalign import Rows
    from mmalign_baselines.descent import Step

Count: TypeAlias = Annotated[int, Field(ge=1)]


@component
class LATEM(Ranking):
    """Latent embeddings (Xian et al. 2016): each row chooses one of K bilinear maps.

    ``sum over n, y != y_n of max(0, 1 + F(x_n, y) - F(x_n, y_n))`` with
    ``F(x, y) = max over i of x^T W_i a_y``, eq. 2 to 4 of the paper. A step draws one wrong
    class y; i and j are the maps by which y and y_n score best. If y violates the margin,
    ``W_i -= lr x a_y^T`` and ``W_j += lr x a_(y_n)^T``; for i = j that is
    ``W_i += lr x (a_(y_n) - a_y)^T``. W begins at normal numbers over the root of dim.

    Published settings: the authors' demonstration takes lr 0.1, 10 maps and 10 epochs for CUB
    on z-scored features; another implementation 0.001 and 6 maps for AWA2. The paper chooses
    the number of maps from 2, 4, 6, 8 and 10, or prunes those that few rows choose, from 16 on.

    Ours: no pruning; lr, the number of maps and the epoch by validation. Take ``scaler =
    "unit"`` or "standard" for the features; descriptions are taken as they are and want unit
    length.
    """

    name: ClassVar[str] = "latem"
    open: ClassVar[tuple[str, ...]] = ("lr", "maps")
    lr: Grid = (0.1, 1.0)
    maps: Count | Annotated[tuple[Count, ...], Field(min_length=1)] = (2, 6)
    """How many maps, K."""

    def step(self, rows: Rows) -> Step:
        """A wrong class, and two maps."""
        from mmalign_baselines.descent import LatentStep

        return LatentStep(rows.described, self.count, one(self.lr), margin=1.0)

    @property
    def count(self) -> int:
        """The number of maps. Raises MmalignError where several are left to choose from."""
        if isinstance(self.maps, tuple):
            raise MmalignError("several numbers of maps are left to choose from; fit() chooses")
        return self.maps

    def first(self, rows: Rows, generator: torch.Generator) -> Tensor:
        """Normal numbers over the root of dim, (dim, maps q)."""
        import torch

        dim, q = rows.x.shape[1], rows.descriptions.shape[1]
        weight = torch.randn(dim, self.count * q, generator=generator, dtype=rows.x.dtype)
        weight /= dim**0.5
        return weight.to(rows.x.device)

    def state(self, weight: Tensor) -> dict[str, Tensor]:
        """The maps, (dim, maps, q)."""
        return {"weight": weight.unflatten(1, (self.count, -1)).clone()}

    def model(self, state: Mapping[str, Tensor]) -> Piecewise:
        """The maps of these tensors."""
        return Piecewise(state["weight"])
