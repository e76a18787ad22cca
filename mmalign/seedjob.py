"""One seed of a run, as a worker does it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch

from mmalign.answering import posed
from mmalign.job import Job
from mmalign.place import checked_device
from mmalign.plugins import Registry
from mmalign.recipe import assemble
from mmalign.reporting import reported
from mmalign.seedfit import fit_seed, loaded
from mmalign.types import Session


@dataclass(frozen=True)
class SeedJob(Job):
    """One seed of a run, with all its draws; ``table`` has all the run's seeds.

    It tells ("epoch", draw, stage, epoch, epochs, terms), and at last ("report", its own
    report); its model is in its folder. What its folder has already is not done again. It never
    has ``ended`` before: what was told is gone.
    """

    @property
    def ended(self) -> bool:
        """False."""
        return False

    def clear(self) -> None:
        """Nothing: a seed goes on from what its folder keeps."""

    def work(self, registry: Registry, tell: Callable[..., None]) -> None:
        """Load, fit and measure. Raises MmalignError."""
        recipe = assemble(self.name, self.table, registry)
        device = checked_device(recipe.run.device)
        if recipe.run.threads is not None:
            torch.set_num_threads(recipe.run.threads)
        source, views = loaded(recipe)
        fits = self.folder / "fits" if len(recipe.draws) > 1 else None

        def session_of(draw: int | None) -> Session:
            return Session(self.seed, device, partial(tell, "epoch", draw), self.reuse or fits)

        first, done = fit_seed(recipe, registry, source, views, session_of, self.folder)
        first = first or posed(recipe, source, views, self.seed, recipe.draws[0] or 0)
        mine = replace(recipe, run=replace(recipe.run, seeds=(self.seed,)))
        tell("report", reported(mine, registry, source, first, done, 0.0))
