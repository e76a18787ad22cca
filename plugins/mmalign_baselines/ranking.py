"""What the methods that rank classes by a compatibility share: their fields and training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from mmalign import Epoch, Session, System, component
from mmalign_baselines.bilinear import Bilinear
from mmalign_baselines.grids import Grid

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from mmalign import Rows, Scoring
    from mmalign_baselines.descent import Step


@component
class Ranking(System):
    """Base of the methods whose compatibility ``F(x, y)`` must rank a row's class first.

    Trained by stochastic gradient descent with a constant step; an epoch goes once through a
    permutation of the rows.
    """

    open: ClassVar[tuple[str, ...]] = ("lr",)
    lr: Grid = (0.1, 1.0, 10.0)
    """Length of a step. What is good falls with the mean square length of the features."""
    epochs: int = Field(default=20, ge=1)
    """At most; the one to stop at is chosen."""
    batch: int = Field(default=1, ge=1)
    """Rows whose steps are found at the same W; 1 is descent as published.

    A batch's steps are summed, so a row moves W as far as it would alone.
    """

    def train(self, rows: Rows, session: Session) -> Iterator[Epoch]:
        """Descend for one step length."""
        from mmalign_baselines.descent import epochs

        weight = self.first(rows, session.generator(f"{self.name}.initialisation"))
        order, draws = (session.generator(f"{self.name}.{use}") for use in ("order", "draws"))
        steps = epochs(weight, rows, self.step(rows), self.batch, order, draws)
        for number, mean in zip(range(1, self.epochs + 1), steps, strict=False):
            yield Epoch(number, lambda: self.model(self.state(weight)), {"weight": mean})

    def step(self, rows: Rows) -> Step:
        """What a row asks of W."""
        raise NotImplementedError

    def first(self, rows: Rows, generator: torch.Generator) -> Tensor:
        """W to begin with: uniform in [0, 1), then each column at length 1."""
        import torch

        shape = rows.x.shape[1], rows.descriptions.shape[1]
        weight = torch.rand(shape, generator=generator, dtype=rows.x.dtype)
        weight /= weight.norm(dim=0)
        return weight.to(rows.x.device)

    def state(self, weight: Tensor) -> dict[str, Tensor]:
        """W as the model keeps it; a copy, for training goes on."""
        return {"weight": weight.clone()}

    def model(self, state: Mapping[str, Tensor]) -> Scoring:
        """The compatibility of these tensors."""
        return Bilinear.of(state)
