"""Latents drawn from the posteriors of training rows, shots and class descriptions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mmalign import Aligner, Gaussian, Indices, Level, Training, View, sample
from mmalign_aligned_vae.drawing import Drawing, Rows
from mmalign_aligned_vae.fusion import product
from mmalign_aligned_vae.posteriors import posteriors

SIDES: tuple[Literal["left", "right"], ...] = ("left", "right")


@dataclass(frozen=True)
class Drawer(Drawing):
    """Draws a head's training set from a trained aligner and the rows it was trained on."""

    aligner: Aligner
    training: Training

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

    def sampled(
        self, parts: tuple[str, ...], taken: Indices, rows: Rows, generator: torch.Generator
    ) -> Float[Tensor, "rows latent"]:
        """A draw from the posterior of each of these rows."""
        return sample(self.posterior(parts, taken, rows), generator, self.noise, self.scale)

    @torch.no_grad()
    def posterior(self, parts: tuple[str, ...], taken: Indices, rows: Rows) -> Gaussian:
        """The posterior of these rows, fused where there are several modalities."""
        device = self.session.device
        found, present = [], []
        for name in parts:
            view = self._view(name, rows)
            held = view.mask[taken]
            # A row without the modality stands for one that has it, and is then left out.
            there = np.where(held, taken, taken[held.argmax()])
            found.append(posteriors(self.aligner, name, view, there, device))
            present.append(torch.from_numpy(held).to(device))
        return found[0] if len(parts) == 1 else product(found, torch.stack(present))

    def _view(self, name: str, rows: Rows) -> View:
        if rows == "training" or self.training.shots is None:
            return self.training.views[name]
        return self.training.shots.views[name]

    def rows_of(self, parts: tuple[str, ...], classes: Sequence[int], rows: Rows) -> list[Indices]:
        """The rows that each class has of any of these modalities."""
        level, shots = self.levels[parts[0]], self.training.shots
        if rows == "shots" and (level == "class" or shots is None):
            return [np.empty(0, dtype=np.int64) for _ in classes]
        mask = np.any([self._view(name, rows).mask for name in parts], axis=0)
        if level == "class":
            return [np.full(int(mask[index]), index) for index in classes]
        labels = self.training.labels if rows == "training" or shots is None else shots.labels
        # Sorted once: with 20,000 classes a search through all rows for each takes minutes.
        having = np.flatnonzero(mask)
        having = having[np.argsort(labels[having], kind="stable")]
        starts, stops = (np.searchsorted(labels[having], classes, side) for side in SIDES)
        return [having[start:stop] for start, stop in zip(starts, stops, strict=True)]
