"""Latents drawn from the posteriors of training rows, shots and class descriptions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mmalign import (
    Aligner,
    Indices,
    Level,
    MmalignError,
    Noise,
    Scale,
    Session,
    Training,
    View,
    did_you_mean,
    sample,
)
from mmalign_aligned_vae.posteriors import posteriors

Rows = Literal["training", "shots"]


@dataclass(frozen=True)
class Drawer:
    """Draws a head's training set from a trained aligner."""

    aligner: Aligner
    training: Training
    session: Session
    noise: Noise
    scale: Scale

    @property
    def seen(self) -> tuple[int, ...]:
        """Classes that have training rows."""
        return tuple(self.training.seen.tolist())

    @property
    def unseen(self) -> tuple[int, ...]:
        """Classes known from their description, and from shots where there are any."""
        return tuple(self.training.unseen.tolist())

    @property
    def dim(self) -> int:
        """Dimensions of the latent space."""
        return self.aligner.latent

    @property
    def levels(self) -> Mapping[str, Level]:
        """What a row of each modality is."""
        return {name: self.training.views[name].level for name in self.aligner.names}

    @property
    def shots(self) -> int:
        """Samples of each unseen class that were given away."""
        return 0 if self.training.shots is None else self.training.shots.count

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

        Raises MmalignError for a modality that is not there.
        """
        for name in modalities:
            if name not in self.levels:
                raise MmalignError(
                    f"the head draws from '{name}'; {did_you_mean(name, self.levels)}"
                )
        device = self.session.device
        drawn = [torch.empty(0, self.dim, device=device)]
        labels = [torch.empty(0, dtype=torch.int64, device=device)]
        names = sorted(set(modalities))
        sources = [self._rows_of(name, classes, rows) for name in names]
        shares = _shares([[len(each) for each in of_name] for of_name in sources], count)
        for name, of_name, counts in zip(names, sources, shares, strict=True):
            taken, of_class = _repeated(of_name, classes, counts)
            if not len(taken):
                continue
            found = posteriors(self.aligner, name, self._view(name, rows), taken, device)
            purposes = [purpose, "shots", name] if rows == "shots" else [purpose, name]
            generator = self.session.generator(".".join(purposes), device)
            drawn.append(sample(found, generator, self.noise, self.scale))
            labels.append(torch.from_numpy(of_class).to(device))
        return torch.cat(drawn), torch.cat(labels)

    def _view(self, name: str, rows: Rows) -> View:
        if rows == "training" or self.training.shots is None:
            return self.training.views[name]
        return self.training.shots.views[name]

    def _rows_of(self, name: str, classes: Sequence[int], rows: Rows) -> list[Indices]:
        """The rows that each class has of a modality."""
        level, shots = self.levels[name], self.training.shots
        if rows == "shots" and (level == "class" or shots is None):
            return [np.empty(0, dtype=np.int64) for _ in classes]
        view = self._view(name, rows)
        if level == "class":
            return [np.full(int(view.mask[index]), index) for index in classes]
        labels = self.training.labels if rows == "training" or shots is None else shots.labels
        return [np.flatnonzero((labels == index) & view.mask) for index in classes]


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
