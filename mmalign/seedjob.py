"""One seed of a run, as a worker does it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch

from mmalign.answering import Answer, answer
from mmalign.job import Job
from mmalign.place import checked_device, kept_fits
from mmalign.plugins import Registry
from mmalign.recipe import assemble
from mmalign.reporting import reported
from mmalign.run import write_model
from mmalign.types import Session


@dataclass(frozen=True)
class SeedJob(Job):
    """One seed of a run, with all its draws; ``table`` has all the run's seeds.

    It tells ("epoch", draw, stage, epoch, epochs, terms), and at last ("report", its own
    report); its model is in its folder. It never has ``ended`` before: what was told is gone.
    """

    @property
    def ended(self) -> bool:
        """False."""
        return False

    def work(self, registry: Registry, tell: Callable[..., None]) -> None:
        """Load, fit and measure. Raises MmalignError."""
        recipe = assemble(self.name, self.table, registry)
        device = checked_device(recipe.run.device)
        if recipe.run.threads is not None:
            torch.set_num_threads(recipe.run.threads)
        source = recipe.dataset.load()
        views = {name: each.view(source) for name, each in recipe.parts.modalities.items()}
        source = source.with_word_of(views)
        done: list[Answer] = []
        first = None
        with kept_fits(self.reuse, needed=len(recipe.draws) > 1) as fits:
            for draw in recipe.draws:
                session = Session(self.seed, device, partial(tell, "epoch", draw), fits)
                problem, fitted, answered = answer(recipe, source, views, session, draw or 0)
                first = first or (problem, fitted)
                done.append(answered)
        assert first is not None, "there is one draw, None, where none is drawn"
        mine = replace(recipe, run=replace(recipe.run, seeds=(self.seed,)))
        report = reported(mine, registry, source, first[0], done, 0.0)
        write_model(self.folder / "model", recipe, report, *first)
        tell("report", report)
