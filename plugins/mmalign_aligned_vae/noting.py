"""Notes from what a head draws, and takes down what a model keeps of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from mmalign import Gaussian, Indices
from mmalign_aligned_vae.drawing import Rows
from mmalign_aligned_vae.latents import Drawer
from mmalign_aligned_vae.statistics import Described, LatentStatistics, Moments, Source


@dataclass(frozen=True)
class Noted(Drawer):
    """A ``Drawer`` that notes from what a head has drawn."""

    asked: set[Source] = field(default_factory=set)

    def rows_of(self, parts: tuple[str, ...], classes: Sequence[int], rows: Rows) -> list[Indices]:
        """As ``Drawer.rows_of``; asked of every source, one that has no class too."""
        self.asked.add((rows, "+".join(parts)))
        return super().rows_of(parts, classes, rows)

    def statistics(self) -> LatentStatistics:
        """What to keep of the latents that were drawn."""
        described: dict[str, Described] = {}
        moments: dict[Source, Moments] = {}
        for rows, group in sorted(self.asked):
            parts = tuple(group.split("+"))
            if self.levels[parts[0]] == "class":
                described |= {name: describe(self, name) for name in parts}
            else:
                moments[rows, group] = measured(self, parts, rows)
        return LatentStatistics(
            replace(self.session, device="cpu"),
            self.noise,
            self.scale,
            self.training.signature,
            self.dim,
            self.shots,
            described,
            moments,
        )


def describe(drawer: Drawer, name: str) -> Described:
    """The posterior of every class's description; standard normal where there is none."""
    view = drawer.training.views[name]
    has = torch.from_numpy(view.mask.copy())
    mean = torch.zeros(len(view), drawer.dim)
    logvar = torch.zeros(len(view), drawer.dim)
    if has.any():
        found = drawer.posterior((name,), np.flatnonzero(view.mask), "training")
        mean[has], logvar[has] = found.mean.cpu(), found.logvar.cpu()
    return Described(Gaussian(mean, logvar), has)


def measured(drawer: Drawer, parts: tuple[str, ...], rows: Rows) -> Moments:
    """Mean and covariance of the latents of each class that has such rows, in closed form.

    ``Cov z = Cov mean + E[s s^T]`` with noise that all dimensions share, and the diagonal of
    the second term alone with independent noise; s is the scale of the noise.
    """
    everything = (*drawer.seen, *drawer.unseen)
    latent = drawer.dim
    below = torch.tril_indices(latent, latent)
    classes, means, covariances = [], [], []
    for index, own in zip(everything, drawer.rows_of(parts, everything, rows), strict=True):
        if not len(own):
            continue
        found = drawer.posterior(parts, own, rows)
        mean, logvar = found.mean.double().cpu(), found.logvar.double().cpu()
        s = logvar.exp() if drawer.scale == "variance" else (logvar / 2).exp()
        apart = mean - mean.mean(0)
        spread = s.T @ s if drawer.noise == "shared" else s.square().sum(0).diag()
        covariance = (apart.T @ apart + spread) / len(own)
        classes.append(index)
        means.append(mean.mean(0))
        covariances.append(covariance[below[0], below[1]])
    return Moments(
        torch.tensor(classes, dtype=torch.int64),
        torch.stack(means).float() if means else torch.empty(0, latent),
        torch.stack(covariances).float() if means else torch.empty(0, below.shape[1]),
    )
