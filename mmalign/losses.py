"""Reconstruction errors, KL, cross and distribution alignment, and their sum.

Every term gives one value per row, in nats or in units of the data; masks, ramps and
reductions are applied in ``Objective`` and nowhere else. Importing this needs no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations, permutations
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from mmalign.asking import loss_value
from mmalign.component import component
from mmalign.contracts import ErrorName, ReconstructionError, Weighted
from mmalign.types import Gaussian

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from mmalign.align import Pass


@component
class Ramp:
    """A weight that grows linearly from 0 at epoch ``start`` to ``to`` at epoch ``end``.

    Before ``start`` it is 0, from ``end`` on it is ``to``. Epochs count from 0. An ``end``
    before ``start`` is refused.
    """

    to: Annotated[float, Field(ge=0)]
    """The weight that is reached."""
    start: float = 0
    """Epoch at which it leaves 0."""
    end: float = 0
    """Epoch at which it is reached."""

    def __post_init__(self) -> None:
        if self.end < self.start:
            raise ValueError(f"end ({self.end:g}) must not come before start ({self.start:g})")

    def __call__(self, epoch: float) -> float:
        """The weight in this epoch."""
        if epoch >= self.end:
            return self.to
        if epoch <= self.start:
            return 0.0
        return self.to * (epoch - self.start) / (self.end - self.start)


def ramp(weight: Ramp | float) -> Ramp:
    """A plain number as the ramp that is constant."""
    return weight if isinstance(weight, Ramp) else Ramp(to=float(weight))


def l1(x: Float[Tensor, "rows dim"], decoded: Float[Tensor, "rows dim"]) -> Float[Tensor, " rows"]:
    """Sum of absolute differences over dimensions."""
    return (x - decoded).abs().sum(-1)


def l2(x: Float[Tensor, "rows dim"], decoded: Float[Tensor, "rows dim"]) -> Float[Tensor, " rows"]:
    """Sum of squared differences over dimensions."""
    return (x - decoded).square().sum(-1)


def bernoulli(
    x: Float[Tensor, "rows dim"], decoded: Float[Tensor, "rows dim"]
) -> Float[Tensor, " rows"]:
    """Negative log-likelihood of ``x`` in [0, 1] under the logits ``decoded``, in nats."""
    # log(1 + e^l) - x l; logaddexp neither overflows nor has a kink at 0.
    return (decoded.logaddexp(decoded.new_zeros(())) - decoded * x).sum(-1)


def cosine(
    x: Float[Tensor, "rows dim"], decoded: Float[Tensor, "rows dim"]
) -> Float[Tensor, " rows"]:
    """One minus the cosine of the angle, in [0, 2].

    A row shorter than 1e-3 counts as that long, a zero row as orthogonal: a decoder begins
    near zero, where the angle has no bounded gradient.
    """
    lengths: Tensor = x.norm(dim=-1).clamp_min(1e-3) * decoded.norm(dim=-1).clamp_min(1e-3)
    return 1 - (x * decoded).sum(-1) / lengths


ERRORS: Mapping[ErrorName, ReconstructionError] = {
    "l1": l1,
    "l2": l2,
    "bernoulli": bernoulli,
    "cosine": cosine,
}


def kl(p: Gaussian) -> Float[Tensor, " rows"]:
    """KL divergence from the standard normal, per row, in nats (Kingma & Welling 2014, app. B).

    ``1/2 sum(mean^2 + var - 1 - log var)`` for a diagonal Gaussian.
    """
    return 0.5 * (p.mean.square() + p.logvar.exp() - 1 - p.logvar).sum(-1)


@component
class CrossAlignment:
    """Error of a modality decoded from another modality's latent, per row.

    ``sum over ordered pairs (i, j) of |x_j - D_j(z_i)|`` (Schonfeld et al. 2019, eq. 3),
    measured by modality j's own reconstruction error.
    """

    name: ClassVar[str] = "cross"
    over: ClassVar[Literal["ordered-pairs"]] = "ordered-pairs"

    def __call__(
        self,
        x: Float[Tensor, "rows dim"],
        decoded: Float[Tensor, "rows dim"],
        error: ReconstructionError,
    ) -> Float[Tensor, " rows"]:
        """Modality j's error of what was decoded from modality i."""
        return error(x, decoded)


@component
class Wasserstein:
    """2-Wasserstein distance between two modalities' posteriors, per row.

    ``sqrt(|mean_i - mean_j|^2 + |std_i - std_j|^2)`` for diagonal Gaussians (Schonfeld et
    al. 2019, eq. 5), in units of the latent space. Zero (the root of the floor) for equal
    posteriors, where the gradient is zero too. A pair counts once: the printed sum over
    i != j counts it twice, but the published weights belong to the code, which does not.
    """

    name: ClassVar[str] = "wasserstein"
    over: ClassVar[Literal["pairs"]] = "pairs"
    floor: float = 1e-12
    """Least squared distance: the square root has no gradient at 0."""

    def __call__(self, p: Gaussian, q: Gaussian) -> Float[Tensor, " rows"]:
        """Distance between the posteriors of each row."""
        square = (p.mean - q.mean).square().sum(-1) + (p.std - q.std).square().sum(-1)
        return square.clamp_min(self.floor).sqrt()


class Objective:
    """The weighted sum of all terms, over rows and modalities.

    ``L = sum_m [rec_m + beta KL_m] + sum over losses of weight * sum over pairs``; every
    term is summed over rows and dimensions. A divergence of whole batches counts once for
    each row that entered it, which keeps its weight comparable with the others'. With
    ``pair_reduction = "mean"`` a row's pair terms are divided by the number of pairs that
    the row has, so that neither M nor a missing modality changes a term's share.
    """

    def __init__(
        self,
        errors: Mapping[str, ReconstructionError],
        kl_weight: Ramp,
        losses: Mapping[str, Weighted],
        pair_reduction: Literal["sum", "mean"] = "sum",
    ) -> None:
        self.errors, self.kl_weight, self.losses = errors, kl_weight, losses
        self.mean = pair_reduction == "mean"

    def __call__(self, flow: Pass, epoch: float) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch, and each term's unweighted sum over its rows.

        A term whose weight is 0 in this epoch is not computed.
        """
        weights = {name: each.weight(epoch) for name, each in self.losses.items()}
        active = {name: self.losses[name] for name, weight in weights.items() if weight != 0}
        crossed = any(each.loss.over == "ordered-pairs" for each in active.values())
        flow.decode("all" if crossed else "own")

        names = flow.names
        terms = {"reconstruction": self._sum(flow, [(n,) for n in names], self._own(flow))}
        beta = self.kl_weight(epoch)
        total = terms["reconstruction"]
        if beta:
            terms["kl"] = self._sum(flow, [(n,) for n in names], lambda n: kl(flow.posterior(n)))
            total = total + beta * terms["kl"]
        for name, each in active.items():
            terms[name] = self._pairs(flow, each)
            total = total + weights[name] * terms[name]
        return total, terms

    def _own(self, flow: Pass) -> Callable[..., Tensor]:
        return lambda n: self.errors[n](*flow.decoding(n, n))

    def _pairs(self, flow: Pass, each: Weighted) -> Tensor:
        loss = each.loss

        def value(i: str, j: str) -> Tensor:
            if loss.over == "ordered-pairs":
                x, decoded = flow.decoding(i, j)
                return loss_value(loss, len(x), x, decoded, self.errors[j])
            p, q = flow.posterior(i, j), flow.posterior(j, i)
            # The one number of "batches" for each row.
            return loss_value(loss, len(p.mean), p, q).expand(len(p.mean))

        tuples = permutations if loss.over.startswith("ordered") else combinations
        return self._sum(flow, list(tuples(flow.names, 2)), value, mean=self.mean)

    def _sum(
        self,
        flow: Pass,
        tuples: list[tuple[str, ...]],
        value: Callable[..., Tensor],
        mean: bool = False,
    ) -> Tensor:
        """Sum over tuples of modalities and over the rows that have all of a tuple."""
        present = [each for each in tuples if flow.any(*each)]
        if not present:
            return flow.zero()
        if not mean:
            return torch_sum([value(*each).sum() for each in present])
        share = 1 / flow.count(present).clamp_min(1)
        return torch_sum([(value(*each) * flow.of(share, *each)).sum() for each in present])


def torch_sum(values: list[Tensor]) -> Tensor:
    """Sum of scalars, in the order given."""
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total
