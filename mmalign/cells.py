"""A sweep's cells: the recipes that a [sweep] table makes of one recipe."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

from mmalign.component import build
from mmalign.errors import MmalignError, RecipeError, did_you_mean
from mmalign.plugins import Registry
from mmalign.tables import Reader, Recipe, RunSettings

# Of a [sweep] these are no keys of the recipe.
OWN = ("seeds", "cells", "models")
# What a sweep may not change: its own tables, and what it says in another way.
FIXED = ("sweep", "figure", "tune", "run.seeds")
# Of [protocol], what changes the question only, and of [protocol.mix]: cells that differ in
# nothing else share a representation.
EVALUATES, UNSEEN = ("search", "shots", "draws"), ("unseen",)


@dataclass(frozen=True)
class Cell:
    """One cell: its name, what it sets, and its recipe.

    ``part`` is what a figure takes it for: the parts that a named cell says it belongs to,
    or its own name where a grid is laid over it. ``at`` is the number that it says it
    stands at, such as the one weight that its curve varies.
    """

    name: str
    sets: Mapping[str, Any]
    recipe: Recipe
    part: tuple[str, ...] = ()
    at: float | None = None

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
        protocol = _less(table.get("protocol", {}), EVALUATES)
        if isinstance(protocol.get("mix"), Mapping):
            protocol["mix"] = _less(protocol["mix"], UNSEEN)
        afterwards = getattr(self.recipe.method, "afterwards", ())
        return digest({**table, "protocol": protocol, "method": _less(table["method"], afterwards)})

    def value(self, key: str) -> Any:
        """What the cell's resolved recipe holds at a dotted key, or None."""
        here: Any = self.recipe.table
        for step in key.split("."):
            if not isinstance(here, Mapping) or step not in here:
                return None
            here = here[step]
        return here


@dataclass(frozen=True)
class Named:
    """What a [sweep.cells.NAME] says: tables left out, keys set, its parts and its number."""

    without: tuple[str, ...] = ()
    sets: Mapping[str, Any] = field(default_factory=dict)
    part: tuple[str, ...] = ()
    at: float | None = None


@dataclass(frozen=True)
class Sweep:
    """All the cells, their seeds, and the keys in which they differ."""

    cells: tuple[Cell, ...]
    keys: tuple[str, ...]
    seeds: tuple[int, ...]
    models: bool = False


def _less(table: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if key not in keys}


def digest(table: Mapping[str, Any]) -> str:
    """Eight letters that stand for a table."""
    return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()[:8]


def expand(recipe: Recipe, registry: Registry) -> Sweep:
    """The cells of a recipe's [sweep]. Raises RecipeError with every mistake of every cell."""
    given = recipe.sweep or {}
    problems: list[str] = []
    grid = _grid(given, problems)
    named = _named(given, problems)
    if not grid and not named and not problems:
        problems.append("sweep: nothing varies; give a key a list of values, or name cells")
    set_by_name = [key for each in named.values() for key in each.sets]
    _refuse_fixed([*grid, *set_by_name], problems)
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
    if problems:
        raise RecipeError(recipe.name, problems)
    cells = []
    for own, name, each in _combinations(grid, named):
        cell = _cell(name, recipe, registry, each.without, each.sets, problems)
        part = each.part or ((own,) if grid and own else ())
        cells += [replace(cell, part=part, at=each.at)] if cell is not None else []
    problems += _repeated(cells)
    keys = dict.fromkeys([*grid, *set_by_name])
    shown = tuple(key for key in keys if not key.startswith("report."))
    problems += _figure(recipe, shown, cells)
    if problems:
        raise RecipeError(recipe.name, problems)
    return Sweep(tuple(cells), shown, seeds, models)


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


def flat(table: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys with their values: a key that is written with a dot ends the path.

    ``"loss.cross.weight" = { to = 1.0 }`` is one value, ``[loss.cross] weight = 1.0`` in
    nested tables is the value ``1.0`` of the same key.
    """
    for key, value in table.items():
        whole = f"{path}.{key}" if path else key
        if isinstance(value, Mapping) and "." not in key:
            yield from flat(value, whole)
        else:
            yield whole, value


def _grid(given: Mapping[str, Any], problems: list[str]) -> dict[str, list[Any]]:
    grid = {}
    for key, values in flat({k: v for k, v in given.items() if k not in OWN}):
        if not isinstance(values, list) or not values:
            problems.append(f"sweep.{key}: a list of values was expected (got {values!r})")
        elif any(value in values[:place] for place, value in enumerate(values)):
            problems.append(f"sweep.{key}: each value once")
        else:
            grid[key] = values
    return grid


def _named(given: Mapping[str, Any], problems: list[str]) -> dict[str, Named]:
    """What each named cell says."""
    cells = given.get("cells", {})
    if not isinstance(cells, Mapping) or ("cells" in given and not cells):
        problems.append("sweep.cells: tables [sweep.cells.NAME] were expected")
        return {}
    named = {}
    for name, table in cells.items():
        path = f"sweep.cells.{name}"
        if not isinstance(table, Mapping):
            problems.append(f"{path}: a table was expected (got {table!r})")
            continue
        without, part = table.get("without", []), table.get("part", [])
        part = [part] if isinstance(part, str) else part
        for key, value in (("without", without), ("part", part)):
            if not isinstance(value, list) or not all(isinstance(v, str) and v for v in value):
                problems.append(f"{path}.{key}: a list of names was expected (got {value!r})")
        at = table.get("at")
        if at is not None and (isinstance(at, bool) or not isinstance(at, (int, float))):
            problems.append(f"{path}.at: a number was expected (got {at!r})")
        sets = dict(flat({k: v for k, v in table.items() if k not in ("without", "part", "at")}))
        if isinstance(without, list) and isinstance(part, list):
            named[name] = Named(tuple(without), sets, tuple(part), at)
    return named


def _refuse_fixed(keys: Sequence[str], problems: list[str]) -> None:
    for key in dict.fromkeys(keys):
        if any(key == fixed or key.startswith(f"{fixed}.") for fixed in FIXED):
            instead = "; sweep.seeds says it for all cells" if key == "run.seeds" else ""
            problems.append(f"sweep: '{key}' cannot be varied{instead}")


def _seeds(given: Any, problems: list[str]) -> tuple[int, ...]:
    made, wrong = build(RunSettings, {"seeds": given}, "sweep")
    problems += wrong
    if made is None:
        return ()
    return tuple(range(made.seeds)) if isinstance(made.seeds, int) else made.seeds


def _combinations(
    grid: Mapping[str, list[Any]], named: Mapping[str, Named]
) -> Iterator[tuple[str, str, Named]]:
    """Every named cell with every point of the grid: its own name, both names, what is set."""
    short = _short(list(grid))
    for name, each in (named or {"": Named()}).items():
        for values in itertools.product(*grid.values()):
            point = dict(zip(grid, values, strict=True))
            words = [name] if name else []
            words += [f"{short[key]}={_word(value)}" for key, value in point.items()]
            yield name, ", ".join(words), replace(each, sets={**each.sets, **point})


def _short(keys: Sequence[str]) -> dict[str, str]:
    """Each dotted key's shortest end that no other key has."""
    short = {}
    for key in keys:
        steps = key.split(".")
        ends = [".".join(steps[-count:]) for count in range(1, len(steps) + 1)]
        others = [f".{other}" for other in keys if other != key]
        short[key] = next((e for e in ends if not any(o.endswith(f".{e}") for o in others)), key)
    return short


def _word(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{key} {_word(each)}" for key, each in value.items())
    if isinstance(value, list):
        return "x".join(map(_word, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


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
        f"without '{path}': there is no such table" for path in without if not _drop(table, path)
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


def lay(table: dict[str, Any], key: str, value: Any) -> None:
    """Put a value at a dotted key. Raises MmalignError where the path meets no table."""
    *path, last = key.split(".")
    for step in path:
        table = table.setdefault(step, {})
        if not isinstance(table, dict):
            raise MmalignError(f"{key}: '{step}' is no table")
    table[last] = value


def _drop(table: dict[str, Any], key: str) -> bool:
    *path, last = key.split(".")
    for step in path:
        table = table.get(step, {})
        if not isinstance(table, dict):
            return False
    return table.pop(last, None) is not None


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
