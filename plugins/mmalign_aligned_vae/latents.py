"""Latents drawn from the posteriors of training rows and class descriptions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mmalign import Aligner, Indices, Noise, Scale, Session, Training, View, sample
from mmalign_aligned_vae.posteriors import posteriors


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
        """Classes known from their description only."""
        return tuple(self.training.unseen.tolist())

    @property
    def dim(self) -> int:
        """Dimensions of the latent space."""
        return self.aligner.latent

    @torch.no_grad()
    def draw(
        self, level: Literal["sample", "class"], classes: Sequence[int], count: int, purpose: str
    ) -> tuple[Float[Tensor, "rows latent"], Int[Tensor, " rows"]]:
        """``count`` latents of each class from each modality of this level, and their classes.

        The first ``count`` training rows of a class that have the modality are taken,
        repeated when there are fewer. A class without any contributes none.
        """
        drawn, labels = [], []
        for name in self.aligner.names:
            view = self.training.views[name]
            if view.level != level or count == 0:
                continue
            rows, of_class = self._rows(view, classes, count)
            found = posteriors(self.aligner, name, view, rows, self.session.device)
            generator = self.session.generator(f"{purpose}.{name}", self.session.device)
            drawn.append(sample(found, generator, self.noise, self.scale))
            labels.append(torch.from_numpy(of_class).to(self.session.device))
        if not drawn:
            device = self.session.device
            empty = torch.empty(0, dtype=torch.int64, device=device)
            return torch.empty(0, self.dim, device=device), empty
        return torch.cat(drawn), torch.cat(labels)

    def _rows(self, view: View, classes: Sequence[int], count: int) -> tuple[Indices, Indices]:
        rows, of_class = [], []
        for index in classes:
            if view.level == "sample":
                own = np.flatnonzero((self.training.labels == index) & view.mask)[:count]
            else:
                own = np.full(int(view.mask[index]), index)
            if len(own):
                rows.append(np.resize(own, count))
                of_class.append(np.full(count, index))
        none = np.empty(0, dtype=np.int64)
        return np.concatenate([none, *rows]), np.concatenate([none, *of_class])
