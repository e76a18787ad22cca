"""The mathematics of SYNC: phantoms, similarities, and the linear classifiers' training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from mmalign import Asked, MmalignError, Rows

if TYPE_CHECKING:
    from mmalign_baselines.sync import SYNC

RCOND = 1e-10  # singular values of S below this share of the largest count as zero


@dataclass(frozen=True)
class Phantoms:
    """Descriptions of the classes with rows, at unit length over the median distance."""

    points: Float[Tensor, "phantoms q"]
    width: Float[Tensor, ""]

    @staticmethod
    def of(rows: Rows) -> Phantoms:
        """The phantoms of a problem. Raises MmalignError where all descriptions are the same."""
        points = unit(rows.described.double())
        distances = torch.pdist(points)
        if not (distances > 0).any():
            raise MmalignError("every seen class has the same description; SYNC tells none apart")
        width = distances[distances > 0].median()
        return Phantoms(points / width, width)

    def synthesiser(self, weight: Float[Tensor, "phantoms dim"], scale: float) -> Synthesiser:
        """``V = S^+ W``: what the phantoms' classifiers must be for theirs to come out."""
        sharp = torch.tensor(scale, dtype=torch.float64)
        similar = similarities(self.points, self.points, sharp)
        base = torch.linalg.pinv(similar, rtol=RCOND) @ weight
        return Synthesiser(self.points, base, self.width, sharp)


@dataclass(frozen=True)
class Synthesiser:
    """Scores by classifiers that it synthesises from descriptions, in float64."""

    NAMES: ClassVar[tuple[str, ...]] = ("phantoms", "base", "width", "scale")
    phantoms: Float[Tensor, "phantoms q"]
    base: Float[Tensor, "phantoms dim"]
    width: Float[Tensor, ""]
    scale: Float[Tensor, ""]

    def scores(self, x: Float[Tensor, "rows dim"], asked: Asked) -> Float[Tensor, "rows classes"]:
        """Scores over the classes asked."""
        points = unit(asked.descriptions.double()) / self.width
        weight = similarities(points, self.phantoms, self.scale) @ self.base
        scores: Tensor = x.double() @ weight.T
        return scores

    def state(self) -> Mapping[str, Tensor]:
        """Phantoms and their classifiers."""
        return {name: getattr(self, name) for name in self.NAMES}


def unit(a: Float[Tensor, "classes q"]) -> Float[Tensor, "classes q"]:
    """Rows of length 1; one of zeros stays as it is."""
    lengths: Tensor = a.norm(dim=1, keepdim=True).clamp_min(torch.finfo(a.dtype).tiny)
    return a / lengths


def similarities(
    a: Float[Tensor, "classes q"], b: Float[Tensor, "phantoms q"], scale: Float[Tensor, ""]
) -> Float[Tensor, "classes phantoms"]:
    """``softmax over phantoms of -scale |a - b|^2`` (Changpinyo et al. 2016, eq. 2)."""
    return torch.softmax(-scale * torch.cdist(a, b).square(), dim=1)


def first(rows: Rows, generator: torch.Generator) -> Float[Tensor, "phantoms dim"]:
    """Where training begins: normal numbers, over 100."""
    shape = (len(rows.known), rows.x.shape[1])
    return torch.randn(shape, generator=generator, dtype=torch.float64) / 100


def classifiers(
    settings: SYNC,
    rows: Rows,
    phantoms: Phantoms,
    start: Float[Tensor, "phantoms dim"],
) -> Float[Tensor, "phantoms dim"]:
    """The linear classifiers of the classes with rows, by L-BFGS in float64."""
    x, lam = rows.x.double(), settings.lam
    assert isinstance(lam, float), "a candidate has one value"
    shape = (len(rows.known), x.shape[1])
    margin = margins(settings.loss, phantoms)

    def objective(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weight = torch.from_numpy(flat).view(shape)
        scores = x @ weight.T
        value, slope = (
            one_versus_other(scores, rows.targets)
            if margin is None
            else crammer_singer(scores, rows.targets, margin)
        )
        total = float(value) + lam / 2 * float(weight.square().sum())
        return total, (slope.T @ x + lam * weight).numpy().ravel()

    options = {"maxiter": settings.iterations, "ftol": settings.tolerance, "gtol": 0.0}
    options["maxfun"] = 2 * settings.iterations
    found = minimize(objective, start.numpy().ravel(), jac=True, method="L-BFGS-B", options=options)
    return torch.from_numpy(found.x).view(shape)


def margins(loss: Any, phantoms: Phantoms) -> Float[Tensor, "phantoms phantoms"] | None:
    """How far a wrong class must stay behind the true one; None for one-versus-other."""
    count = len(phantoms.points)
    if loss == "one-versus-other":
        return None
    if loss == "crammer-singer":
        return 1 - torch.eye(count, dtype=torch.float64)
    return torch.cdist(phantoms.points, phantoms.points)


def one_versus_other(
    scores: Float[Tensor, "rows classes"], targets: Int[Tensor, " rows"]
) -> tuple[Float[Tensor, ""], Float[Tensor, "rows classes"]]:
    """``1 / (N C) sum of max(0, 1 - y s)^2``, and its slope in the scores."""
    signs = torch.full_like(scores, -1)
    signs[torch.arange(len(scores)), targets] = 1
    short = (1 - signs * scores).clamp_min(0)
    return short.square().sum() / scores.numel(), -2 * signs * short / scores.numel()


def crammer_singer(
    scores: Float[Tensor, "rows classes"],
    targets: Int[Tensor, " rows"],
    margin: Float[Tensor, "classes classes"],
) -> tuple[Float[Tensor, ""], Float[Tensor, "rows classes"]]:
    """``1 / N sum of max over c of [D(y, c) + s_c - s_y]``, and a subgradient in the scores.

    The margin of the true class is 0, so no term is negative.
    """
    row = torch.arange(len(scores))
    worst, place = (margin[targets] + scores).max(1)
    slope = torch.zeros_like(scores)
    slope[row, place] += 1 / len(scores)
    slope[row, targets] -= 1 / len(scores)
    return (worst - scores[row, targets]).mean(), slope
