"""Linear classifiers of latents, as several heads fit them, each in its own way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from mmalign.errors import MmalignError
from mmalign.types import Facts, Signature


@dataclass(frozen=True)
class Linear:
    """``z W + b``, scores over ``classes``."""

    weight: Float[Tensor, "latent classes"]
    bias: Float[Tensor, " classes"]
    classes: tuple[int, ...]

    def __post_init__(self) -> None:
        # The last bits of a product depend on how its factors lie in memory, and tensors
        # come back from a file contiguous.
        object.__setattr__(self, "weight", self.weight.contiguous())
        object.__setattr__(self, "bias", self.bias.contiguous())

    def scores(
        self, z: Float[Tensor, "rows latent"], classes: Sequence[int]
    ) -> Float[Tensor, "rows wanted"]:
        """Scores over these classes.

        Raises MmalignError for a class that it was not trained on.
        """
        scores = torch.addmm(self.bias, z, self.weight)
        if tuple(classes) == self.classes:
            return scores
        place = {index: column for column, index in enumerate(self.classes)}
        unknown = [index for index in classes if index not in place]
        if unknown:
            raise MmalignError(f"the head was not trained on the class with index {unknown[0]}")
        return scores[:, [place[index] for index in classes]]

    @staticmethod
    def nothing(latent: int) -> Linear:
        """The classifier over no class: of unseen ones, where there is none."""
        return Linear(torch.empty(latent, 0), torch.empty(0), ())

    def state(self, part: str) -> dict[str, Tensor]:
        """Weight and bias, by names that open with ``part``."""
        return {f"{part}.weight": self.weight, f"{part}.bias": self.bias}

    @staticmethod
    def restore(state: Mapping[str, Tensor], part: str, classes: tuple[int, ...]) -> Linear:
        """The classifier that these tensors came from.

        Raises MmalignError where they are missing, or of other shapes.
        """
        weight, bias = state.get(f"{part}.weight"), state.get(f"{part}.bias")
        columns = (len(classes),)
        if weight is None or bias is None or not bias.shape == weight.shape[1:] == columns:
            raise MmalignError(f"the head's tensors '{part}' do not fit {len(classes)} classes")
        return Linear(weight, bias, classes)


@dataclass(frozen=True)
class LinearPair:
    """Two linear classifiers of latents: over all classes, and over unseen ones alone."""

    all: Linear
    unseen: Linear
    facts: Facts = field(default_factory=dict)

    def scores(
        self, z: Float[Tensor, "rows latent"], classes: Sequence[int]
    ) -> Float[Tensor, "rows wanted"]:
        """Scores over these classes; over unseen ones alone from their own classifier."""
        alone = set(classes) <= set(self.unseen.classes)
        return (self.unseen if alone else self.all).scores(z, classes)

    def state(self) -> Mapping[str, Tensor]:
        """The weights and biases."""
        return {**self.all.state("all"), **self.unseen.state("unseen")}

    @staticmethod
    def restore(state: Mapping[str, Tensor], signature: Signature) -> LinearPair:
        """Rebuild both classifiers. Raises MmalignError for tensors that do not fit."""
        everything = tuple(sorted((*signature.seen, *signature.unseen)))
        return LinearPair(
            Linear.restore(state, "all", everything),
            Linear.restore(state, "unseen", signature.unseen),
        )
