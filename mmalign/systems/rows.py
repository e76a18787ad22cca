"""What a system learns from: features, labels, and one description of every class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mmalign.arrays import Floats, Mask
from mmalign.errors import MmalignError
from mmalign.types import Training, View


@dataclass(frozen=True)
class Asked:
    """The classes that scores are wanted over.

    ``indices`` are class indices, ``descriptions`` is (classes, q), ``known`` says which of
    them had training rows.
    """

    indices: tuple[int, ...]
    descriptions: Float[Tensor, "classes q"]
    known: Bool[Tensor, " classes"]


@dataclass(frozen=True)
class Rows:
    """Training rows of a system.

    ``x`` are features, ``labels`` class indices, ``descriptions`` has a row for every class
    of the data set, by class index. Shots of unseen classes are rows like any other, so
    ``known`` are the classes with rows; ``unseen`` are those that the problem calls so.
    """

    x: Float[Tensor, "rows dim"]
    labels: Int[Tensor, " rows"]
    descriptions: Float[Tensor, "classes q"]
    known: tuple[int, ...]
    unseen: tuple[int, ...]

    @cached_property
    def targets(self) -> Int[Tensor, " rows"]:
        """Each row's class as a position in ``known``."""
        return torch.searchsorted(torch.tensor(self.known, device=self.labels.device), self.labels)

    @cached_property
    def described(self) -> Float[Tensor, "known q"]:
        """The descriptions of the classes with rows."""
        return self.descriptions[list(self.known)]

    def asked(self, classes: Sequence[int]) -> Asked:
        """These classes, as a trained system wants them."""
        return asked_of(classes, self.descriptions, self.known)


def asked_of(
    classes: Sequence[int],
    descriptions: Float[Tensor, "all q"],
    known: Sequence[int],
    numbers: Sequence[int] | None = None,
) -> Asked:
    """These classes with their descriptions; ``numbers`` are those they were trained with."""
    indices = torch.tensor(list(classes), dtype=torch.int64, device=descriptions.device)
    with_rows = torch.isin(indices, torch.tensor(list(known), device=descriptions.device))
    names = tuple(classes) if numbers is None else tuple(numbers[index] for index in classes)
    return Asked(names, descriptions[indices], with_rows)


def rows_of(training: Training, device: str) -> Rows:
    """The rows of a problem, with its shots, that have every sample-level modality.

    Several sample-level modalities are put side by side, in the order of their names, and so
    are several class-level ones. Raises MmalignError where either kind is missing, and for a
    class without description or, among the seen ones, without a whole row.
    """
    by_level: dict[str, dict[str, View]] = {"sample": {}, "class": {}}
    for name in sorted(training.views):
        view = training.views[name]
        by_level[view.level][name] = view
    for level, views in by_level.items():
        if not views:
            raise MmalignError(
                f"this method needs a {level}-level modality, and the recipe has none:"
                " it matches features of samples with descriptions of classes"
            )
    x, whole, labels = *side_by_side(by_level["sample"]), training.labels
    shots = training.shots
    if shots is not None and not shots.in_representation:  # else they are rows already
        more = {name: shots.views[name] for name in by_level["sample"]}
        shown, good = side_by_side(more)
        x, whole = np.concatenate([x, shown]), np.concatenate([whole, good])
        labels = np.concatenate([labels, shots.labels])
    lacking = np.setdiff1d(training.seen, labels[whole])
    if len(lacking):
        raise MmalignError(
            f"no training row of the class '{training.classes[lacking[0]]}' has all of"
            f" {', '.join(by_level['sample'])}"
        )
    known = np.unique(labels[whole])
    return Rows(
        x=torch.from_numpy(x[whole]).to(device),
        labels=torch.from_numpy(labels[whole]).to(device),
        descriptions=torch.from_numpy(described(training, by_level["class"])).to(device),
        known=tuple(known.tolist()),
        unseen=tuple(training.unseen.tolist()),
    )


def described(training: Training, views: Mapping[str, View]) -> Floats:
    """Descriptions of all classes, (classes, q); a modality that a class lacks is zeros.

    Raises MmalignError for a seen or unseen class that lacks them all.
    """
    has: Mask = np.logical_or.reduce([view.mask for view in views.values()])
    for index in (*training.seen, *training.unseen):
        if not has[index]:
            raise MmalignError(
                f"the class '{training.classes[index]}' has no description: it lacks"
                f" {', '.join(views)}"
            )
    return side_by_side(views)[0]


def side_by_side(views: Mapping[str, View]) -> tuple[Floats, Mask]:
    """Views of the same rows as one array, and which rows have them all."""
    parts = [np.where(view.mask[:, None], view.array, 0) for view in views.values()]
    whole: Mask = np.logical_and.reduce([view.mask for view in views.values()])
    return np.concatenate(parts, axis=1), whole
