"""A sweep's cells: the recipes that a [sweep] table makes of one recipe."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

from mmalign.component import build
from mmalign.errors import MmalignError, RecipeError, did_you_mean
from mmalign.grid import (
    FIXED,
    combinations,
    drop,
    lay,
    read_grid,
    read_named,
    refuse_fixed,
    refuse_only,
)
from mmalign.plugins import Registry
from mmalign.tables import MOST, Reader, Recipe, RunSettings

# Of [protocol], what changes the question only, and of [protocol.mix]: cells that differ in
# nothing else share a representation.
EVALUATES, UNSEEN = ("search", "shots", "draws"), ("unseen",)


@dataclass(frozen=True)
class Cell:
    """One cell: its name, what it sets, and its recipe.

    ``part`` is what a figure takes it for: the parts that a named cell says it belongs to,
    or its own name where a grid is laid over it. ``at`` is the number that it says it
    stands at, such as the one weight that its curve varies. ``seeds`` is how many of the
    sweep's seeds it is run with, where it says so.
    """

    name: str
    sets: Mapping[str, Any]
    recipe: Recipe
    part: tuple[str, ...] = ()
    at: float | None = None
    seeds: int | None = None

    @property
    def table(self) -> dict[str, Any]:
        """The resolved table without what no number of a seed depends on."""
        table = deepcopy(dict(self.recipe.table))
        for key in ("target", "targets"):
            table.get("report", {}).pop(key, None)
        for key in ("seeds", "threads", "checkpoint", "trackers"):
            table.get("run", {}).pop(key, None)
        return table

    @property
    def folder(self) -> str:
        """A name that a reader knows again and that no other cell has."""
        words = re.sub(r"[^A-Za-z0-9.=+-]+", "_", self.name).strip("_.")[:60]
        return f"{words or 'cell'}-{digest(self.table)}"

    @property
    def representation(self) -> str:
        """The same for cells that differ only in the head or in what is evaluated."""
        table = {k: v for k, v in self.table.items() if k not in ("head", "report")}
        protocol = _less(table.get("protocol", {}), EVALUATES)
        if isinstance(protocol.get("mix"), Mapping):
            protocol["mix"] = _less(protocol["mix"], UNSEEN)
        for kind in ("dataset", "method"):
            afterwards = getattr(getattr(self.recipe, kind), "afterwards", ())
            table[kind] = _less(table[kind], afterwards)
        return digest({**table, "protocol": protocol})

    def value(self, key: str) -> Any:
        """What the cell's resolved recipe holds at a dotted key, or None."""
        here: Any = self.recipe.table
        for step in key.split("."):
            if not isinstance(here, Mapping) or step not in here:
                return None
            here = here[step]
        return here


@dataclass(frozen=True)
class Sweep:
    """All the cells, their seeds, and the keys in which they differ.

    With ``skips`` a cell whose data is not here is left out.
    """

    cells: tuple[Cell, ...]
    keys: tuple[str, ...]
    seeds: tuple[int, ...]
    models: bool = False
    skips: bool = False


def _less(table: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if key not in keys}


def digest(table: Mapping[str, Any]) -> str:
    """Eight letters that stand for a table."""
    return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()[:8]


def expand(recipe: Recipe, registry: Registry) -> Sweep:
    """The cells of a recipe's [sweep]. Raises RecipeError with every mistake of every cell."""
    given = recipe.sweep or {}
    problems: list[str] = []
    grid = read_grid(given, problems)
    named = read_named(given, problems)
    if not grid and not named and not problems:
        problems.append("sweep: nothing varies; give a key a list of values, or name cells")
    refuse_only(named, grid, problems)
    set_by_name = [key for each in named.values() for key in each.sets]
    refuse_fixed([*grid, *set_by_name], problems)
    for name, each in named.items():
        problems += [
            f"sweep.cells.{name}: '{key}' is in the grid too; say it once"
            for key in each.sets
            if key in grid
        ]
    seeds = _seeds(given.get("seeds", recipe.run.seeds), problems)
    models = given.get("models", False)
    if not isinstance(models, bool):
        problems.append(f"sweep.models: true or false was expected (got {models!r})")
    absent = given.get("absent", "fail")
    if absent not in ("fail", "skip"):
        problems.append(f"sweep.absent: 'fail' or 'skip' was expected (got {absent!r})")
    if problems:
        raise RecipeError(recipe.name, problems)
    many = max(1, len(named)) * math.prod(map(len, grid.values()))
    if many > MOST:
        raise RecipeError(recipe.name, [f"sweep: {many:,} cells are asked for; {MOST:,} at most"])
    cells = []
    for own, name, each in combinations(grid, named):
        cell = _cell(name, recipe, registry, each.without, each.sets, problems)
        part = each.part or ((own,) if grid and own else ())
        if cell is not None:
            cells.append(replace(cell, part=part, at=each.at, seeds=each.seeds))
    problems += _repeated(cells)
    keys = dict.fromkeys([*grid, *set_by_name])
    shown = tuple(key for key in keys if not key.startswith("report."))
    problems += _figure(recipe, shown, cells)
    if problems:
        raise RecipeError(recipe.name, problems)
    return Sweep(tuple(cells), shown, seeds, models, absent == "skip")


def _figure(recipe: Recipe, keys: Sequence[str], cells: Sequence[Cell]) -> list[str]:
    """What the figure asks for and the sweep does not vary."""
    known = ["cell", "variant", *keys]
    known += ["part"] if cells and all(cell.part for cell in cells) else []
    known += ["at"] if cells and all(cell.at is not None for cell in cells) else []
    asked = recipe.figure.keys if recipe.figure else ()
    return [
        f"figure: '{key}' does not vary in this sweep; {did_you_mean(key, known)}"
        for key in asked
        if key not in known
    ]


def laid_over(
    base: Recipe, sets: Mapping[str, Any], registry: Registry, without: Sequence[str] = ()
) -> tuple[Recipe | None, list[str]]:
    """The plain recipe below a sweep or search, with keys set and tables left out.

    Returns it, or None with what is wrong.
    """
    table = {k: deepcopy(v) for k, v in base.given.items() if k not in FIXED}
    problems = [
        f"without '{path}': there is no such table" for path in without if not drop(table, path)
    ]
    for key, value in sets.items():
        try:
            lay(table, key, deepcopy(value))
        except MmalignError as error:
            problems.append(str(error))
    reader = Reader(registry)
    recipe = reader.recipe(base.name, table)
    problems += reader.problems
    return (None if problems else recipe), problems


def _cell(
    name: str,
    base: Recipe,
    registry: Registry,
    without: Sequence[str],
    sets: Mapping[str, Any],
    problems: list[str],
) -> Cell | None:
    """One cell; what is wrong with it goes to ``problems``, under its name."""
    recipe, mine = laid_over(base, sets, registry, without)
    problems += [f"cell '{name}': {problem}" for problem in mine]
    return None if mine or recipe is None else Cell(name, sets, recipe)


def _seeds(given: Any, problems: list[str]) -> tuple[int, ...]:
    made, wrong = build(RunSettings, {"seeds": given}, "sweep")
    problems += wrong
    if made is None:
        return ()
    return tuple(range(made.seeds)) if isinstance(made.seeds, int) else made.seeds


def _repeated(cells: Sequence[Cell]) -> list[str]:
    """Cells that would be the same run."""
    first: dict[str, str] = {}
    problems = []
    for cell in cells:
        other = first.setdefault(digest(cell.table), cell.name)
        if other != cell.name:
            problems.append(f"cells '{other}' and '{cell.name}' are the same run")
    names = [cell.name for cell in cells]
    problems += [f"two cells are named '{n}'" for n in dict.fromkeys(names) if names.count(n) > 1]
    return problems
