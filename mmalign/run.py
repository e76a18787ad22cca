"""The main job: a recipe in, a report and a model out."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any

import tomli_w
import torch
from rich.console import Console

from mmalign.answering import Answer, posed, together, train_together
from mmalign.errors import MmalignError
from mmalign.group import Group
from mmalign.lock import locked
from mmalign.metricsfile import Metrics
from mmalign.place import checked_device, made_folder, new_folder
from mmalign.plugins import Registry
from mmalign.progress import Progressing, RunProgress
from mmalign.recipe import Recipe
from mmalign.report import Report
from mmalign.reporting import reported
from mmalign.runfiles import MODEL, finish
from mmalign.seedfit import basis, fit_seed, loaded
from mmalign.terms import DivergedError
from mmalign.types import Problem, Session, Source, View
from mmalign.unfinished import UNFINISHED, FitFolder, check_same, seed_folder, threads_of
from mmalign.writing import write_whole


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
    resume: Path | None = None,
) -> Outcome:
    """Load; pose, fit and measure once per seed and draw; write the report and the first model.

    ``reuse`` is a folder where fitted representations are kept and found again.
    ``progressing`` is told of every epoch instead of the console. ``group`` are the processes
    that do the same at the same time, this one among them. ``resume`` is the folder of a run of
    this recipe that was killed: it goes on, to the same bits. Raises ChangedError where it
    cannot.
    """
    device = checked_device(recipe.run.device if group is None else group.device)
    if reuse is not None:
        made_folder(reuse, "--reuse")
    threads = recipe.run.threads or (None if resume is None else threads_of(resume))
    if threads is not None:
        torch.set_num_threads(threads)
    began = time.perf_counter()
    source, views = loaded(recipe)
    folder = begun(out, recipe) if resume is None else resume
    about = {"name": recipe.name, "folder": str(folder), "recipe": recipe.table}
    first: Problem | None = None
    done: list[Answer] = []
    with (
        at_work(folder),
        progressing or RunProgress(console) as progress,
        closing(Metrics(folder / "metrics.jsonl")) as metrics,
    ):
        registry.manager.hook.mmalign_run_started(run={**about, "seeds": recipe.seeds})
        sessions = Sessions(registry, recipe, device, about, progress, metrics, reuse, group)
        if together(recipe) and group is None:
            as_one(recipe, registry, source, views, sessions, console)
        for seed in recipe.seeds:
            posed_now, answers = fit_seed(
                recipe, registry, source, views, partial(sessions, seed), seed_folder(folder, seed)
            )
            first = first or posed_now
            done += answers
        first = first or posed(recipe, source, views, recipe.seeds[0], recipe.draws[0] or 0)
        report = reported(recipe, registry, source, first, done, time.perf_counter() - began)
        report = replace(report, notes=(*report.notes, *registry.trackers.notes(folder)))
        if group is not None:
            report = replace(report, context={**report.context, "processes": group.size})
        finish(folder, report, seed_folder(folder, recipe.seeds[0]) / MODEL, recipe.seeds[0])
    registry.manager.hook.mmalign_run_ended(run=about, report=report)
    return Outcome(report, folder)


def as_one(
    recipe: Recipe,
    registry: Registry,
    source: Source,
    views: Mapping[str, View],
    sessions: Sessions,
    console: Console,
) -> None:
    """Train the representations of all seeds as one model, if that can be."""
    kept = sessions.folder / UNFINISHED / "together"
    check_same(kept, basis(recipe, registry, source, sessions.device))
    checkpoints = FitFolder(kept).checkpoints(recipe.run.checkpoint)
    each = [
        replace(sessions(seed, recipe.draws[0]), checkpoints=checkpoints) for seed in recipe.seeds
    ]
    if why := train_together(recipe, source, views, each):
        console.print(f"the seeds are trained one after another: {why}", style="yellow")


def begun(out: Path, recipe: Recipe) -> Path:
    """The folder of a new run, with its recipe."""
    folder = new_folder(out / recipe.name)
    try:
        write_whole(folder / "recipe.toml", tomli_w.dumps(recipe.table).encode())
    except MmalignError:
        folder.rmdir()  # nothing is in it
        raise
    return folder


@contextmanager
def at_work(folder: Path) -> Iterator[None]:
    """Hold a run's folder; where it is left in the middle, say what can be done.

    Raises MmalignError where another process is at work there.
    """
    with locked(folder / UNFINISHED, "run"):
        try:
            yield
        except KeyboardInterrupt:
            print(f"go on with: mmalign run {quote(str(folder))} --resume", file=sys.stderr)
            raise
        except DivergedError as error:
            said = {key: getattr(error, key) for key in ("stage", "epoch", "step", "terms", "rows")}
            write_whole(folder / "diverged.json", (json.dumps(said, indent=1) + "\n").encode())
            raise


@dataclass(frozen=True)
class Sessions:
    """Makes each fit's session, which tells display, metrics.jsonl and plugins of its epochs."""

    registry: Registry
    recipe: Recipe
    device: str
    about: Mapping[str, Any]
    progress: Progressing
    metrics: Metrics
    reuse: Path | None
    group: Group | None

    def __call__(self, seed: int, draw: int | None) -> Session:
        """The session of this seed and draw."""
        planned = [(seed, draw) for seed in self.recipe.seeds for draw in self.recipe.draws]
        place = f"{planned.index((seed, draw)) + 1}/{len(planned)}"
        told = teller(self.registry, self.about, self.progress, self.metrics, seed, draw, place)
        return Session(seed, self.device, told, self.fits, group=self.group)

    @property
    def fits(self) -> Path | None:
        """Where representations are kept: the folder given, or one for this run if it needs one.

        The draws of one seed differ in the head's shots alone, and share a representation.
        """
        needed = len(self.recipe.draws) > 1 or together(self.recipe)
        if self.reuse is not None or not needed:
            return self.reuse
        return self.folder / UNFINISHED / "fits"

    @property
    def folder(self) -> Path:
        """The run's."""
        return Path(str(self.about["folder"]))


def teller(
    registry: Registry,
    about: Mapping[str, Any],
    progress: Progressing,
    metrics: Metrics,
    seed: int,
    draw: int | None,
    place: str,
) -> Callable[[str, int, int, Mapping[str, float]], None]:
    """Whom a session tells of each epoch: the display, metrics.jsonl and the plugins."""
    which = {"seed": seed} if draw is None else {"seed": seed, "draw": draw}
    title = ", ".join(f"{key} {value}" for key, value in which.items())

    def told(stage: str, epoch: int, epochs: int, terms: Mapping[str, float]) -> None:
        progress.epoch_ended(f"{title} ({place})  {stage}", epoch, epochs, terms)
        metrics.tell({**which, "stage": stage, "epoch": epoch}, terms)
        registry.manager.hook.mmalign_epoch_ended(
            run={**about, **which, "stage": stage}, epoch=epoch, losses=terms
        )

    return told
