"""Several seeds of one run, each fitted in a process of its own, and one report of them all.

A process computes on one thread, or on ``run.threads``, whatever the number of processes: so
the numbers do not depend on it.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from mmalign.answering import together
from mmalign.crew import Crew, Event
from mmalign.errors import TRACEBACK, MmalignError
from mmalign.executors import Executor, Site
from mmalign.metricsfile import Metrics
from mmalign.place import made_folder
from mmalign.plugins import Registry
from mmalign.progress import RunProgress
from mmalign.recipe import Recipe
from mmalign.report import Report
from mmalign.run import Outcome, at_work, begun, teller
from mmalign.runfiles import MODEL, finish
from mmalign.seedjob import SeedJob
from mmalign.unfinished import seed_folder


def apart(recipe: Recipe, executor: Executor, workers: int | None) -> bool:
    """Whether a run's seeds go to processes of their own.

    They do on a cluster, where ``workers`` are asked for, and where there are several on the
    processor and are not trained as one model. Raises MmalignError for workers of a single seed.
    """
    if executor is not Executor.processes:
        return True
    if len(recipe.seeds) == 1 and workers is not None:
        raise MmalignError(
            f"--workers: '{recipe.name}' is one run of one seed; a [sweep] or several seeds have"
            " workers"
        )
    several = len(recipe.seeds) > 1 and not together(recipe)
    return several and (workers is not None or recipe.run.device.startswith("cpu"))


def run_seeds(
    recipe: Recipe,
    registry: Registry,
    console: Console,
    out: Path,
    reuse: Path | None,
    workers: int | None,
    site: Site,
    resume: Path | None = None,
) -> Outcome:
    """Do each seed as a job, ``workers`` at a time, and write what ``run`` writes.

    As many as the processors have room for by default. Where a seed fails the others go on,
    and MmalignError is raised when their report is written. ``resume`` as of ``run``.
    """
    if reuse is not None:
        made_folder(reuse, "--reuse")
    began = time.perf_counter()
    absent = [place for place in (out / recipe.name, out) if not place.exists()]
    folder = begun(out, recipe) if resume is None else resume
    about = {"name": recipe.name, "folder": str(folder), "recipe": recipe.table}
    most = workers or max(1, site.processors // (recipe.run.threads or 1))
    with at_work(folder):
        registry.manager.hook.mmalign_run_started(run={**about, "seeds": recipe.seeds})
        seeds = Seeds(recipe, registry, about, console, folder, reuse)
        with site.hire(min(most, len(recipe.seeds))) as crew:
            seeds.follow(crew)
        report = seeds.write(time.perf_counter() - began)
    if report is not None:
        registry.manager.hook.mmalign_run_ended(run=about, report=report)
    if not folder.exists():  # nothing has come of it, and nothing is left
        with suppress(OSError):  # somebody else has written there
            for place in absent:
                place.rmdir()
    if report is None or seeds.wrong:
        raise MmalignError(seeds.failure)
    return Outcome(report, folder)


@dataclass(eq=False)
class Seeds:
    """A run's seeds as they are done; what they tell goes to display, file and plugins at once."""

    recipe: Recipe
    registry: Registry
    about: Mapping[str, Any]
    console: Console
    folder: Path
    reuse: Path | None
    metrics: dict[int, Metrics] = field(default_factory=dict)
    reports: dict[int, Report] = field(default_factory=dict)
    wrong: dict[int, str] = field(default_factory=dict)

    def part(self, seed: int) -> Path:
        """The folder of a seed's job; its epochs are in a file beside it."""
        return seed_folder(self.folder, seed)

    def lines(self, seed: int) -> Metrics:
        """That file, opened to be written on."""
        self.part(seed).parent.mkdir(exist_ok=True)
        return Metrics(self.part(seed).with_suffix(".jsonl"))

    def follow(self, crew: Crew) -> None:
        """Have all of them done."""
        waiting = list(self.recipe.seeds)
        with RunProgress(self.console, several=True) as progress, ExitStack() as files:
            files.callback(self.close)
            while waiting or crew.jobs:
                for place in crew.idle[: len(waiting)]:
                    seed = waiting.pop(0)
                    self.metrics[seed] = self.lines(seed)
                    table = self.recipe.table
                    crew.give(
                        place, SeedJob(self.recipe.name, table, seed, self.part(seed), self.reuse)
                    )
                for _, job, event in crew.events(1.0):
                    self.hear(job.seed, event, progress)

    def close(self) -> None:
        """Close every seed's file of epochs."""
        for lines in self.metrics.values():
            lines.close()

    def hear(self, seed: int, event: Event, progress: RunProgress) -> None:
        """One event of one seed's job."""
        what, said = event
        if what == "said" and said[0] == "epoch":
            _, draw, *epoch = said
            planned = [(seed, draw) for seed in self.recipe.seeds for draw in self.recipe.draws]
            place = f"{planned.index((seed, draw)) + 1}/{len(planned)}"
            lines = self.metrics[seed]
            teller(self.registry, self.about, progress, lines, seed, draw, place)(*epoch)
        elif what == "said":
            self.reports[seed] = said[1]
        elif what == "again":
            self.reports.pop(seed, None)
            self.metrics[seed].close()
            self.metrics[seed] = self.lines(seed)
            line = Text(f"seed {seed}  {said}; once more")
            self.console.print(line, soft_wrap=True)
        else:
            progress.run_ended(f"seed {seed}")
            if said is not None or seed not in self.reports:
                self.reports.pop(seed, None)
                self.wrong[seed] = said or "it ended without a report"

    def write(self, seconds: float) -> Report | None:
        """Write what the seeds came to, and clear away; None where none came to anything."""
        with (self.folder / "metrics.jsonl").open("wb") as file:
            for seed in self.recipe.seeds:  # in this order, whichever came first
                file.write(self.part(seed).with_suffix(".jsonl").read_bytes())
        good = [seed for seed in self.recipe.seeds if seed in self.reports]
        bugs = any((self.part(seed) / TRACEBACK).is_file() for seed in self.wrong)
        if good:
            report = joined([self.reports[seed] for seed in good], self.wrong, seconds)
            said = self.registry.trackers.notes(self.folder)
            report = replace(report, notes=(*report.notes, *said))
            finish(self.folder, report, self.part(good[0]) / MODEL, good[0], clear=not bugs)
            return report
        if not bugs and (self.folder / "metrics.jsonl").stat().st_size == 0:
            shutil.rmtree(self.folder)  # no epoch has ended
        return None

    @property
    def failure(self) -> str:
        """What went wrong; one mistake that stopped all of them is said once, and alone."""
        if not self.reports and len(set(self.wrong.values())) == 1:
            return next(iter(self.wrong.values()))
        failed = [seed for seed in self.recipe.seeds if seed in self.wrong]
        lines = [f"seed {seed}: {self.wrong[seed]}" for seed in failed]
        if not self.reports:
            return "\n  ".join([f"all {len(lines)} seeds failed, in {self.folder}", *lines])
        some = f"{len(self.wrong)} of {len(self.recipe.seeds)} seeds failed"
        alone = f"--set run.seeds={failed} runs what failed alone"
        return "\n  ".join([f"{some}; the others are in {self.folder}", *lines, alone])


def joined(reports: Sequence[Report], wrong: Mapping[int, str], seconds: float) -> Report:
    """One report of several seeds from a report of each, in ``seconds``.

    ``wrong`` are the seeds that failed: a note names them, before any other.
    """
    first = reports[0]
    failed = [f"seed {seed} failed, and is not in these numbers: {wrong[seed]}" for seed in wrong]
    return replace(
        first,
        seeds=tuple(seed for each in reports for seed in each.seeds),
        draws=tuple(draw for each in reports for draw in each.draws),
        measures=tuple(run for each in reports for run in each.measures),
        variants={
            name: tuple(run for each in reports for run in each.variants[name])
            for name in first.variants
        },
        facts=tuple(facts for each in reports for facts in each.facts),
        notes=(*failed, *first.notes),
        context={**first.context, "seconds": round(seconds, 1)},
    )
