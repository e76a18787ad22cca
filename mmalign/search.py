"""A search as it stands: which trial to try next, and what became of the others."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmalign.errors import MmalignError, did_you_mean
from mmalign.job import Done, Job, finished
from mmalign.jsonfile import read_json
from mmalign.plugins import Registry
from mmalign.report import statistic
from mmalign.space import Space

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial

WRONG, RUNS, VALUES = "wrong", "runs", "values"  # what is kept with a trial


@dataclass(eq=False)
class Attempt:
    """A trial that is being worked at: its values, and what its seeds came to."""

    trial: Trial
    values: Mapping[str, Any]
    waiting: list[Job]
    scores: dict[int, float] = field(default_factory=dict)
    wrong: str = ""


@dataclass
class Search:
    """One call of ``mmalign tune``."""

    space: Space
    registry: Registry
    study: Study
    folder: Path
    trials: int
    reuse: Path | None
    ends: float
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def finished(self) -> list[FrozenTrial]:
        """The trials that came to an end, good or bad."""
        return [t for t in self.study.trials if t.value is not None or WRONG in t.user_attrs]

    def next(self, workers: int) -> tuple[Attempt, Job] | None:
        """What a worker may do now; None where there is nothing, or nothing yet."""
        for attempt in self.attempts:
            if attempt.waiting:
                return attempt, attempt.waiting.pop(0)
        done = len(self.finished)
        # Where trials share a representation, the first of them makes it.
        most = 1 if self.reuse is not None and done == 0 else workers
        begun = len(self.attempts)
        if done + begun >= self.trials or begun >= most or time.monotonic() > self.ends:
            return None
        attempt = self.ask(done + begun)
        self.attempts.append(attempt)
        return attempt, attempt.waiting.pop(0)

    def ask(self, place: int) -> Attempt:
        """A new trial. The sampler's seed is of the recipe's seeds and the trial's place.

        So a search that was killed and goes on suggests what it would have suggested.
        """
        from optuna.samplers import TPESampler

        said = f"{self.space.base.seeds}/{place}"
        seed = int.from_bytes(hashlib.sha256(said.encode()).digest()[:4])
        self.study.sampler = TPESampler(seed=seed)
        trial = self.study.ask()
        values = {key: each.suggest(trial, key) for key, each in self.space.keys.items()}
        trial.set_user_attr(VALUES, values)
        base = self.space.base
        recipe = self.space.recipe(values, self.registry, "validation")
        home = self.folder / "trials" / f"{self.space.name}-{trial.number}"
        jobs = [
            Job(base.name, recipe.table, seed, home / f"seed-{seed}", self.reuse)
            for seed in base.seeds
        ]
        return Attempt(trial, values, jobs)

    def ended(self, attempt: Attempt, job: Job, wrong: str | None) -> str:
        """A job of a trial has ended; what to say of it."""
        done = finished(job.folder) if wrong is None else None
        if done is None:
            attempt.wrong = wrong or f"no result in {job.folder}"
            attempt.waiting.clear()
        else:
            attempt.scores[job.seed] = score(done, self.space.metric)
        seeds = self.space.base.seeds
        if attempt.wrong and attempt in self.attempts:
            self.attempts.remove(attempt)
            attempt.trial.set_user_attr(WRONG, attempt.wrong)
            self._fail(attempt.trial)
        elif len(attempt.scores) == len(seeds):
            runs = [attempt.scores[seed] for seed in seeds]
            self.attempts.remove(attempt)
            attempt.trial.set_user_attr(RUNS, runs)
            self.study.tell(attempt.trial, statistic(runs).mean)
        if done is None:
            return f"failed: {attempt.wrong}"
        return f"{self.space.metric} = {100 * attempt.scores[job.seed]:.1f} %"

    def _fail(self, trial: Trial) -> None:
        from optuna.trial import TrialState

        self.study.tell(trial, state=TrialState.FAIL)


def score(done: Done, metric: str) -> float:
    """The metric of a finished job. Raises MmalignError where it was not measured."""
    path = done.run / "report.json"
    report = read_json(path)
    try:
        summary = report["summary"]
        if metric not in summary:
            raise MmalignError(
                f"tune.metric: '{metric}' is not measured here; {did_you_mean(metric, summary)}"
            )
        return float(summary[metric]["mean"])
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        raise MmalignError(f"{path}: no report of a run ({repr(error)[:200]})") from None
