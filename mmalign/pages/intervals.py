"""Means with their intervals, single runs and published marks, a row each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from mmalign.pages.marks import clean, drawing, el, line, mark, text
from mmalign.pages.scales import Scale, label, per_cent

WIDTH, STEP, VALUE, GAP = 760, 40, 140, 34


@dataclass(frozen=True)
class Row:
    """A mean in per cent; ``half`` of its 95 % interval, the runs, and what was published.

    Rows of one ``group`` have its name above them.
    """

    name: str
    mean: float
    half: float | None = None
    std: float | None = None
    runs: tuple[float, ...] = ()
    target: float | None = None
    main: bool = False
    group: str = ""

    @property
    def said(self) -> str:
        """Mean and standard deviation."""
        return f"{self.mean:.1f}" if self.std is None else f"{self.mean:.1f} ± {self.std:.1f}"


def intervals(ident: str, rows: Sequence[Row], title: str, stacked: bool = False) -> Markup:
    """The figure; ``stacked`` has the names above their rows, where they are long."""
    left, top, step = (8, 20, 54) if stacked else (96, 14, STEP)
    reach = [v for r in rows for v in (r.mean - (r.half or 0), r.mean + (r.half or 0))]
    reach = [min(100.0, max(0.0, v)) for v in reach]
    reach += [v for r in rows for v in (*r.runs, *([] if r.target is None else [r.target]))]
    across = per_cent(reach, left + 10, WIDTH - VALUE - 12)
    places, bottom = _places(rows, top, step)
    body: list[Markup] = []
    for tick in across.ticks():
        x = across(tick)
        body.append(line(x, top - 6, x, bottom, "grid"))
        body.append(text(x, bottom + 22, f"{label(tick)} %", "tick", "middle"))
    before = ""
    for y, row in zip(places, rows, strict=True):
        if row.group != before:
            body.append(text(8, y - step / 2 - 4, f"with {clean(row.group, 50)}", "tick"))
            before = row.group
        if stacked:
            body.append(text(8, y - 6, clean(row.name, 50), "main" if row.main else ""))
            y += 9
        else:
            body.append(text(left - 8, y + 5, row.name, "main" if row.main else "", "end"))
        body += _row(row, y, across)
    body += _legend(rows, bottom + 46)
    described = "; ".join(
        f"{row.name}{row.group and ' with '}{row.group} {row.said} per cent"
        + ("" if row.target is None else f", published {row.target:.1f}")
        for row in rows[:12]
    )
    return drawing(ident, WIDTH, bottom + 62, title, described, body, "intervals")


def _places(rows: Sequence[Row], top: float, step: float) -> tuple[list[float], float]:
    """The middle of each row, with room for the names of groups, and where the last one ends."""
    places, y, before = [], top, ""
    for row in rows:
        y += GAP if row.group != before else 0
        before = row.group
        places.append(y + step / 2)
        y += step
    return places, y


def _row(row: Row, y: float, across: Scale) -> list[Markup]:
    """Its line, interval, runs, mean, target and value."""
    body = [line(across.start, y, across.end, y, "grid")]
    if row.half:
        low, high = across(row.mean - row.half), across(row.mean + row.half)
        said = f"{row.name}: 95 % interval {max(0, row.mean - row.half):.1f} to "
        said += f"{min(100, row.mean + row.half):.1f} %"
        bar = {"x": low, "y": y - 7, "width": max(1.5, high - low), "height": 14, "rx": 3}
        body.append(el("rect", el("title", said), class_="f0 band", **bar))
    body += [
        el("circle", el("title", f"{row.name}: a run, {run:.1f} %"), cx=across(run), cy=y, r=2.6,
           class_="k0 run")
        for run in row.runs
    ] if len(row.runs) > 1 else []  # fmt: skip
    mean = el("title", f"{row.name}: mean {row.said} %")
    body.append(mark("circle", across(row.mean), y, 6.5, "f0 ringed", mean))
    if row.target is not None:
        goal = el("title", f"{row.name}: published {row.target:.1f} %")
        body.append(mark("diamond", across(row.target), y, 6, "k1 goal", goal))
    return [*body, text(WIDTH - 4, y + 5, row.said, "value main" if row.main else "value", "end")]


def _legend(rows: Sequence[Row], y: float) -> list[Markup]:
    """What the marks are, as far as they are there."""
    parts = [("mean", mark("circle", 0, 0, 6, "f0"))]
    if any(row.half for row in rows):
        bar = el("rect", x=-11, y=-6, width=22, height=12, rx=3, class_="f0 band")
        parts.append(("95 % interval", bar))
    if any(len(row.runs) > 1 for row in rows):
        parts.append(("single runs", el("circle", cx=0, cy=0, r=2.6, class_="k0 run")))
    if any(row.target is not None for row in rows):
        parts.append(("published", mark("diamond", 0, 0, 6, "k1 goal")))
    body, x = [], 18.0
    for name, icon in parts:
        body.append(el("g", icon, transform=f"translate({x:g} {y - 5:g})"))
        body.append(text(x + 16, y, name, "key"))
        x += 44 + 14 * len(name)
    return body
