"""One seed of a run with all its draws: what is not done yet is fitted, measured and kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import torch

from mmalign import checked
from mmalign.answering import Answer, answer
from mmalign.latentmap import write_map
from mmalign.plugins import Registry
from mmalign.recipe import Recipe
from mmalign.reporting import context, used, versions
from mmalign.runfiles import MODEL, write_model
from mmalign.types import Problem, Session, Source, View
from mmalign.unfinished import check_same, fit_folder


def loaded(recipe: Recipe) -> tuple[Source, Mapping[str, View]]:
    """What the data set offers, and each modality's numbers."""
    return checked.loaded(recipe.dataset, recipe.parts.modalities)


def fit_seed(
    recipe: Recipe,
    registry: Registry,
    source: Source,
    views: Mapping[str, View],
    session_of: Callable[[int | None], Session],
    folder: Path,
) -> tuple[Problem | None, list[Answer]]:
    """The first draw's problem, unless it was done before, and the answers.

    ``folder`` keeps what is done, a model, and a map of its latent space.

    The model and the map are the first draw's. ``session_of`` makes the session of a draw; one
    of a group of processes keeps no checkpoints. Raises ChangedError where what the folder keeps
    was begun with other data or versions.
    """
    first: Problem | None = None
    done: list[Answer] = []
    for draw in recipe.draws:
        session, kept = session_of(draw), fit_folder(folder, draw)
        check_same(kept.path, basis(recipe, registry, source, session.device))
        answered = kept.answer
        if answered is None:
            if session.group is None:
                session = replace(session, checkpoints=kept.checkpoints(recipe.run.checkpoint))
            problem, fitted, answered = answer(recipe, source, views, session, draw or 0)
            if draw == recipe.draws[0]:
                first = problem
                about = context(recipe, registry, source, problem)
                seed, facts = session.seed, answered.facts
                write_model(folder / MODEL, recipe, about, seed, problem, fitted, facts)
                write_map(folder, fitted, problem, recipe.method, seed, draw)
            kept.keep(answered)
        done.append(answered)
    return first, done


def basis(recipe: Recipe, registry: Registry, source: Source, device: str) -> dict[str, object]:
    """All that a fit's numbers depend on, but for the processor itself."""
    return {
        "recipe": dict(recipe.table),
        "data": dict(source.hashes),
        "versions": versions(),
        "plugins": used(registry),
        "device": device,
        "threads": torch.get_num_threads(),
    }
