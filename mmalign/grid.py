"""The table [sweep] as it is written: a grid of keys, named cells, and their combinations."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mmalign.errors import MmalignError

# Of a [sweep] these are no keys of the recipe.
OWN = ("seeds", "cells", "models", "absent")
# Of a [sweep.cells.NAME] neither.
CELL = ("without", "only", "part", "at", "seeds")
# What a sweep may not change: its own tables, and what it says in another way.
FIXED = ("sweep", "figure", "tune", "run.seeds")


@dataclass(frozen=True)
class Named:
    """What a [sweep.cells.NAME] says: tables left out, keys set, its parts and its number.

    ``only`` are values of grid keys: the cell is run at no others. ``seeds`` is how many of the
    sweep's seeds it is run with, all by default.
    """

    without: tuple[str, ...] = ()
    only: Mapping[str, list[Any]] = field(default_factory=dict)
    sets: Mapping[str, Any] = field(default_factory=dict)
    part: tuple[str, ...] = ()
    at: float | None = None
    seeds: int | None = None


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


def read_grid(given: Mapping[str, Any], problems: list[str]) -> dict[str, list[Any]]:
    """The dotted keys with their values."""
    grid = {}
    for key, values in flat({k: v for k, v in given.items() if k not in OWN}):
        if not isinstance(values, list) or not values:
            problems.append(f"sweep.{key}: a list of values was expected (got {values!r})")
        elif any(value in values[:place] for place, value in enumerate(values)):
            problems.append(f"sweep.{key}: each value once")
        else:
            grid[key] = values
    return grid


def read_named(given: Mapping[str, Any], problems: list[str]) -> dict[str, Named]:
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
        only = table.get("only", {})
        only = dict(flat(only)) if isinstance(only, Mapping) else only
        if not isinstance(only, dict) or not all(isinstance(v, list) for v in only.values()):
            problems.append(f"{path}.only: lists of values by key were expected (got {only!r})")
            only = {}
        seeds = table.get("seeds")
        if seeds is not None and not (type(seeds) is int and seeds >= 1):
            problems.append(f"{path}.seeds: how many of them was expected (got {seeds!r})")
        sets = dict(flat({k: v for k, v in table.items() if k not in CELL}))
        if isinstance(without, list) and isinstance(part, list):
            named[name] = Named(tuple(without), only, sets, tuple(part), at, seeds)
    return named


def refuse_only(
    named: Mapping[str, Named], grid: Mapping[str, list[Any]], problems: list[str]
) -> None:
    """Refuse cells that are run only where the grid never is."""
    for name, each in named.items():
        for key, values in each.only.items():
            strange = [value for value in values if value not in grid.get(key, [])]
            if key not in grid or strange or not values:
                problems.append(
                    f"sweep.cells.{name}.only: '{key}' is not in the grid"
                    if key not in grid
                    else f"sweep.cells.{name}.only.{key}: the grid has {grid[key]} (got {values})"
                )


def refuse_fixed(keys: Sequence[str], problems: list[str]) -> None:
    """Refuse keys that a sweep says in another way, or that are not of a run."""
    for key in dict.fromkeys(keys):
        if any(key == fixed or key.startswith(f"{fixed}.") for fixed in FIXED):
            instead = "; sweep.seeds says it for all cells" if key == "run.seeds" else ""
            problems.append(f"sweep: '{key}' cannot be varied{instead}")


def combinations(
    grid: Mapping[str, list[Any]], named: Mapping[str, Named]
) -> Iterator[tuple[str, str, Named]]:
    """Every named cell with every point of the grid: its own name, both names, what is set."""
    short = _short(list(grid))
    for name, each in (named or {"": Named()}).items():
        for values in itertools.product(*grid.values()):
            point = dict(zip(grid, values, strict=True))
            if any(point.get(key) not in allowed for key, allowed in each.only.items()):
                continue
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


def lay(table: dict[str, Any], key: str, value: Any) -> None:
    """Put a value at a dotted key. Raises MmalignError where the path meets no table."""
    *path, last = key.split(".")
    for step in path:
        table = table.setdefault(step, {})
        if not isinstance(table, dict):
            raise MmalignError(f"{key}: '{step}' is no table")
    table[last] = value


def drop(table: dict[str, Any], key: str) -> bool:
    """Take a dotted key out; whether it was there."""
    *path, last = key.split(".")
    for step in path:
        table = table.get(step, {})
        if not isinstance(table, dict):
            return False
    return table.pop(last, None) is not None
