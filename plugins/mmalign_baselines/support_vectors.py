"""A support vector classifier with a Gaussian kernel, one against one, as tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mmalign import Asked, MmalignError, Rows, Session
from mmalign_baselines.synthetic_features import FeatureGenerator, training_set

if TYPE_CHECKING:
    from mmalign_baselines.cvae import CVAE

DECISIONS = 2**24  # between pairs of classes, at a time
CACHE = 1000  # MB of the kernel that scikit-learn keeps


@dataclass(frozen=True)
class SupportVectors:
    """Votes of the classifiers of all pairs of classes, on features of unit length.

    The classifier of classes i < j decides by ``sum over the support vectors v of both of
    weight exp(-gamma |x - v|^2) + bias``, for i where it is positive. Each pair is trained
    alone, so the pairs of a few classes are a classifier of these: none is trained for unseen
    classes apart. ``vectors`` are in the order of ``classes``, ``counts`` of each.
    """

    NAMES: ClassVar[tuple[str, ...]] = (
        *("vectors", "counts", "weights", "biases", "gamma", "classes"),
    )
    by_description: ClassVar[bool] = False
    traceable: ClassVar[bool] = False  # a class's vectors are found by how many others have
    vectors: Float[Tensor, "vectors dim"]
    counts: Int[Tensor, " classes"]
    weights: Float[Tensor, "vectors others"]
    biases: Float[Tensor, "classes classes"]
    gamma: Float[Tensor, ""]
    classes: Int[Tensor, " classes"]

    @staticmethod
    def train(
        settings: CVAE, generator: FeatureGenerator, rows: Rows, session: Session
    ) -> SupportVectors:
        """Fit scikit-learn's on features made up of all classes."""
        x, labels, _ = training_set(settings, "all", generator, rows, session)
        return fit(unit(x), labels, settings.c, settings.gamma)

    def scores(self, x: Float[Tensor, "rows dim"], asked: Asked) -> Float[Tensor, "rows classes"]:
        """Votes among the classes asked, and a share of one by how clear they were.

        Raises MmalignError for a class that it was not trained on.
        """
        place = {index: column for column, index in enumerate(self.classes.tolist())}
        unknown = [index for index in asked.indices if index not in place]
        if unknown:
            raise MmalignError(f"it was not trained on the class with index {unknown[0]}")
        wanted = torch.tensor([place[index] for index in asked.indices], device=x.device)
        size = max(1, DECISIONS // len(wanted) ** 2)
        parts = [votes(self.decisions(part, wanted)) for part in unit(x.double()).split(size)]
        return torch.cat(parts).float()

    def decisions(
        self, x: Float[Tensor, "rows dim"], wanted: Int[Tensor, " some"]
    ) -> Float[Tensor, "rows some some"]:
        """For each pair of these classes, by their places, how far it is for the first one."""
        ends = self.counts.cumsum(0).tolist()
        by_class = []
        for own in wanted.tolist():
            rows = slice(ends[own] - int(self.counts[own]), ends[own])
            kernel = torch.exp(-self.gamma * distances(x, self.vectors[rows].double()))
            against = kernel @ self.weights[rows]
            # A class has no classifier against itself: a column of zeros stands for it.
            whole = torch.cat([against[:, :own], against[:, :1] * 0, against[:, own:]], 1)
            by_class.append(whole[:, wanted])
        told = torch.stack(by_class, 1)
        # Weights are for the first of a pair, whichever of both they stand with.
        first = (wanted[:, None] < wanted).to(told.dtype) * 2 - 1
        return first * (told + told.transpose(1, 2)) + self.biases[wanted][:, wanted]

    def state(self) -> Mapping[str, Tensor]:
        """Support vectors, their weights, and what else scoring needs."""
        return {name: getattr(self, name) for name in self.NAMES}

    @staticmethod
    def of(state: Mapping[str, Tensor]) -> SupportVectors:
        """The classifier of these tensors. Raises KeyError for one that is missing."""
        return SupportVectors(**{name: state[name] for name in SupportVectors.NAMES})


def fit(
    x: Float[Tensor, "rows dim"], labels: Int[Tensor, " rows"], c: float, gamma: str
) -> SupportVectors:
    """Fit by scikit-learn, and keep the tensors."""
    from sklearn.svm import SVC

    # It draws nothing, but takes a number from numpy's generator where it is given no state.
    found = SVC(C=c, kernel="rbf", gamma=gamma, cache_size=CACHE, random_state=0)
    found.fit(x.cpu().numpy(), labels.cpu().numpy())
    count = len(found.classes_)
    biases = torch.zeros(count, count, dtype=torch.float64)
    upper = torch.triu_indices(count, count, 1)
    # scikit-learn turns the sign of the only pair, so that it speaks for the second class.
    sign = -1 if count == 2 else 1
    biases[upper[0], upper[1]] = sign * torch.from_numpy(found.intercept_)
    made = SupportVectors(
        vectors=x[torch.from_numpy(found.support_).to(x.device).long()],
        counts=torch.from_numpy(found.n_support_).long(),
        weights=sign * torch.from_numpy(found.dual_coef_).T.contiguous(),
        biases=biases - biases.T,
        gamma=torch.tensor(found._gamma, dtype=torch.float64),
        classes=torch.from_numpy(found.classes_),
    )
    return SupportVectors(**{name: each.to(x.device) for name, each in made.state().items()})


def votes(decisions: Float[Tensor, "rows some some"]) -> Float[Tensor, "rows some"]:
    """How many pairs speak for each class, and less than half a vote by how clearly."""
    clear = decisions.sum(2)
    return (decisions > 0).sum(2) + clear / (3 * (clear.abs() + 1))


def distances(
    x: Float[Tensor, "rows dim"], vectors: Float[Tensor, "vectors dim"]
) -> Float[Tensor, "rows vectors"]:
    """Squared distances; a product of matrices, which is precise for features of unit length."""
    lengths = x.square().sum(1, keepdim=True) + vectors.square().sum(1)
    found: Tensor = lengths - 2 * x @ vectors.T
    return found.clamp_min(0)


def unit(x: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows dim"]:
    """Rows of length 1; one of zeros stays as it is."""
    lengths: Tensor = x.norm(dim=1, keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)
    return x / lengths
