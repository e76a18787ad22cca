"""Poses the problem: splits, scaling, and the classes to choose from.

Here, and nowhere else, is data cut. Methods and heads get a ``Training``, which holds no
row that is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np
from pydantic import Field

from mmalign.arrays import Indices
from mmalign.component import component
from mmalign.contracts import Modality
from mmalign.errors import MmalignError
from mmalign.scaling import scale
from mmalign.types import Problem, Question, Source, Splits, Training, View
from mmalign.withheld import Mix, give_shots, mixed

HOLDOUT = 0.2  # of each class's training rows, as the validation protocol's seen questions


@component
class Protocol:
    """How the question is posed."""

    split: Literal["test", "validation"] = "test"
    """"validation" asks about held-out training rows and touches no test row."""
    search: Literal["all", "unseen", "seen"] = "all"
    """Classes to choose from: all (generalized), or the unseen ones only.

    With "seen" the model is not even told that there are others: it is one that classes are
    added to later.
    """
    shots: int = Field(default=0, ge=0)
    """Samples of each unseen class that move from the question to what may be learnt from."""
    draws: int = Field(default=10, ge=1, le=100_000)
    """How many draws of the shots each seed answers; draw n is the same in every recipe."""
    shots_in_representation: bool = False
    """Whether the representation is trained on the shots too, or a head alone sees them."""
    mix: Mix | None = None
    """Hides side information: each class keeps one of two class-level modalities."""


def pose(
    source: Source,
    views: Mapping[str, View],
    modalities: Mapping[str, Modality],
    protocol: Protocol,
    seed: int = 0,
    draw: int = 0,
) -> Problem:
    """Cut a data set into what may be learnt from and what is asked.

    Every scaling is fitted on the training rows of this problem alone. ``draw`` says
    which draw of the shots is given away. A data set may ask of unseen classes only, as
    ImageNet's does, or of seen ones only. Raises MmalignError where no row trains, or none is
    asked, for a class with too few samples to give shots away, and for a mix of modalities
    that are not there.
    """
    splits = source.splits
    if protocol.search == "seen":
        views = _seen_alone(source, views)
        splits = replace(splits, test_unseen=splits.test_unseen[:0], unseen_classes=None)
    _refuse_empty(source.name, splits, protocol)
    seen = np.unique(source.labels[splits.train])
    described = splits.unseen_classes if splits.unseen_classes is not None else seen[:0]
    unseen = np.union1d(source.labels[splits.test_unseen], described)
    if protocol.mix is not None:
        views = mixed(views, protocol.mix, seen, unseen, seed)
    train = Training(
        classes=source.classes,
        labels=source.labels[splits.train],
        views={name: _rows(view, splits.train) for name, view in views.items()},
        seen=seen,
        unseen=unseen,
        validation_classes=splits.validation_classes,
    )
    test_unseen = splits.test_unseen
    if protocol.shots:
        train, kept = give_shots(
            train, source.labels, views, test_unseen,
            protocol.shots, draw, protocol.shots_in_representation,
        )  # fmt: skip
        test_unseen = test_unseen[kept]
    if protocol.split == "validation":
        problem = validation(train, seed)
    else:
        rows = np.concatenate([splits.test_seen, test_unseen])
        problem = Problem(train, _question(train, source.labels[rows], _asked(views, rows)), {})
    if protocol.search == "unseen":
        question = problem.question
        kept = np.flatnonzero(np.isin(question.labels, question.unseen))
        question = replace(
            question,
            labels=question.labels[kept],
            views=_asked(question.views, kept),
            search=question.unseen,
        )
        problem = replace(problem, question=question)
    return scale(problem, modalities)


def _seen_alone(source: Source, views: Mapping[str, View]) -> dict[str, View]:
    """The views without what describes a class that has no training row."""
    trained = np.isin(np.arange(len(source.classes)), source.labels[source.splits.train])
    return {
        name: replace(view, mask=view.mask & trained) if view.level == "class" else view
        for name, view in views.items()
    }


def _refuse_empty(name: str, splits: Splits, protocol: Protocol) -> None:
    """Refuse a problem that trains on nothing, or asks nothing."""
    if len(splits.train) == 0:
        raise MmalignError(f"data set '{name}': the split 'train' has no rows")
    if protocol.split == "validation":
        return
    of_unseen = protocol.search == "unseen" or protocol.shots > 0
    if len(splits.test_unseen) == 0 and of_unseen:
        raise MmalignError(
            f"data set '{name}': the split 'test_unseen' has no rows, which are asked for"
        )
    if len(splits.test_unseen) == len(splits.test_seen) == 0:
        raise MmalignError(
            f"data set '{name}': nothing is asked; the splits 'test_seen' and 'test_unseen' have no"
            " rows"
        )


def validation(training: Training, seed: int = 0) -> Problem:
    """The validation protocol, posed from training rows alone.

    The validation classes become the unseen ones; of every other class a fifth of the
    training rows, drawn by ``seed``, becomes the question about seen classes. The rest
    trains. Where the problem gives shots away, as many are drawn of the validation
    classes, by the same draw. Raises MmalignError when a side would be empty.
    """
    held_out = training.validation_classes
    if held_out is None or len(held_out) == 0:
        held_out = _draw_classes(training.seen, seed)
    generator = np.random.default_rng([seed, 0x56414C])  # its own stream: "VAL"
    learnt, asked = [], []
    for index in training.seen:
        rows = np.flatnonzero(training.labels == index)
        if index in held_out:
            asked.append(rows)
            continue
        rows = generator.permutation(rows)
        cut = max(1, round(HOLDOUT * len(rows))) if len(rows) > 1 else 0
        asked.append(np.sort(rows[:cut]))
        learnt.append(np.sort(rows[cut:]))
    seen_asked = [
        len(rows) for i, rows in zip(training.seen, asked, strict=True) if i not in held_out
    ]
    if not learnt or not any(seen_asked) or not np.isin(training.seen, held_out).any():
        raise MmalignError(
            "the validation protocol needs seen classes on both sides, and two training rows of"
            f" one that stays seen; this data set has {len(training.seen)} seen classes,"
            f" {len(held_out)} of them for validation"
        )
    kept, rows = np.concatenate(learnt), np.concatenate(asked)
    inner = replace(
        training,
        labels=training.labels[kept],
        views={name: _rows(view, kept) for name, view in training.views.items()},
        seen=np.setdiff1d(training.seen, held_out),
        unseen=np.intersect1d(training.seen, held_out),
        validation_classes=None,
        shots=None,
    )
    if training.shots is not None:
        given = training.shots
        unseen = rows[np.isin(training.labels[rows], inner.unseen)]
        inner, left = give_shots(
            inner, training.labels, training.views, unseen,
            given.count, given.draw, given.in_representation,
        )  # fmt: skip
        rows = np.concatenate([rows[np.isin(training.labels[rows], inner.seen)], unseen[left]])
    asked_views = _asked(training.views, rows)
    return Problem(inner, _question(inner, training.labels[rows], asked_views), {})


def _draw_classes(seen: Indices, seed: int) -> Indices:
    """A third of the seen classes, for a data set that names no validation classes."""
    generator = np.random.default_rng([seed, 0x434C53])  # "CLS"
    drawn: Indices = np.sort(generator.permutation(seen)[: max(1, len(seen) // 3)])
    return drawn


def _rows(view: View, rows: Indices) -> View:
    return view.take(rows) if view.level == "sample" else view


def _asked(views: Mapping[str, View], rows: Indices) -> dict[str, View]:
    return {name: view.take(rows) for name, view in views.items() if view.level == "sample"}


def _question(training: Training, labels: Indices, views: Mapping[str, View]) -> Question:
    search = np.union1d(training.seen, training.unseen)
    return Question(labels, views, training.seen, training.unseen, search)
