"""How a head's training set is drawn: shares of modalities, and as many latents of each class."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mmalign import Indices, Level, MmalignError, Noise, Scale, Session, did_you_mean

Rows = Literal["training", "shots"]
PART = 2**18  # latents drawn at a time; a multiple of 16, so that parts get the noise of a whole


@dataclass(frozen=True)
class Drawing:
    """Base of what gives latents to a head: it shares out, repeats, and names the generators."""

    session: Session
    noise: Noise
    scale: Scale

    @property
    @abstractmethod
    def dim(self) -> int:
        """Dimensions of the latent space."""

    @property
    @abstractmethod
    def levels(self) -> Mapping[str, Level]:
        """What a row of each modality is."""

    @abstractmethod
    def rows_of(self, parts: tuple[str, ...], classes: Sequence[int], rows: Rows) -> list[Indices]:
        """The rows that each class has of any of these modalities."""

    @abstractmethod
    def sampled(
        self, parts: tuple[str, ...], taken: Indices, rows: Rows, generator: torch.Generator
    ) -> Float[Tensor, "rows latent"]:
        """A latent of each of these rows."""

    @torch.no_grad()
    def draw(
        self,
        modalities: Sequence[str],
        classes: Sequence[int],
        count: int,
        purpose: str,
        rows: Rows = "training",
    ) -> tuple[Float[Tensor, "rows latent"], Int[Tensor, " rows"]]:
        """``count`` latents of each class, shared out among its modalities, and the classes.

        A name such as "attributes+sentences" is the product of both posteriors, of one of
        them where a class has only that. Raises MmalignError for a modality that is not
        there, and for a product of samples' and classes' ones.
        """
        device = self.session.device
        drawn = [torch.empty(0, self.dim, device=device)]
        labels = [torch.empty(0, dtype=torch.int64, device=device)]
        groups = [self.parts(name) for name in sorted(set(modalities))]
        sources = [self.rows_of(parts, classes, rows) for parts in groups]
        shares = _shares([[len(each) for each in of_group] for of_group in sources], count)
        for parts, of_group, counts in zip(groups, sources, shares, strict=True):
            taken, of_class = _repeated(of_group, classes, counts)
            if not len(taken):
                continue
            purposes = [purpose, "shots"] if rows == "shots" else [purpose]
            generator = self.session.generator(".".join([*purposes, "+".join(parts)]), device)
            # Part by part: what is on the way to a latent takes several times its room.
            for start in range(0, len(taken), PART):
                some = taken[start : start + PART]
                drawn.append(self.sampled(parts, some, rows, generator))
            labels.append(torch.from_numpy(of_class).to(device))
        return torch.cat(drawn), torch.cat(labels)

    def parts(self, name: str) -> tuple[str, ...]:
        """The modalities that a name stands for."""
        parts = tuple(sorted(part.strip() for part in name.split("+")))
        for part in parts:
            if part not in self.levels:
                raise MmalignError(
                    f"the head draws from '{part}'; {did_you_mean(part, self.levels)}"
                )
        if len({self.levels[part] for part in parts}) > 1:
            raise MmalignError(
                f"the head draws from '{name}', of which some have one row a sample and some one"
                " a class; a product needs rows of one kind"
            )
        return parts


def _shares(rows: list[list[int]], count: int) -> list[list[int]]:
    """How many of ``count`` latents each modality gives, (modalities, classes).

    Equal shares among the modalities that have rows of a class; the first ones give one
    more where it does not come out even.
    """
    shares = np.zeros((len(rows), len(rows[0]) if rows else 0), dtype=np.int64)
    for column, of_class in enumerate(zip(*rows, strict=True)):
        having = [place for place, held in enumerate(of_class) if held]
        for order, place in enumerate(having):
            shares[place, column] = count // len(having) + (order < count % len(having))
    return [[int(share) for share in line] for line in shares]


def _repeated(
    rows: list[Indices], classes: Sequence[int], counts: Sequence[int]
) -> tuple[Indices, Indices]:
    """The first ``counts`` rows of each class, repeated when there are fewer; their classes."""
    none = np.empty(0, dtype=np.int64)
    taken = [np.resize(own, n) for own, n in zip(rows, counts, strict=True) if n]
    of_class = [np.full(n, index) for index, n in zip(classes, counts, strict=True) if n]
    return np.concatenate([none, *taken]), np.concatenate([none, *of_class])
