"""CMT*'s novelty gates: how familiar a projected row is, and scores that follow the gate."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@runtime_checkable
class Gate(Protocol):
    """How much a projected row looks like one of a class with rows."""

    def familiarity(self, z: Tensor) -> Tensor:
        """Of each row; the smaller the more novel."""
        ...

    def trained(self, z: Tensor) -> Tensor:
        """Of the training rows themselves, in their order."""
        ...

    def state(self) -> Mapping[str, Tensor]:
        """Its tensors, by name."""
        ...


@dataclass(frozen=True)
class Mixture:
    """Isotropic Gaussians around the descriptions of the classes with rows.

    A class's variance is the mean square distance of its N_c rows to its description, over q;
    its weight is its share of the rows.
    """

    means: Float[Tensor, "classes q"]
    variances: Float[Tensor, " classes"]
    weights: Float[Tensor, " classes"]

    @staticmethod
    def of(
        z: Float[Tensor, "rows q"], targets: Int[Tensor, " rows"], means: Float[Tensor, "classes q"]
    ) -> Mixture:
        """The mixture of training rows; every class needs one."""
        squares = (z - means[targets]).square().mean(1)
        count = torch.bincount(targets, minlength=len(means))
        sums = torch.zeros(len(means), dtype=z.dtype, device=z.device).index_add_(
            0, targets, squares
        )
        # A class of one row that lies on its description would have no width.
        variances = (sums / count).clamp_min(torch.finfo(z.dtype).eps)
        return Mixture(means, variances, (count / len(z)).to(z.dtype))

    def familiarity(self, z: Float[Tensor, "rows q"]) -> Float[Tensor, " rows"]:
        """``log sum over c of pi_c N(z; a_c, sigma_c^2 I)``, in nats."""
        squares = torch.cdist(z, self.means).square() / self.variances
        volume = z.shape[1] * torch.log(2 * math.pi * self.variances)
        return torch.logsumexp(self.weights.log() - (squares + volume) / 2, 1)

    def trained(self, z: Float[Tensor, "rows q"]) -> Float[Tensor, " rows"]:
        """The same: a row makes little of its class's Gaussian."""
        return self.familiarity(z)

    def state(self) -> Mapping[str, Tensor]:
        """Means, variances and weights."""
        return {"means": self.means, "variances": self.variances, "weights": self.weights}


@dataclass(frozen=True)
class Outlier:
    """LoOP, the local outlier probability (Kriegel et al. 2009), among each class's rows.

    With s(z) the root mean square distance of z to its k nearest rows of a class, and
    ``f(z) = s(z) / mean of s over these k rows - 1``, the probability is
    ``max(0, erf(f(z) / (lambda sqrt(2) L)))``, where L is the root mean square of f over the
    class's rows. The familiarity is ``-f / L`` of the class that gives most. It orders rows as
    the probability does, for any lambda, and also where the probability is 0 or 1.
    """

    rows: Float[Tensor, "rows q"]
    targets: Int[Tensor, " rows"]
    spreads: Float[Tensor, " rows"]
    widths: Float[Tensor, " classes"]
    neighbours: Int[Tensor, ""]

    @staticmethod
    def of(
        z: Float[Tensor, "rows q"], targets: Int[Tensor, " rows"], classes: int, neighbours: int
    ) -> Outlier:
        """With s of each training row among the others of its class, and L of each class."""
        tiny = torch.finfo(z.dtype).eps  # the width of a class whose rows are all the same
        made = Outlier(
            z, targets, torch.ones_like(z[:, 0]), z.new_ones(classes), torch.tensor(neighbours)
        )
        for index, own in made.groups():
            apart, near = made.nearest(z[own], own, torch.arange(len(own), device=z.device))
            spread = apart.square().mean(1).sqrt().clamp_min(tiny)
            made.spreads[own] = spread
            made.widths[index] = (spread / spread[near].mean(1) - 1).square().mean().sqrt()
        return replace(made, widths=made.widths.clamp_min(tiny))

    def groups(self) -> Iterator[tuple[int, Int[Tensor, " own"]]]:
        """Each class of two rows or more, and which rows are its own."""
        for index in range(len(self.widths)):
            own = (self.targets == index).nonzero()[:, 0]
            if len(own) > 1:
                yield index, own

    def nearest(
        self,
        z: Float[Tensor, "asked q"],
        own: Int[Tensor, " own"],
        itself: Int[Tensor, " own"] | None,
    ) -> tuple[Float[Tensor, "asked k"], Int[Tensor, "asked k"]]:
        """Distances to the k nearest of a class's rows, and which they are.

        Where z holds these rows, ``itself`` says at which places: no row is its own neighbour.
        """
        apart = torch.cdist(z, self.rows[own])
        if itself is not None:
            apart[itself, torch.arange(len(own), device=z.device)] = math.inf
        found = apart.topk(min(int(self.neighbours), len(own) - 1), largest=False)
        return found.values, found.indices

    def familiarity(self, z: Float[Tensor, "asked q"]) -> Float[Tensor, " asked"]:
        """``-f / L`` of the class that gives most."""
        return self._familiarity(z, trained=False)

    def trained(self, z: Float[Tensor, "rows q"]) -> Float[Tensor, " rows"]:
        """The same of the training rows, none of which counts as its own neighbour."""
        return self._familiarity(z, trained=True)

    def _familiarity(self, z: Float[Tensor, "asked q"], trained: bool) -> Float[Tensor, " asked"]:
        # Far below any other, and finite: where no class has two rows, all are alike.
        best = torch.full_like(z[:, 0], -1e30)
        for index, own in self.groups():
            apart, near = self.nearest(z, own, own if trained else None)
            spread = apart.square().mean(1).sqrt()
            factor = spread / self.spreads[own][near].mean(1) - 1
            best = torch.maximum(best, -factor / self.widths[index])
        return best

    def state(self) -> Mapping[str, Tensor]:
        """The training rows, projected, and what is known of them."""
        return {
            "rows": self.rows,
            "targets": self.targets,
            "spreads": self.spreads,
            "widths": self.widths,
            "neighbours": self.neighbours,
        }


def gated(
    known: Float[Tensor, "rows known"],
    novel: Float[Tensor, "rows novel"],
    margin: Float[Tensor, " rows"],
    is_known: Bool[Tensor, " classes"],
) -> Float[Tensor, "rows classes"]:
    """Scores of classes on two sides of a gate, in the order of ``is_known``.

    Classes of the side that the gate refused come after all of the other; on each side they
    keep the order that their scores give them. The best known score less the best novel one
    has the sign of ``margin`` and grows with it, so a bias subtracted from the known classes
    moves the gate's threshold.
    """
    side = torch.where(margin < 0, -1.0, 1.0).to(known.dtype) * (1 + _squashed(margin.abs()))
    scores = known.new_empty(len(known), len(is_known))
    scores[:, is_known] = _squashed(known - known.amax(1, keepdim=True)) + side[:, None] / 2
    scores[:, ~is_known] = _squashed(novel - novel.amax(1, keepdim=True)) - side[:, None] / 2
    return scores


def _squashed(a: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Within -1 and 1, in the same order."""
    return a / (1 + a.abs())
