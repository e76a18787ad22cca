"""What a model keeps of the latents of each class: enough to fit its head again without data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mmalign import Gaussian, Indices, Level, MmalignError, Signature, sample
from mmalign_aligned_vae.drawing import Drawing, Rows
from mmalign_aligned_vae.fusion import product

Source: TypeAlias = tuple[Rows, str]  # which rows, and of which modalities: "image+sound"


@dataclass(frozen=True)
class Moments:
    """Mean and covariance of the latents of each of these classes, noise included.

    ``covariance`` is the lower triangle, row by row. The whole matrix is kept and not its
    diagonal, because a class is thin: with variances alone, a head that was fitted again on
    CUB recognised no seen class at all.
    """

    classes: Int[Tensor, " known"]
    mean: Float[Tensor, "known latent"]
    covariance: Float[Tensor, "known triangle"]

    def roots(self) -> Float[Tensor, "known latent latent"]:
        """The symmetric square root of each covariance, in float64."""
        latent = self.mean.shape[1]
        below = torch.tril_indices(latent, latent)
        whole = torch.zeros(len(self.mean), latent, latent, dtype=torch.float64)
        whole[:, below[0], below[1]] = self.covariance.double()
        whole[:, below[1], below[0]] = self.covariance.double()
        values, vectors = torch.linalg.eigh(whole)
        # What rounding has made negative was as good as zero.
        roots: Tensor = vectors * values.clamp_min(0).sqrt()[:, None] @ vectors.mT
        return roots


@dataclass(frozen=True)
class Described:
    """Posteriors of the classes' descriptions, and which classes have one."""

    posterior: Gaussian
    has: Bool[Tensor, " classes"]


@dataclass(frozen=True)
class LatentStatistics(Drawing):
    """Gives a head latents as the training rows did, out of what was kept of each class.

    A latent of a class is drawn from the normal distribution of its rows' ``Moments``, or
    from the posterior of its description, which is kept as it is. ``signature`` says which
    classes there are; ``shots`` how many samples of each unseen one were given away.
    """

    signature: Signature
    latent: int
    shots: int
    described: Mapping[str, Described]
    moments: Mapping[Source, Moments]

    @property
    def seen(self) -> tuple[int, ...]:
        """Classes that had training rows."""
        return self.signature.seen

    @property
    def unseen(self) -> tuple[int, ...]:
        """Classes known from their descriptions, and from shots."""
        return self.signature.unseen

    @property
    def dim(self) -> int:
        """Dimensions of the latent space."""
        return self.latent

    @property
    def levels(self) -> Mapping[str, Level]:
        """What a row of each modality is."""
        return self.signature.levels

    def rows_of(self, parts: tuple[str, ...], classes: Sequence[int], rows: Rows) -> list[Indices]:
        """The class's own row of its description, or its place among the moments."""
        none = np.empty(0, dtype=np.int64)
        if self.levels[parts[0]] == "class":
            kept = [self.described[name].has for name in parts if name in self.described]
            if rows == "shots" or not kept:
                return [none for _ in classes]
            has = torch.stack(kept).any(0).cpu().numpy()
            return [np.full(int(has[index]), index) for index in classes]
        found = self.moments.get((rows, "+".join(parts)))
        of = found.classes.tolist() if found is not None else []
        place = {index: np.array([row]) for row, index in enumerate(of)}
        return [place.get(index, none) for index in classes]

    def sampled(
        self, parts: tuple[str, ...], taken: Indices, rows: Rows, generator: torch.Generator
    ) -> Float[Tensor, "rows latent"]:
        """A latent for each of these rows."""
        at = torch.from_numpy(taken)
        if self.levels[parts[0]] == "class":
            kept = [self.described[name] for name in parts if name in self.described]
            present = torch.stack([each.has[at] for each in kept])
            found = [each.posterior[at] for each in kept]
            posterior = found[0] if len(found) == 1 else product(found, present)
            return sample(posterior, generator, self.noise, self.scale)
        moments = self.moments[rows, "+".join(parts)]
        e = torch.randn(len(at), self.latent, generator=generator, dtype=torch.float64)
        roots, means = moments.roots(), moments.mean.double()
        z = torch.empty_like(e)
        for place in at.unique():
            own = at == place
            z[own] = means[place] + e[own] @ roots[place]
        return z.to(moments.mean.dtype)

    def reclassed(
        self, kept: Sequence[int], added: Mapping[str, Described], signature: Signature
    ) -> LatentStatistics:
        """The statistics of these classes and of new ones, by the numbers of ``signature``."""
        rows = torch.tensor(list(kept), dtype=torch.int64)
        number = {index: place for place, index in enumerate(kept)}
        described = {
            name: Described(
                Gaussian(
                    torch.cat([each.posterior.mean[rows], added[name].posterior.mean]),
                    torch.cat([each.posterior.logvar[rows], added[name].posterior.logvar]),
                ),
                torch.cat([each.has[rows], added[name].has]),
            )
            for name, each in self.described.items()
        }
        moments = {}
        for source, each in self.moments.items():
            stays = torch.tensor([index in number for index in each.classes.tolist()]).bool()
            classes = [number[index] for index in each.classes[stays].tolist()]
            moments[source] = Moments(
                torch.tensor(classes, dtype=torch.int64),
                each.mean[stays],
                each.covariance[stays],
            )
        return replace(self, signature=signature, described=described, moments=moments)

    def state(self) -> Mapping[str, Tensor]:
        """Every tensor, by name."""
        tensors = {"shots": torch.tensor(self.shots)}
        for name, each in self.described.items():
            parts = {"mean": each.posterior.mean, "logvar": each.posterior.logvar, "has": each.has}
            tensors |= {f"described.{name}.{part}": tensor for part, tensor in parts.items()}
        for (rows, group), found in self.moments.items():
            tensors |= {f"{rows}.{group}.{part}": tensor for part, tensor in vars(found).items()}
        return tensors


def restored(state: Mapping[str, Tensor], like: LatentStatistics) -> LatentStatistics:
    """The statistics of these tensors, with everything else from ``like``.

    Raises MmalignError for tensors that are missing, surplus or of other shapes.
    """
    by_source: dict[str, dict[str, Tensor]] = {}
    for name, tensor in state.items():
        source, _, part = name.rpartition(".")
        by_source.setdefault(source, {})[part] = tensor
    described, moments = {}, {}
    try:
        shots = int(by_source.pop("")["shots"])
        for source, tensors in by_source.items():
            kind, _, name = source.partition(".")
            if kind == "described":
                posterior = Gaussian(tensors.pop("mean"), tensors.pop("logvar"))
                described[name] = Described(posterior, **tensors)
            else:
                rows: Rows = "shots" if kind == "shots" else "training"
                moments[rows, name] = Moments(**tensors)
        found = replace(like, shots=shots, described=described, moments=moments)
        surplus = state.keys() - found.state().keys()
        if surplus or not _fits(found):
            raise ValueError("surplus, or of other shapes")
    except (KeyError, ValueError, RuntimeError, TypeError) as error:
        raise MmalignError(f"the model's latent statistics do not fit it: {error}") from None
    return found


def _fits(found: LatentStatistics) -> bool:
    """Whether everything has the shape that the classes and the latent space ask for."""
    classes, latent = len(found.signature.classes), found.latent
    return all(
        each.posterior.mean.shape == each.posterior.logvar.shape == (classes, latent)
        and each.has.shape == (classes,)
        and each.has.dtype == torch.bool
        and found.levels.get(name) == "class"
        for name, each in found.described.items()
    ) and all(
        each.mean.shape == (len(each.classes), latent)
        and each.covariance.shape == (len(each.classes), latent * (latent + 1) // 2)
        and each.classes.dtype == torch.int64
        and all(0 <= index < classes for index in each.classes.tolist())
        for each in found.moments.values()
    )
