"""Measures how well a fitted thing's latents find pictures by their class's description."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mmalign.arrays import Floats, Indices
from mmalign.contracts import LatentSpace
from mmalign.retrieval import measure_retrieval
from mmalign.types import Problem, View


def retrieval_of(fitted: LatentSpace, problem: Problem) -> dict[str, dict[str, float]]:
    """Every class-level modality against every sample-level one, there and back.

    Rows are those that the problem asks; "unseen" searches among the unseen classes and their
    rows, "all" among all. By a name such as "attributes to image, unseen".
    """
    training, question = problem.training, problem.question
    spaces = {"unseen": question.unseen, "all": question.search}
    if len(question.unseen) in (0, len(question.search)):
        spaces = {"all": question.search}
    rows = {
        name: embedded(fitted, name, view, question.labels) for name, view in question.views.items()
    }
    found: dict[str, dict[str, float]] = {}
    for described, view in training.views.items():
        if view.level != "class":
            continue
        for space, classes in spaces.items():
            z, own = embedded(fitted, described, view.take(classes), classes)
            for shown, (samples, labels) in rows.items():
                inside = np.isin(labels, classes)
                there = measure_retrieval(z, own, samples[inside], labels[inside])
                back = measure_retrieval(samples[inside], labels[inside], z, own)
                pairs = (f"{described} to {shown}", there), (f"{shown} to {described}", back)
                found |= {f"{way}, {space}": each.facts for way, each in pairs if each}
    return found


def embedded(fitted: LatentSpace, name: str, view: View, labels: Indices) -> tuple[Floats, Indices]:
    """Latents, (rows, latent), and labels of the rows that have the modality."""
    there = np.flatnonzero(view.mask)
    return fitted.embed({name: replace(view.take(there), level="sample")}), labels[there]
