"""Learning curves: a small figure for each term of each stage, a thin line for each run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from markupsafe import Markup

from mmalign.pages.marks import clean, drawing, el, line, path, text
from mmalign.pages.palette import SERIES
from mmalign.pages.scales import around, label

# By stage and term, by run: (epoch, value).
Points: TypeAlias = list[tuple[float, float]]
Curves: TypeAlias = dict[str, dict[str, dict[str, Points]]]
WIDTH, HEIGHT = 320, 200
STAGES = {
    "validation": "Representation, without the validation classes",
    "representation": "Representation",
    "head.all": "Head, all classes",
    "head.unseen": "Head, unseen classes alone",
    "choice": "The head's epochs, by validation classes",
}


@dataclass(frozen=True)
class Panel:
    """One term's figure, and its first and last values by run."""

    ident: str
    title: str
    figure: Markup
    ends: tuple[tuple[str, float, float, float], ...]  # run, first, last, lowest


@dataclass(frozen=True)
class Stage:
    """The figures of one stage."""

    name: str
    title: str
    panels: tuple[Panel, ...]


def curves_of(epochs: Iterable[Mapping[str, Any]]) -> Curves:
    """The lines of metrics.jsonl as curves; what is no number is left out."""
    found: Curves = {}
    for said in epochs:
        run = f"seed {said['seed']}" + (f", draw {said['draw']}" if "draw" in said else "")
        stage = found.setdefault(str(said["stage"]), {})
        for term, value in said.items():
            if term in ("seed", "draw", "stage", "epoch") or not _finite(value):
                continue
            stage.setdefault(term, {}).setdefault(run, []).append((float(said["epoch"]), value))
    return found


def _finite(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value)


def stages(curves: Curves, points: int, runs: int, panels: int) -> list[Stage]:
    """The figures: at most so many in all, of so many runs and so many points a line."""
    order = [*(name for name in STAGES if name in curves), *(n for n in curves if n not in STAGES)]
    made, left = [], panels
    for number, name in enumerate(order):
        terms = list(curves[name].items())[: max(0, left)]
        left -= len(terms)
        drawn = tuple(
            _panel(f"learning-{number}-{place}", name, term, dict(list(of.items())[:runs]), points)
            for place, (term, of) in enumerate(terms)
            if of
        )
        if drawn:
            made.append(Stage(clean(name), clean(STAGES.get(name, name)), drawn))
    return made


def _panel(ident: str, stage: str, term: str, runs: Mapping[str, Points], most: int) -> Panel:
    left, right, top, bottom = 52, WIDTH - 10, 14, HEIGHT - 34
    every = [point for points in runs.values() for point in points]
    across = around((x for x, _ in every), left, right)
    up = around((y for _, y in every), bottom, top, log=True)
    body: list[Markup] = []
    for tick in up.ticks(4):
        body.append(line(left, up(tick), right, up(tick), "grid"))
        body.append(text(left - 7, up(tick) + 4, label(tick), "tick", "end"))
    for tick in across.ticks(4):
        if tick >= 0:
            body.append(text(across(tick), bottom + 17, label(tick), "tick", "middle"))
    body.append(line(left, bottom, right, bottom, "axis"))
    body.append(text(right, HEIGHT - 4, "epoch", "tick", "end"))
    if up.log:
        body.append(text(left, HEIGHT - 4, "logarithmic", "tick"))
    for place, (run, points) in enumerate(runs.items()):
        for each in passes(points):
            said = f"{run}: {each[0][1]:.4g} to {each[-1][1]:.4g}"
            places = [(across(x), up(y)) for x, y in thinned(each, most)]
            if len(places) == 1:
                ((x, y),), named = places, el("title", clean(said))
                body.append(el("circle", named, cx=x, cy=y, r=3, class_=f"f{place % SERIES}"))
            else:
                body.append(path(places, f"k{place % SERIES} thin", clean(said)))
    ends = tuple(
        (run, points[0][1], points[-1][1], min(y for _, y in points))
        for run, points in runs.items()
    )
    described = "; ".join(f"{run} from {a:.4g} to {b:.4g}" for run, a, b, _ in ends[:6])
    title = f"{clean(term)} over the epochs of stage {clean(stage)}"
    figure = drawing(ident, WIDTH, HEIGHT, title, described, body, "learning")
    return Panel(ident, clean(term), figure, ends)


def passes(points: Points) -> list[Points]:
    """The points by the times that the stage was gone through: epochs begin anew each time.

    A head whose epochs are chosen is fitted on the validation classes first, and then at last.
    """
    found: list[Points] = []
    for point in points:
        if not found or point[0] <= found[-1][-1][0]:
            found.append([])
        found[-1].append(point)
    return found


def thinned(points: Points, most: int) -> Points:
    """At most about so many of the points: of each stretch its lowest and its highest."""
    if len(points) <= most:
        return points
    size = -(-2 * len(points) // most)
    kept: Points = [points[0]]
    for start in range(0, len(points), size):
        stretch = points[start : start + size]
        ends = {min(stretch, key=lambda p: p[1]), max(stretch, key=lambda p: p[1])}
        kept += sorted(ends)
    return [*kept, points[-1]]
