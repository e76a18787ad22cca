"""Notes from what a head draws, and takes down what a model keeps of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mmalign import Gaussian, Level
from mmalign_aligned_vae.drawing import Rows
from mmalign_aligned_vae.latents import Drawer
from mmalign_aligned_vae.statistics import Described, LatentStatistics, Moments, Source


@dataclass(frozen=True)
class Noted:
    """A ``Drawer`` that notes from what a head has drawn."""

    latents: Drawer
    asked: set[Source] = field(default_factory=set)

    @property
    def seen(self) -> tuple[int, ...]:  # noqa: D102
        return self.latents.seen

    @property
    def unseen(self) -> tuple[int, ...]:  # noqa: D102
        return self.latents.unseen

    @property
    def dim(self) -> int:  # noqa: D102
        return self.latents.dim

    @property
    def levels(self) -> Mapping[str, Level]:  # noqa: D102
        return self.latents.levels

    @property
    def shots(self) -> int:  # noqa: D102
        return self.latents.shots

    def draw(
        self,
        modalities: Sequence[str],
        classes: Sequence[int],
        count: int,
        purpose: str,
        rows: Rows = "training",
    ) -> tuple[Float[Tensor, "rows latent"], Int[Tensor, " rows"]]:
        """As ``Drawer.draw``."""
        self.asked.update((rows, "+".join(self.latents.parts(name))) for name in modalities)
        return self.latents.draw(modalities, classes, count, purpose, rows)

    def statistics(self) -> LatentStatistics:
        """What to keep of the latents that were drawn."""
        drawer, training = self.latents, self.latents.training
        described: dict[str, Described] = {}
        moments: dict[Source, Moments] = {}
        for rows, group in sorted(self.asked):
            parts = tuple(group.split("+"))
            if drawer.levels[parts[0]] == "class":
                described |= {name: describe(drawer, name) for name in parts}
            else:
                moments[rows, group] = measured(drawer, parts, rows)
        return LatentStatistics(
            replace(drawer.session, device="cpu"),
            drawer.noise,
            drawer.scale,
            training.signature,
            drawer.dim,
            drawer.shots,
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
