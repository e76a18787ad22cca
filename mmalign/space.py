"""A recipe's [tune]: the keys to search and their values, checked before anything runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmalign.cells import digest, laid_over
from mmalign.component import build, component
from mmalign.errors import MmalignError, RecipeError, did_you_mean
from mmalign.plugins import Registry
from mmalign.report import METRICS
from mmalign.tables import EXPERIMENT, Recipe

if TYPE_CHECKING:
    from optuna.trial import Trial

# What a trial may not move: the question, the data that are asked, and how often it runs.
FIXED = ("protocol", "dataset", "run", "report", *EXPERIMENT)


@component
class Range:
    """Numbers from ``low`` to ``high``; whole ones where both are."""

    low: int | float
    high: int | float
    log: bool = False
    """Every factor as likely as any other, not every difference."""
    step: int | float | None = None
    """Only low, low + step, and so on."""

    def __post_init__(self) -> None:
        if self.low >= self.high:
            raise ValueError(f"low ({self.low}) must be below high ({self.high})")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("log: needs low above 0, and no step")
        if self.step is not None and self.step <= 0:
            raise ValueError("step: must be above 0")

    @property
    def edges(self) -> list[Any]:
        """The values that a recipe is checked with."""
        return [self.low, self.high]

    def suggest(self, trial: Trial, key: str) -> Any:
        """A value of this trial's."""
        if all(isinstance(each, int) for each in (self.low, self.high, self.step or 1)):
            low, high, step = int(self.low), int(self.high), int(self.step or 1)
            return trial.suggest_int(key, low, high, step=step, log=self.log)
        return trial.suggest_float(key, self.low, self.high, step=self.step, log=self.log)


@dataclass(frozen=True)
class Choices:
    """Values of any kind; Optuna sees them as the text of their JSON."""

    values: tuple[Any, ...]

    @property
    def edges(self) -> list[Any]:
        """The values that a recipe is checked with."""
        return list(self.values)

    def suggest(self, trial: Trial, key: str) -> Any:
        """A value of this trial's."""
        return json.loads(trial.suggest_categorical(key, [json.dumps(v) for v in self.values]))


@dataclass(frozen=True)
class Space:
    """What is searched, for which metric, in which recipe."""

    base: Recipe
    keys: Mapping[str, Range | Choices]
    metric: str

    @property
    def name(self) -> str:
        """The same for a search that may go on where another stopped."""
        keys = {key: repr(each) for key, each in self.keys.items()}
        table = {k: v for k, v in self.base.table.items() if k != "report"}
        seeds = list(self.base.seeds)
        return digest({"table": table, "keys": keys, "metric": self.metric, "seeds": seeds})

    def recipe(self, values: Mapping[str, Any], registry: Registry, split: str) -> Recipe:
        """The recipe with these values on that split. Raises RecipeError."""
        recipe, problems = laid_over(self.base, {**values, "protocol.split": split}, registry)
        if recipe is None:
            raise RecipeError(self.base.name, problems)
        return recipe


def read_space(recipe: Recipe, registry: Registry) -> Space:
    """The recipe's [tune]. Raises RecipeError with every mistake at once."""
    if recipe.tune is None:
        raise MmalignError(f"'{recipe.name}' has no [tune]; say there which keys to search")
    problems: list[str] = []
    given = dict(recipe.tune)
    metric = given.pop("metric", "H")
    if metric not in METRICS:
        hint = did_you_mean(str(metric), METRICS)
        problems.append(f"tune.metric: no metric {metric!r}; {hint}")
    keys = {}
    for key, value in _flat(given):
        if any(key == fixed or key.startswith(f"{fixed}.") for fixed in FIXED):
            problems.append(f"tune: '{key}' cannot be searched; the question stays as it is")
        elif (each := _axis(key, value, problems)) is not None:
            keys[key] = each
    if not keys and not problems:
        problems.append("tune: no key to search; give one a list, or { low = ..., high = ... }")
    for key, each in keys.items():
        for edge in each.edges:
            wrong = laid_over(recipe, {key: edge}, registry)[1]
            problems += [f"tune, {key} = {json.dumps(edge)}: {problem}" for problem in wrong]
    if problems:
        raise RecipeError(recipe.name, problems)
    return Space(recipe, keys, metric)


def _flat(table: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys with a list or a range each."""
    for key, value in table.items():
        whole = f"{path}.{key}" if path else key
        nested = isinstance(value, Mapping) and not {"low", "high"} & set(value)
        if nested and "." not in key:
            yield from _flat(value, whole)
        else:
            yield whole, value


def _axis(key: str, value: Any, problems: list[str]) -> Range | Choices | None:
    path = f"tune.{key}"
    if isinstance(value, Mapping):
        made, wrong = build(Range, value, path)
        problems += wrong
        return made
    if not isinstance(value, list) or len(value) < 2:
        problems.append(f"{path}: two values or more, or low and high, expected (got {value!r})")
        return None
    if any(each in value[:place] for place, each in enumerate(value)):
        problems.append(f"{path}: each value once")
        return None
    return Choices(tuple(value))
