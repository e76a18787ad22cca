"""ConSE: an image is described by the classes that it resembles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from mmalign import Epoch, Session, System, component

if TYPE_CHECKING:
    from torch import Tensor

    from mmalign import Asked, Rows


@component
class ConSE(System):
    """Convex combination of semantic embeddings (Norouzi et al. 2014).

    ``f(x) = sum over the T likeliest seen classes of p(c | x) a_c / sum of p``, eq. 3, and a
    class scores the cosine of f(x) and its description. Ours: ``p(c | x) = softmax of
    -sharpness |x - m_c|^2 / dim`` with the mean m_c of the class's rows, in place of a network's
    softmax.
    """

    name: ClassVar[str] = "conse"
    open: ClassVar[tuple[str, ...]] = ("sharpness",)
    sharpness: float | tuple[float, ...] = (1.0, 3.0, 10.0, 30.0, 100.0)
    """How sure the seen classes' probabilities are; one value, or several to choose from."""
    most: int = Field(default=10, ge=1)
    """T, how many seen classes describe a row."""

    def train(self, rows: Rows, session: Session) -> Iterator[Epoch]:
        """Take the means; a closed form has one epoch."""
        import torch

        means = torch.stack([rows.x[rows.labels == index].mean(0) for index in rows.known])
        settings = torch.tensor([float(self.sharpness), float(self.most)])
        yield Epoch(1, lambda: Described(means, rows.described, settings))

    def model(self, state: Mapping[str, Tensor]) -> Described:
        """The model of these tensors."""
        return Described(state["means"], state["described"], state["settings"])


@dataclass(frozen=True)
class Described:
    """Class means, the descriptions of these classes, and (sharpness, T)."""

    traceable: ClassVar[bool] = False  # T is a number that the graph would have to know
    means: Tensor
    described: Tensor
    settings: Tensor

    def scores(self, x: Tensor, asked: Asked) -> Tensor:
        """The cosine of what a row is described by and each class's description."""
        import torch

        sharpness, most = float(self.settings[0]), int(self.settings[1])
        near = torch.cdist(x, self.means).square() / x.shape[1]
        p = torch.softmax(-sharpness * near, dim=1)
        p, place = p.topk(min(most, len(self.means)), dim=1)
        combined = (p[..., None] * self.described[place]).sum(1)
        unit = torch.nn.functional.normalize
        return unit(combined, dim=1) @ unit(asked.descriptions, dim=1).T

    def state(self) -> Mapping[str, Tensor]:
        """Every tensor, by name."""
        return {"means": self.means, "described": self.described, "settings": self.settings}
