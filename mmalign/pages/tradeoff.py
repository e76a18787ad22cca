"""The seen-unseen accuracy curve of each run, whose area is AUSUC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from mmalign.pages.marks import clean, drawing, el, line, mark, path, text
from mmalign.pages.palette import SERIES
from mmalign.pages.scales import Scale, label

WIDTH, HEIGHT = 580, 520
LEVELS = (10, 20, 30, 40, 50, 60, 70, 80, 90)  # of H, in per cent
SHOWN = 7  # runs by name in the legend


@dataclass(frozen=True)
class Spot:
    """A point (U, S) in per cent that is marked, and its name and shape."""

    name: str
    u: float
    s: float
    shape: str
    series: int


@dataclass(frozen=True)
class Run:
    """One run's curve, points (U, S) in per cent."""

    name: str
    points: tuple[tuple[float, float], ...]


def tradeoff(ident: str, runs: Sequence[Run], spots: Sequence[Spot]) -> Markup:
    """The figure: curves, marked points, and faint lines of equal H."""
    left, right, top, bottom = 62, WIDTH - 48, 16, HEIGHT - 92
    legend, rows = _legend(spots, HEIGHT - 12)
    most_u = max([u for run in runs for u, _ in run.points] + [spot.u for spot in spots])
    most_s = max([s for run in runs for _, s in run.points] + [spot.s for spot in spots])
    across = Scale(0, _tens(most_u), left, right)
    up = Scale(0, _tens(most_s), bottom, top)
    body: list[Markup] = []
    for tick in across.ticks():
        body.append(line(across(tick), top, across(tick), bottom, "grid"))
        body.append(text(across(tick), bottom + 22, label(tick), "tick", "middle"))
    for tick in up.ticks():
        body.append(line(left, up(tick), right, up(tick), "grid"))
        body.append(text(left - 8, up(tick) + 5, label(tick), "tick", "end"))
    body += _levels(across, up)
    body.append(text((left + right) / 2, bottom + 46, "U: unseen classes right, %", "", "middle"))
    turned = f"rotate(-90 16 {(top + bottom) / 2:g})"
    about = {"x": 16, "y": (top + bottom) / 2, "text_anchor": "middle", "transform": turned}
    body.append(el("text", "S: seen classes right, %", **about))
    for place, run in enumerate(runs):
        places = [(across(u), up(s)) for u, s in run.points]
        body.append(path(places, f"k{place % SERIES} curve", clean(run.name)))
    for spot in spots:
        said = el("title", f"{clean(spot.name)}: U = {spot.u:.1f} %, S = {spot.s:.1f} %")
        at, size = (across(spot.u), up(spot.s)), 6.5
        body.append(mark(spot.shape, *at, size, f"f{spot.series} ringed", said))
    body += legend
    described = "; ".join(
        f"{clean(spot.name)} at U {spot.u:.1f}, S {spot.s:.1f} per cent" for spot in spots[:9]
    )
    title = "Accuracy of seen against unseen classes as a bias on the seen ones grows"
    return drawing(ident, WIDTH, HEIGHT + 28 * (rows - 1), title, described, body, "tradeoff")


def _tens(value: float) -> float:
    return float(min(100, max(10, 10 * -(-value // 10))))


def _levels(across: Scale, up: Scale) -> list[Markup]:
    """Lines of equal H, as far as they are within; each has its number at its right end."""
    body = []
    for h in LEVELS:
        if 2 * up.high <= h or 2 * across.high <= h:
            continue
        first = h * up.high / (2 * up.high - h)
        if first < across.high:
            us = [first * (across.high / first) ** (i / 40) for i in range(41)]
            places = [(across(u), up(h * u / (2 * u - h))) for u in us]
            body.append(path(places, "level"))
            body.append(text(across.end + 5, places[-1][1] + 4, f"H {h}", "faint"))
    return body


def _legend(spots: Sequence[Spot], y: float) -> tuple[list[Markup], int]:
    """Each kind of marked point once, and how many rows they take."""
    kinds = {spot.name.partition(" (")[0]: spot for spot in spots}
    body: list[Markup] = []
    x, rows = 70.0, 1
    for name, spot in kinds.items():
        wide = 46 + 9.8 * len(clean(name, 40))
        if x > 70 and x + wide > WIDTH:
            x, y, rows = 70.0, y + 28, rows + 1
        body.append(mark(spot.shape, x, y - 5, 6.5, f"f{spot.series} ringed"))
        body.append(text(x + 16, y, clean(name, 40), "key"))
        x += wide
    return body, rows
