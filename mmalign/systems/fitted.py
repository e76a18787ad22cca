"""A fitted system: scores rows over any of its classes, and is nothing but tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from mmalign.arrays import Floats
from mmalign.errors import MmalignError
from mmalign.systems.rows import Asked, asked_of, side_by_side
from mmalign.types import Facts, Session, Signature, View

if TYPE_CHECKING:
    from mmalign.systems.system import Scoring, System

CHUNK = 4096  # rows scored at a time
OWN = ("descriptions", "known", "numbers", "temperature")  # tensors of no model


@dataclass(frozen=True)
class FittedSystem:
    """The model chosen by H, the one chosen by T1, and the classes' descriptions.

    ``alone`` scores where only unseen classes are asked, ``all`` everywhere else; often they
    are the same object. ``features`` are the sample-level modalities, side by side in this
    order. ``known`` are the classes that had training rows. ``numbers`` are what the models
    knew the classes as, where classes came or went since; a newcomer's is below 0.
    ``temperature`` makes probabilities of the scores of ``all``.
    """

    all: Scoring
    alone: Scoring
    descriptions: Float[Tensor, "classes q"]
    features: tuple[str, ...]
    known: tuple[int, ...]
    unseen: tuple[int, ...]
    device: str = "cpu"
    chosen: Facts = field(default_factory=dict)
    numbers: tuple[int, ...] | None = None
    temperature: float | None = None

    @torch.no_grad()
    def scores(self, views: Mapping[str, View], classes: Sequence[int]) -> Floats:
        """Scores of rows over classes, (rows, classes).

        Raises MmalignError for views or rows that lack one of the features.
        """
        missing = [name for name in self.features if name not in views]
        if missing or not views:
            raise MmalignError(
                f"the model scores rows by {', '.join(self.features)}; got"
                f" {', '.join(views) or 'nothing'}"
            )
        x, whole = side_by_side({name: views[name] for name in self.features})
        if not whole.all():
            row = int(np.argmin(whole))
            raise MmalignError(f"row {row} lacks one of {', '.join(self.features)}")
        model, asked = self.scoring(classes)
        parts = torch.from_numpy(x).to(self.device).split(CHUNK) if len(x) else ()
        scores = [model.scores(part, asked).float() for part in parts]
        empty = torch.empty(0, len(classes), device=self.device)
        found: Floats = torch.cat([empty, *scores]).cpu().numpy()
        return found

    def scoring(self, classes: Sequence[int]) -> tuple[Scoring, Asked]:
        """The model that these classes are scored by, and what it is asked."""
        asked = asked_of(classes, self.descriptions, self.known, self.numbers)
        return self.alone if set(classes) <= set(self.unseen) else self.all, asked

    def module(self, modalities: Sequence[str], classes: Sequence[int]) -> nn.Module:
        """The model that these classes are scored by, as a module.

        Raises MmalignError for other modalities than all that it scores rows by, and for a
        system that is no graph of torch operations.
        """
        if sorted(modalities) != sorted(self.features):
            raise MmalignError(
                f"the model scores rows by {' and '.join(self.features)};"
                f" got {' and '.join(modalities) or 'nothing'}"
            )
        made = Scored(self, modalities, classes)
        if not getattr(made.model, "traceable", True):
            raise MmalignError("how this model scores rows cannot be written as a graph")
        return made

    def state(self) -> Mapping[str, Tensor]:
        """Every tensor: of the models, the descriptions and the classes with rows."""
        tensors = {f"all.{name}": tensor for name, tensor in self.all.state().items()}
        if self.alone is not self.all:
            tensors |= {f"alone.{name}": tensor for name, tensor in self.alone.state().items()}
        tensors |= {"descriptions": self.descriptions, "known": torch.tensor(self.known)}
        if self.numbers is not None:
            tensors["numbers"] = torch.tensor(self.numbers)
        if self.temperature is not None:
            tensors["temperature"] = torch.tensor(self.temperature, dtype=torch.float64)
        # Copies: the two models may share a tensor, and a file may not.
        return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}

    def reclassed(
        self,
        kept: Sequence[int],
        added: Mapping[str, View],
        signature: Signature,
        session: Session,
    ) -> FittedSystem:
        """The same models for other classes; nothing is fitted again.

        Raises MmalignError for a system that classifies among the classes it was told of.
        """
        if not all(getattr(m, "by_description", True) for m in (self.all, self.alone)):
            raise MmalignError(
                "the model is a classifier of the classes that it was trained for, and the"
                " generator behind it is not kept; train it again with the other classes"
            )
        fresh = len(signature.classes) - len(kept)
        of_class = sorted(n for n, level in signature.levels.items() if level == "class")
        parts = [np.zeros((fresh, signature.dims[name]), np.float32) for name in of_class]
        for part, name in zip(parts, of_class, strict=True):
            if name in added:
                mask = added[name].mask
                part[mask] = added[name].values[mask]
        new = torch.from_numpy(np.concatenate(parts, axis=1)).to(self.descriptions)
        before = self.numbers or tuple(range(len(self.descriptions)))
        least = min(0, *before)
        place = {index: number for number, index in enumerate(kept)}
        return replace(
            self,
            descriptions=torch.cat([self.descriptions[list(kept)], new]),
            known=tuple(place[index] for index in self.known if index in place),
            unseen=signature.unseen,
            numbers=(*(before[index] for index in kept), *range(least - fresh, least)),
        )

    @property
    def facts(self) -> Facts:
        """The size of the model that answers the generalized question, and what was chosen."""
        parameters = sum(tensor.numel() for tensor in self.all.state().values())
        return {"parameters": parameters, "chosen": dict(self.chosen)}


class Scored(nn.Module):
    """Scores of whole rows over classes; see ``mmalign.Exportable``."""

    def __init__(
        self, fitted: FittedSystem, modalities: Sequence[str], classes: Sequence[int]
    ) -> None:
        super().__init__()
        self.places = [modalities.index(name) for name in fitted.features]
        self.model, self.asked = fitted.scoring(classes)

    def forward(self, *rows: Tensor) -> tuple[Tensor]:
        """Scores, (rows, classes)."""
        x = torch.cat([rows[place] for place in self.places], dim=1)
        return (self.model.scores(x, self.asked).float(),)


def restore(system: System, state: Mapping[str, Tensor], signature: Signature) -> FittedSystem:
    """Rebuild from tensors. Raises MmalignError for missing, surplus or misshapen ones."""
    features = tuple(sorted(n for n, level in signature.levels.items() if level == "sample"))
    parts: dict[str, dict[str, Tensor]] = {"all": {}, "alone": {}}
    for name, tensor in state.items():
        part, dot, inner = name.partition(".")
        if dot and part in parts:
            parts[part][inner] = tensor
        elif name not in OWN:
            raise MmalignError(f"the model holds a surplus tensor '{name}'")
    try:
        everything = system.model(parts["all"])
        alone = system.model(parts["alone"]) if parts["alone"] else everything
        if state["known"].dtype != torch.int64 or state["known"].ndim != 1:
            raise ValueError("'known' holds no class indices")
        known = tuple(state["known"].tolist())
        numbers = tuple(state["numbers"].tolist()) if "numbers" in state else None
        if numbers is not None and len(set(numbers)) != len(signature.classes):
            raise ValueError("'numbers' are not those of the classes")
        temperature = state["temperature"].item() if "temperature" in state else None
        fitted = FittedSystem(
            everything,
            alone,
            state["descriptions"],
            features,
            known,
            signature.unseen,
            numbers=numbers,
            temperature=temperature,
        )
        _try(fitted, signature)
    except (KeyError, IndexError, RuntimeError, TypeError, ValueError) as error:
        raise MmalignError(f"the model's tensors do not fit its configuration: {error}") from None
    return fitted


def _try(fitted: FittedSystem, signature: Signature) -> None:
    """Score one row, which fails for tensors of other shapes."""
    q = sum(dim for n, dim in signature.dims.items() if signature.levels[n] == "class")
    if fitted.descriptions.shape != (len(signature.classes), q):
        raise ValueError(f"descriptions of shape {tuple(fitted.descriptions.shape)}")
    row = {n: View(np.zeros((1, signature.dims[n]), np.float32), "sample") for n in fitted.features}
    for classes in ((*signature.seen, *signature.unseen), signature.unseen):
        fitted.scores(row, classes)
