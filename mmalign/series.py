"""The numbers of a figure: rows of a sweep's table as series of points, or as a matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mmalign.errors import MmalignError, did_you_mean
from mmalign.figure import Figure
from mmalign.report import statistic
from mmalign.results import PARTS, PUBLISHED, Row, metrics_of


@dataclass(frozen=True)
class Point:
    """One mean over runs, in per cent.

    ``x`` is what it stands for as text, ``at`` as a number (NaN where it is none). ``std`` is
    0 for a single run.
    """

    x: str
    at: float
    mean: float
    std: float
    count: int
    published: float | None


@dataclass(frozen=True)
class Series:
    """Points of one colour."""

    name: str
    points: tuple[Point, ...]


def known_metrics(figure: Figure, rows: Sequence[Row]) -> None:
    """Raises MmalignError for a metric that no row has."""
    known = metrics_of(rows)
    for name in figure.y:
        if name not in known:
            raise MmalignError(f"figure.y: no metric '{name}' here; {did_you_mean(name, known)}")


def shown(value: Any) -> str:
    """A swept value as text."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def called(figure: Figure, key: str) -> str:
    """What a key is called: by the recipe, or by its last word."""
    return figure.names.get(key, key.rpartition(".")[2].replace("_", " "))


def series(figure: Figure, rows: Sequence[Row], numbers: bool = False) -> list[Series]:
    """A series for each metric, or for each value of ``hue``; means over all other runs.

    With ``numbers`` x must be one. Raises MmalignError for x that is not, and for metrics
    that are not there.
    """
    known_metrics(figure, rows)
    if "part" in figure.keys:  # a cell that stands in several parts is a point of each
        rows = [{**row, "part": part} for row in rows for part in row["part"].split(PARTS)]
    found = []
    for metric in figure.y:
        hues = list(dict.fromkeys(row.get(figure.hue) for row in rows)) if figure.hue else [None]
        for hue in hues:
            mine = [row for row in rows if not figure.hue or row.get(figure.hue) == hue]
            name = metric
            if figure.hue:
                name = shown(hue) or "plain"
                if figure.hue not in ("cell", "part", "variant"):
                    name = f"{called(figure, figure.hue)} = {name}"
            points = _points(figure.x, metric, mine)
            if numbers and any(point.at != point.at for point in points):
                raise MmalignError(f"figure.x: lines need numbers along '{figure.x}'; take bars")
            found.append(Series(figure.names.get(name, name), tuple(points)))
    return found


def _points(key: str, metric: str, rows: Sequence[Row]) -> list[Point]:
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        if isinstance(row.get(metric), float):
            groups.setdefault(row.get(key), []).append(row)
    points = []
    for value, group in groups.items():
        over = statistic([100 * row[metric] for row in group])
        at = float(value) if isinstance(value, (int, float)) else float("nan")
        goals = {row.get(f"{PUBLISHED}{metric}") for row in group}
        goal = goals.pop() if len(goals) == 1 else None
        published = None if goal is None else 100 * goal
        points.append(Point(shown(value), at, over.mean, over.std or 0.0, len(group), published))
    return points


def matrix(figure: Figure, rows: Sequence[Row]) -> tuple[list[str], list[str], list[list[float]]]:
    """Values of x, values of rows, and means in per cent, (rows, x); NaN where no run is."""
    known_metrics(figure, rows)
    across = _ordered({row.get(figure.x) for row in rows})
    up = _ordered({row.get(figure.rows) for row in rows})
    values = []
    for low in up:
        line = []
        for left in across:
            runs = [
                100 * row[figure.y[0]]
                for row in rows
                if row.get(figure.x) == left and row.get(figure.rows) == low
            ]
            line.append(sum(runs) / len(runs) if runs else float("nan"))
        values.append(line)
    return [shown(v) for v in across], [shown(v) for v in up], values


def _ordered(values: set[Any]) -> list[Any]:
    """Numbers by size, then texts by name."""
    return sorted(
        values,
        key=lambda v: (
            not isinstance(v, (int, float)),
            v if isinstance(v, (int, float)) else 0,
            str(v),
        ),
    )
