"""What a problem withholds or gives away: side information of classes, and few shots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, TypeAlias

import numpy as np
from pydantic import Field

from mmalign.arrays import Indices
from mmalign.component import component
from mmalign.errors import MmalignError, did_you_mean
from mmalign.stored import joined
from mmalign.types import Shots, Training, View

Share: TypeAlias = Annotated[float, Field(ge=0, le=100)]


@component
class Mix:
    """Which of two class-level modalities a class carries: each class has exactly one.

    Which classes is drawn by the run's seed, from one order of the classes, so that those
    with the second modality at 25 % have it at 50 % too.
    """

    between: tuple[str, str]
    """The first modality, and the second."""
    seen: Share = 0
    """Per cent of the seen classes that carry the second; the others carry the first."""
    unseen: Share = 0
    """The same of the unseen classes."""

    def __post_init__(self) -> None:
        if self.between[0] == self.between[1]:
            raise ValueError("between: two different modalities")


def mixed(
    views: Mapping[str, View], mix: Mix, seen: Indices, unseen: Indices, seed: int
) -> dict[str, View]:
    """The same views, with each class's side information cut down to one modality.

    Raises MmalignError for a modality that is not there, has rows of samples, or lacks a
    class that is to carry it.
    """
    for name in mix.between:
        if name not in views:
            raise MmalignError(f"protocol.mix: no modality '{name}'; {did_you_mean(name, views)}")
        if views[name].level != "class":
            raise MmalignError(f"protocol.mix: '{name}' has one row a sample, not a class")
    generator = np.random.default_rng([seed, 0x4D4958])  # its own stream: "MIX"
    second = np.zeros(len(views[mix.between[0]]), dtype=np.bool_)
    for classes, share in ((seen, mix.seen), (unseen, mix.unseen)):
        second[generator.permutation(classes)[: round(len(classes) * share / 100)]] = True
    asked = np.isin(np.arange(len(second)), np.concatenate([seen, unseen]))
    made = dict(views)
    for name, carried in zip(mix.between, (~second, second), strict=True):
        lacking = asked & carried & ~views[name].mask
        if lacking.any():
            raise MmalignError(
                f"protocol.mix: {int(lacking.sum())} classes are to carry '{name}' and lack it"
                f" (the first has index {int(lacking.argmax())})"
            )
        made[name] = replace(views[name], mask=views[name].mask & carried)
    return made


def give_shots(
    training: Training,
    labels: Indices,
    views: Mapping[str, View],
    rows: Indices,
    count: int,
    draw: int,
    in_representation: bool,
) -> tuple[Training, Indices]:
    """Give ``count`` of the ``rows`` of each class away, and say which places are left.

    ``labels`` and ``views`` are of all samples. The order of a class's rows is drawn from
    ``draw`` and the class alone: the same for every method and seed, and one shot is among
    the first two. Raises MmalignError for a class that would have no row left to ask.
    """
    taken = []
    for index in np.unique(labels[rows]):
        places = np.flatnonzero(labels[rows] == index)
        if len(places) <= count:
            raise MmalignError(
                f"protocol.shots: '{training.classes[index]}' has {len(places)} samples to ask;"
                f" {count} shots would leave none. Take fewer"
            )
        order = np.random.default_rng([draw, 0x53484F54, int(index)]).permutation(places)  # "SHOT"
        taken.append(order[:count])
    given = rows[np.concatenate(taken)]
    sampled = {name: view.take(given) for name, view in views.items() if view.level == "sample"}
    shots = Shots(count, draw, labels[given], sampled, in_representation)
    left = np.setdiff1d(np.arange(len(rows)), np.concatenate(taken))
    return _joined(training, shots) if in_representation else replace(training, shots=shots), left


def _joined(training: Training, shots: Shots) -> Training:
    """The training rows with the shots behind them; ``seen`` stays as it is."""
    views = {
        name: View(
            joined(view.values, shots.views[name].values),
            "sample",
            np.concatenate([view.mask, shots.views[name].mask]),
        )
        if view.level == "sample"
        else view
        for name, view in training.views.items()
    }
    labels = np.concatenate([training.labels, shots.labels])
    return replace(training, labels=labels, views=views, shots=shots)
