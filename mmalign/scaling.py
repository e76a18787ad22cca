"""Fits each modality's scaling on training rows, and applies it to every row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from mmalign.arrays import Mask
from mmalign.contracts import Modality, ScalerName
from mmalign.errors import MmalignError
from mmalign.moments import Moments
from mmalign.stored import Stored
from mmalign.types import Problem, Scaling, View

PART = 2**18  # numbers looked at together: they stay in the processor's cache


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
    shots = training.shots
    if shots is not None:
        shown = {name: scalings[name](view) for name, view in shots.views.items()}
        shots = replace(shots, views=shown)
    return Problem(
        replace(training, views=trained, shots=shots),
        replace(question, views=asked),
        scalings,
        tuple(notes),
    )


def fit_scaling(view: View, kind: ScalerName, name: str) -> Scaling:
    """Fit a scaling on the rows that have the modality.

    A dimension that is constant in these rows keeps factor 1. Raises MmalignError when no
    row has the modality, unless its scaling needs none.
    """
    zeros, ones = np.zeros(view.dim, np.float32), np.ones(view.dim, np.float32)
    if kind in ("none", "unit"):
        return Scaling(zeros, ones, unit=kind == "unit")
    if not view.mask.any():
        raise MmalignError(f"modality '{name}': no training row has it")
    if isinstance(view.values, Stored):
        offset, width = _streamed(view.values, view.mask, kind)
    else:
        values = view.values[view.mask]
        if kind == "standard":
            offset, width = values.mean(0, dtype=np.float64), values.std(0, dtype=np.float64)
        else:
            offset, width = values.min(0), values.max(0) - values.min(0)
    factor = 1 / np.where(width > 0, width, 1)
    return Scaling(offset.astype(np.float32), factor.astype(np.float32))


def _streamed(values: Stored, mask: Mask, kind: ScalerName) -> tuple[np.ndarray, np.ndarray]:
    """Offset and width of stored rows, in one pass through the file."""
    found = Moments(values.shape[1])
    rows = values.in_order(np.flatnonzero(mask))
    size = max(1, PART // values.shape[1])
    for start in range(0, len(rows), size):
        standard = kind == "standard"
        found.add(values[rows[start : start + size]], spread=standard, span=not standard)
    if kind == "standard":
        return found.mean, found.std
    return found.low, found.high - found.low


def _per_split(view: View, seen: np.ndarray, name: str) -> View:
    values = view.array.copy()
    for side in (seen, ~seen):
        rows = np.flatnonzero(side)
        if len(rows):
            part = view.take(rows)
            values[rows] = fit_scaling(part, "min-max", name)(part).array
    return View(values, view.level, view.mask)
