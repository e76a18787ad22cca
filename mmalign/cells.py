"""A sweep's cells: the recipes that a [sweep] table makes of one recipe."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

from mmalign.component import build
from mmalign.errors import MmalignError, RecipeError, did_you_mean
from mmalign.grid import FIXED, combinations, drop, lay, read_grid, read_named, refuse_fixed
from mmalign.plugins import Registry
from mmalign.tables import Reader, Recipe, RunSettings

# Of [protocol], what changes the question only: cells that differ in nothing else share a
# representation.
EVALUATES = ("search", "shots", "draws")


@dataclass(frozen=True)
class Cell:
    """One cell: its name, what it sets, and its recipe.

    ``part`` is the name that the recipe gave, where a grid is laid over named cells.
    """

    name: str
    sets: Mapping[str, Any]
    recipe: Recipe
    part: str = ""

    @property
    def table(self) -> dict[str, Any]:
        """The resolved table without what no number depends on: targets, seeds, threads."""
        table = deepcopy(dict(self.recipe.table))
        table.get("report", {}).pop("target", None)
        for key in ("seeds", "threads"):
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
        protocol = table.get("protocol", {})
        table["protocol"] = {k: v for k, v in protocol.items() if k not in EVALUATES}
        return digest(table)

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
    """All the cells, their seeds, and the keys in which they differ."""

    cells: tuple[Cell, ...]
    keys: tuple[str, ...]
    seeds: tuple[int, ...]
    models: bool = False


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
    refuse_fixed([*grid, *(key for _, sets in named.values() for key in sets)], problems)
    for name, (_, sets) in named.items():
        problems += [
            f"sweep.cells.{name}: '{key}' is in the grid too; say it once"
            for key in sets
            if key in grid
        ]
    seeds = _seeds(given.get("seeds", recipe.run.seeds), problems)
    models = given.get("models", False)
    if not isinstance(models, bool):
        problems.append(f"sweep.models: true or false was expected (got {models!r})")
    if problems:
        raise RecipeError(recipe.name, problems)
    cells = []
    for part, name, without, sets in combinations(grid, named):
        cell = _cell(name, recipe, registry, without, sets, problems)
        cells += [replace(cell, part=part if grid else "")] if cell is not None else []
    problems += _repeated(cells)
    keys = dict.fromkeys([*grid, *(key for _, sets in named.values() for key in sets)])
    shown = tuple(key for key in keys if not key.startswith("report."))
    problems += _figure(recipe, shown)
    if problems:
        raise RecipeError(recipe.name, problems)
    return Sweep(tuple(cells), shown, seeds, models)


def _figure(recipe: Recipe, keys: Sequence[str]) -> list[str]:
    """What the figure asks for and the sweep does not vary."""
    known = ["cell", "variant", *keys]
    if "cells" in (recipe.sweep or {}):
        known.append("part")
    asked = recipe.figure.keys if recipe.figure else ()
    return [
        f"figure: '{key}' does not vary in this sweep; {did_you_mean(key, known)}"
        for key in asked
        if key not in known
    ]


def _cell(
    name: str,
    base: Recipe,
    registry: Registry,
    without: Sequence[str],
    sets: Mapping[str, Any],
    problems: list[str],
) -> Cell | None:
    """One cell; what is wrong with it goes to ``problems``, under its name."""
    table = {k: deepcopy(v) for k, v in base.given.items() if k not in FIXED}
    mine = [
        f"without '{path}': there is no such table" for path in without if not drop(table, path)
    ]
    for key, value in sets.items():
        try:
            lay(table, key, deepcopy(value))
        except MmalignError as error:
            mine.append(str(error))
    reader = Reader(registry)
    recipe = reader.recipe(base.name, table)
    mine += reader.problems
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
