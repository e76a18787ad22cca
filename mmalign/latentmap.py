"""A map of the latent space: each class in two dimensions, as every modality sees it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmalign.arrays import Floats, Indices
from mmalign.asking import inside
from mmalign.contracts import Fitted, LatentSpace, Method
from mmalign.searching import embedded
from mmalign.types import Problem
from mmalign.writing import write_whole

MAP = "map.json"  # in a seed's folder until the run is over
CLASSES = 300  # of the seen, and of the unseen classes: more is a smear
ROWS = 10  # rows of a class that its mean is of


def write_map(
    folder: Path, fitted: Fitted, problem: Problem, method: Method, seed: int, draw: int | None
) -> None:
    """Keep the map of a fitted thing, or why there is none: no run is lost by it."""
    try:
        said = latent_map(fitted, problem, method)
    except Exception as error:  # of a plugin's, as likely as not, which has been named
        said = {"why": " ".join(f"{type(error).__name__}: {error}".split())[:500]}
    which = {"seed": seed} if draw is None else {"seed": seed, "draw": draw}
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / MAP, json.dumps({**which, **said}, allow_nan=False).encode())


def latent_map(fitted: Fitted, problem: Problem, method: Method) -> dict[str, Any]:
    """Where each modality puts each class, along the two principal axes of all these places.

    A class-level modality's place of a class is its latent, a sample-level one's the mean over
    at most ``ROWS`` of the class's rows that are asked. ``points`` gives by modality a list of
    (class, x, y, rows), ``explained`` the share of the variance along each axis. Of many classes
    every so-manieth is taken. Draws no random number.
    """
    if not isinstance(fitted, LatentSpace):
        return {"why": f"the method '{method.name}' has no latent space"}
    question = problem.question
    asked = np.unique(question.labels)
    shown = np.concatenate(
        [_some(np.intersect1d(asked, side)) for side in (question.seen, question.unseen)]
    )
    places: dict[str, tuple[Floats, Indices, Indices]] = {}
    with inside(method, "embed()"):
        for name, view in question.views.items():
            rows = _rows_of(question.labels, shown)
            z, labels = embedded(fitted, name, view.take(rows), question.labels[rows])
            places[name] = _means(z, labels)
        for name, view in problem.training.views.items():
            if view.level == "class":
                z, labels = embedded(fitted, name, view.take(shown), shown)
                places[name] = (z, labels, np.ones(len(labels), dtype=np.int64))
    stacked = np.concatenate([z for z, _, _ in places.values()]).astype(np.float64)
    if len(stacked) < 3 or not np.isfinite(stacked).all():
        return {"why": "the latents are fewer than three, or not finite"}
    axes, explained = _axes(stacked)
    centre = stacked.mean(axis=0)
    return {
        "latent": int(stacked.shape[1]),
        "explained": explained,
        "classes": {str(index): problem.training.classes[index] for index in shown.tolist()},
        "of": len(asked),
        "levels": {name: problem.training.views[name].level for name in places},
        "points": {
            name: [
                [int(label), *place, int(count)]
                for label, place, count in zip(
                    labels.tolist(), ((z - centre) @ axes).round(4).tolist(), counts, strict=True
                )
            ]
            for name, (z, labels, counts) in places.items()
        },
    }


def _some(classes: Indices) -> Indices:
    """At most ``CLASSES`` of them, evenly spaced."""
    step = max(1, -(-len(classes) // CLASSES))
    return classes[::step]


def _rows_of(labels: Indices, classes: Indices) -> Indices:
    """The first ``ROWS`` rows of each class."""
    order = np.argsort(labels, kind="stable")
    first = np.searchsorted(labels[order], classes)
    last = np.searchsorted(labels[order], classes, side="right")
    spans = zip(first.tolist(), last.tolist(), strict=True)
    parts = [order[start : min(stop, start + ROWS)] for start, stop in spans]
    return np.sort(np.concatenate(parts)) if parts else order[:0]


def _means(z: Floats, labels: Indices) -> tuple[Floats, Indices, Indices]:
    """The mean latent of each class, the classes, and how many rows each has."""
    classes, place, counts = np.unique(labels, return_inverse=True, return_counts=True)
    sums = np.zeros((len(classes), z.shape[1]), dtype=np.float64)
    np.add.at(sums, place, z)
    return (sums / counts[:, None]).astype(np.float32), classes, counts


def _axes(z: np.ndarray) -> tuple[np.ndarray, list[float]]:
    """The two principal axes, (latent, 2), and the share of the variance along each.

    An axis points to where its largest part is positive, since its sign means nothing.
    """
    _, spread, across = np.linalg.svd(z - z.mean(axis=0), full_matrices=False)
    axes = np.zeros((z.shape[1], 2))
    found = across[:2].T
    axes[:, : found.shape[1]] = found
    axes *= np.where(axes[np.abs(axes).argmax(axis=0), [0, 1]] < 0, -1, 1)
    total = float((spread**2).sum())
    shares = [float(each) ** 2 / total if total else 0.0 for each in spread[:2]]
    return axes, [round(each, 4) for each in (*shares, 0.0)[:2]]


def kept_map(path: Path) -> Mapping[str, Any]:
    """A map that was kept, or why there is none."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {"why": "this run was begun by an older mmalign, which kept no map"}
    return said if isinstance(said, dict) else {"why": "the map that was kept is no map"}
