"""Poses the problem: splits, scaling, and the classes to choose from.

Here, and nowhere else, is data cut. Methods and heads get a ``Training``, which holds no
row that is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np

from mmalign.component import component
from mmalign.contracts import Modality, ScalerName
from mmalign.errors import MmalignError
from mmalign.types import Indices, Problem, Question, Scaling, Source, Training, View

HOLDOUT = 0.2  # of each class's training rows, as the validation protocol's seen questions


@component
class Protocol:
    """How the question is posed."""

    split: Literal["test", "validation"] = "test"
    """"validation" asks about held-out training rows and touches no test row."""
    search: Literal["all", "unseen"] = "all"
    """Classes to choose from: all (generalized), or the unseen ones only."""


def pose(
    source: Source,
    views: Mapping[str, View],
    modalities: Mapping[str, Modality],
    protocol: Protocol,
    seed: int = 0,
) -> Problem:
    """Cut a data set into what may be learnt from and what is asked.

    Every scaling is fitted on the training rows of this problem alone. A data set may ask
    of unseen classes only, as ImageNet's does. Raises MmalignError where no row trains, or
    none of an unseen class is asked.
    """
    splits = source.splits
    for name in ("train", "test_unseen"):
        if len(getattr(splits, name)) == 0:
            raise MmalignError(f"data set '{source.name}': the split '{name}' has no rows")
    unseen = np.unique(source.labels[splits.test_unseen])
    train = Training(
        classes=source.classes,
        labels=source.labels[splits.train],
        views={name: _rows(view, splits.train) for name, view in views.items()},
        seen=np.unique(source.labels[splits.train]),
        unseen=unseen,
        validation_classes=splits.validation_classes,
    )
    if protocol.split == "validation":
        problem = validation(train, seed)
    else:
        rows = np.concatenate([splits.test_seen, splits.test_unseen])
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


def validation(training: Training, seed: int = 0) -> Problem:
    """The validation protocol, posed from training rows alone.

    The validation classes become the unseen ones; of every other class a fifth of the
    training rows, drawn by ``seed``, becomes the question about seen classes. The rest
    trains. Raises MmalignError when a side would be empty.
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
    )
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


def scale(problem: Problem, modalities: Mapping[str, Modality]) -> Problem:
    """Fit each modality's scaling on the training rows and apply it to every row.

    "per-split" fits a min-max scaling on each test set apart, as the public code of
    CADA-VAE did until 2020: it leaks, and the problem's notes say so.
    """
    training, question = problem.training, problem.question
    scalings, notes = {}, list(problem.notes)
    trained, asked = dict(training.views), dict(question.views)
    for name, view in training.views.items():
        kind = modalities[name].scaler
        fitted = view if view.level == "sample" else view.take(training.seen)
        scalings[name] = fit_scaling(fitted, kind, name)
        trained[name] = scalings[name](view)
        if name in asked and kind == "per-split":
            asked[name] = _per_split(asked[name], np.isin(question.labels, question.seen), name)
            notes.append(
                f"LEAK: '{name}' was scaled with the test rows' own range"
                ' (scaler = "per-split"); these numbers are not comparable with honest ones'
            )
        elif name in asked:
            asked[name] = scalings[name](asked[name])
    return Problem(
        replace(training, views=trained), replace(question, views=asked), scalings, tuple(notes)
    )


def fit_scaling(view: View, kind: ScalerName, name: str) -> Scaling:
    """Fit a scaling on the rows that have the modality.

    A dimension that is constant in these rows keeps factor 1. Raises MmalignError when no
    row has the modality.
    """
    values = view.values[view.mask]
    if len(values) == 0:
        raise MmalignError(f"modality '{name}': no training row has it")
    zeros, ones = np.zeros(view.dim, np.float32), np.ones(view.dim, np.float32)
    if kind in ("none", "unit"):
        return Scaling(zeros, ones, unit=kind == "unit")
    if kind == "standard":
        offset, width = values.mean(0, dtype=np.float64), values.std(0, dtype=np.float64)
    else:
        offset, width = values.min(0), values.max(0) - values.min(0)
    factor = 1 / np.where(width > 0, width, 1)
    return Scaling(offset.astype(np.float32), factor.astype(np.float32))


def _per_split(view: View, seen: np.ndarray, name: str) -> View:
    values = view.values.copy()
    for side in (seen, ~seen):
        rows = np.flatnonzero(side)
        if len(rows):
            part = view.take(rows)
            values[rows] = fit_scaling(part, "min-max", name)(part).values
    return View(values, view.level, view.mask)
