"""The main job: a recipe in, a report and a model out."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

import tomli_w
import torch
from rich.console import Console

from mmalign import bundle, summary
from mmalign.answering import Answer, answer, together, train_together
from mmalign.card import card
from mmalign.checked import loaded
from mmalign.contracts import Fitted
from mmalign.group import Group
from mmalign.place import checked_device, kept_fits, made_folder, new_folder
from mmalign.plugins import Registry
from mmalign.progress import Progressing, RunProgress
from mmalign.recipe import Recipe
from mmalign.report import Report
from mmalign.reporting import reported
from mmalign.types import Problem, Session


@dataclass(frozen=True)
class Outcome:
    """A finished run: its report and its folder."""

    report: Report
    folder: Path


def run(
    recipe: Recipe,
    registry: Registry,
    console: Console,
    out: Path = Path("runs"),
    reuse: Path | None = None,
    progressing: Progressing | None = None,
    group: Group | None = None,
) -> Outcome:
    """Load; pose, fit and measure once per seed and draw; write the report and the first model.

    ``reuse`` is a folder where fitted representations are kept and found again.
    ``progressing`` is told of every epoch instead of the console. ``group`` are the processes
    that do the same at the same time, this one among them.
    """
    device = checked_device(recipe.run.device if group is None else group.device)
    if reuse is not None:
        made_folder(reuse, "--reuse")
    if recipe.run.threads is not None:
        torch.set_num_threads(recipe.run.threads)
    began = time.perf_counter()
    source, views = loaded(recipe.dataset, recipe.parts.modalities)
    folder = new_folder(out / recipe.name)
    (folder / "recipe.toml").write_text(tomli_w.dumps(recipe.table), encoding="utf-8")
    about = {"name": recipe.name, "folder": str(folder), "recipe": recipe.table}
    registry.manager.hook.mmalign_run_started(run={**about, "seeds": recipe.seeds})

    done: list[Answer] = []
    first: tuple[Problem, Fitted] | None = None  # the others' models would fill the memory
    as_one = together(recipe) and group is None
    planned = [(seed, draw) for seed in recipe.seeds for draw in recipe.draws]
    with (
        progressing or RunProgress(console) as progress,
        (folder / "metrics.jsonl").open("w", encoding="utf-8") as metrics,
        kept_fits(reuse, needed=len(recipe.draws) > 1 or as_one) as fits,
    ):

        def session_of(seed: int, draw: int | None, place: int) -> Session:
            """A fit's session, which tells display, metrics.jsonl and plugins of its epochs."""
            at = f"{place}/{len(planned)}"
            told = teller(registry, about, progress, metrics, seed, draw, at)
            return Session(seed, device, told, fits, group=group)

        if as_one:
            each = [session_of(seed, recipe.draws[0], n) for n, seed in enumerate(recipe.seeds, 1)]
            if why := train_together(recipe, source, views, each):
                console.print(f"the seeds are trained one after another: {why}", style="yellow")
        for place, (seed, draw) in enumerate(planned, start=1):
            session = session_of(seed, draw, place)
            problem, fitted, answered = answer(recipe, source, views, session, draw or 0)
            first = first or (problem, fitted)
            done.append(answered)
            metrics.flush()

    assert first is not None, "a recipe has a seed at least"
    report = reported(recipe, registry, source, first[0], done, time.perf_counter() - began)
    report = replace(report, notes=(*report.notes, *registry.trackers.notes(folder)))
    if group is not None:
        report = replace(report, context={**report.context, "processes": group.size})
    write(folder, recipe, report, *first)
    registry.manager.hook.mmalign_run_ended(run=about, report=report)
    return Outcome(report, folder)


def teller(
    registry: Registry,
    about: Mapping[str, Any],
    progress: Progressing,
    metrics: TextIO,
    seed: int,
    draw: int | None,
    place: str,
) -> Callable[[str, int, int, Mapping[str, float]], None]:
    """Whom a session tells of each epoch: the display, metrics.jsonl and the plugins."""
    which = {"seed": seed} if draw is None else {"seed": seed, "draw": draw}
    title = ", ".join(f"{key} {value}" for key, value in which.items())

    def told(stage: str, epoch: int, epochs: int, terms: Mapping[str, float]) -> None:
        progress.epoch_ended(f"{title} ({place})  {stage}", epoch, epochs, terms)
        metrics.write(json.dumps({**which, "stage": stage, "epoch": epoch, **terms}) + "\n")
        registry.manager.hook.mmalign_epoch_ended(
            run={**about, **which, "stage": stage}, epoch=epoch, losses=terms
        )

    return told


def write(folder: Path, recipe: Recipe, report: Report, problem: Problem, fitted: Fitted) -> None:
    """Write report.json, confusion.csv and the first run's model."""
    write_numbers(folder, report)
    write_model(folder / "model", recipe, report, problem, fitted)


def write_numbers(folder: Path, report: Report) -> None:
    """Write report.json and confusion.csv."""
    text = json.dumps(summary.as_json(report), indent=1, allow_nan=False)
    (folder / "report.json").write_text(text + "\n", encoding="utf-8")
    write_confusion(folder / "confusion.csv", report)


def write_model(
    folder: Path, recipe: Recipe, report: Report, problem: Problem, fitted: Fitted
) -> None:
    """Write the model of the report's first run."""
    keys = ("versions", "data", "plugins", "reading", "backbones")
    about: dict[str, Any] = {key: report.context[key] for key in keys}
    bundle.save(
        folder,
        fitted,
        problem.training.signature,
        problem.scalings,
        recipe.table,
        {**about, "seed": report.seeds[0], "facts": dict(report.facts[0])},
        card(report, report.seeds[0]),
    )


def write_confusion(path: Path, report: Report) -> None:
    """Write how often each class was answered for each true one, by seed and draw."""
    drawn = any(draw is not None for draw in report.draws)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["seed", *(["draw"] if drawn else []), "true", "predicted", "count"])
        for seed, draw, each in zip(report.seeds, report.draws, report.measures, strict=True):
            which = [seed, draw] if drawn else [seed]
            for (true, said), count in each.confusion.items():
                writer.writerow([*which, report.classes[true], report.classes[said], count])
