"""A run's report: its measures, with all that is needed to judge them."""

from __future__ import annotations

import platform
from typing import Any

import numpy as np
import torch

import mmalign
from mmalign.answering import Answer
from mmalign.plugins import Registry
from mmalign.report import Report
from mmalign.tables import Recipe
from mmalign.types import Problem, Source


def reported(
    recipe: Recipe,
    registry: Registry,
    source: Source,
    first: Problem,
    done: list[Answer],
    seconds: float,
) -> Report:
    """The report, with all that is needed to judge it; ``first`` is the first run's problem."""
    protocol = recipe.protocol
    notes = [*first.notes, *source.notes]
    if protocol.split == "validation":
        notes.append("validation protocol: the rows asked are training rows, no test row was read")
    return Report(
        recipe=recipe.name,
        seeds=tuple(seed for seed in recipe.seeds for _ in recipe.draws),
        draws=tuple(draw for _ in recipe.seeds for draw in recipe.draws),
        measures=tuple(each.measures for each in done),
        variants={name: tuple(each.variants[name] for each in done) for name in done[0].variants},
        classes=source.classes,
        target={k: v for k, v in vars(recipe.target).items() if v not in (None, "")},
        notes=tuple(notes),
        facts=tuple(each.facts for each in done),
        context={
            **context(recipe, registry, source, first),
            "seconds": round(seconds, 1),
            "recipe_table": dict(recipe.table),
        },
        unseen=tuple(first.training.unseen.tolist()),
    )


def context(recipe: Recipe, registry: Registry, source: Source, first: Problem) -> dict[str, Any]:
    """What a fit was made with: data, side information, versions, plugins."""
    training = first.training
    return {
        "dataset": source.name,
        "seen": len(training.seen),
        "unseen": len(training.unseen),
        "side_information": [n for n, v in training.views.items() if v.level == "class"],
        "features": [n for n, v in training.views.items() if v.level == "sample"],
        "reading": reading(recipe),
        "data": dict(source.hashes),
        "backbones": {name: dict(table) for name, table in source.backbones.items()},
        "versions": versions(),
        "plugins": used(registry),
        "machine": machine(recipe),
    }


def used(registry: Registry) -> dict[str, str]:
    """The plugins that offered anything, with their distributions and versions."""
    return {p.name: f"{p.distribution} {p.version}" for p in registry.plugins if p.components}


def machine(recipe: Recipe) -> dict[str, Any]:
    """What the last bits of the numbers depend on besides: the device, threads, instructions."""
    return {
        "device": recipe.run.device,
        "threads": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "architecture": platform.machine(),
    }


def reading(recipe: Recipe) -> str:
    """How the formulas were read, the protocol, and the scaling, in a sentence."""
    table = recipe.table
    said = [
        f"Protocol: {table['protocol']['split']} split, search among {table['protocol']['search']}"
    ]
    protocol = recipe.protocol
    if protocol.shots:
        sight = "sees" if protocol.shots_in_representation else "does not see"
        shots = f"{protocol.shots} shot{'s' if protocol.shots > 1 else ''}"
        said.append(f"{shots} of each unseen class, which the representation {sight}")
    if protocol.mix is not None:
        first, second = protocol.mix.between
        shares = f"{protocol.mix.seen:g} % of seen and {protocol.mix.unseen:g} % of unseen classes"
        said.append(f"{shares} carry {second}, the others {first}")
    said += [
        f"{name} scaling {m['scaler']}" for name, m in table["modality"].items() if "scaler" in m
    ]
    said += [
        f"{key} = {table['method'][key]}"
        for key in ("noise", "scale")
        if isinstance(table["method"].get(key), str)
    ]
    return "; ".join(said) + "."


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    return {
        "mmalign": mmalign.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }
