"""The page of a sweep: its table and figure, and the way to each run's own page."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmalign.pages.intervals import Row, intervals
from mmalign.pages.limits import Limits
from mmalign.pages.marks import clean
from mmalign.pages.render import rendered, write
from mmalign.pages.sweepfolder import CellRow, Link, SweepFolder, read_sweep
from mmalign.report import Statistic
from mmalign.summary import EXTRA

PICTURE = 1_500_000  # bytes of a figure that a page holds
DRAWN = 40  # cells in our own figure


@dataclass(frozen=True)
class Shown:
    """A line of the table; numbers in per cent."""

    name: str
    cells: tuple[Row | None, ...]
    validation: float | None
    seconds: float
    links: tuple[Link, ...]
    best: bool
    oracle: bool

    @property
    def main(self) -> Row | None:
        """The metric that sums it up."""
        return next((row for row in self.cells if row is not None and row.main), None)


def write_sweep_page(folder: Path) -> None:
    """Write report.html of the sweep in this folder."""
    write(folder, lambda: sweep_page(folder))


def sweep_page(folder: Path) -> bytes:
    """The page. Raises MmalignError where there is no table of a sweep."""
    sweep = read_sweep(folder)
    return rendered("sweep.html", lambda limits: shown(sweep, folder, limits))


def shown(sweep: SweepFolder, folder: Path, limits: Limits) -> dict[str, Any]:
    """All that the template asks for."""
    name = clean(sweep.told.recipe or folder.resolve().parent.name, 120)
    metrics = [m for m in sweep.metrics if not ("S" in sweep.metrics and m in EXTRA)]
    main = next((m for m in ("H", "U", "T1", "S") if m in metrics), "")
    best, why = chosen(sweep, main)
    lines = [_line(row, metrics, main, row is best) for row in sweep.rows[: limits.cells]]
    failed = [(clean(title, 200), clean(why, 1500)) for title, why in sweep.told.failed]
    drawn = [replace(line.main, name=line.name) for line in lines[:DRAWN] if line.main is not None]
    picture = _picture(folder)
    return {
        "title": f"{name} · sweep",
        "name": name,
        "sentence": sentence(sweep, main, lines),
        "notes": [clean(note, 1500) for note in sweep.told.notes][: limits.notes],
        "failed": failed[: limits.listed],
        "more_failed": max(0, len(failed) - limits.listed),
        "metrics": metrics,
        "main": main,
        "lines": lines,
        "left": max(0, len(sweep.rows) - limits.cells),
        "goals": any(row.published for row in sweep.rows),
        "validated": any(line.validation is not None for line in lines),
        "best": clean(best.name) if best is not None else "",
        "why": why,
        "drawn": intervals("figure-cells", drawn, f"{main} of each cell", stacked=True)
        if drawn
        else None,
        "undrawn": max(0, len(lines) - DRAWN),
        "picture": picture,
        "settings": settings(sweep.rows[: limits.cells]),
        "most_runs": max(1, 2 * limits.cells // max(1, len(lines))),
    }


def _line(row: CellRow, metrics: Sequence[str], main: str, best: bool) -> Shown:
    name = clean(f"{row.name} [{row.variant}]" if row.variant else row.name, 160)
    cells = tuple(
        _row(m, row.metrics[m], row.published.get(m), m == main) if m in row.metrics else None
        for m in metrics
    )
    validation = None if row.validation is None else 100 * row.validation
    return Shown(name, cells, validation, row.seconds, row.links, best, row.oracle)


def _row(name: str, over: Statistic, goal: float | None, main: bool) -> Row:
    return Row(
        name,
        100 * over.mean,
        None if over.ci95 is None else 100 * over.ci95,
        None if over.std is None else 100 * over.std,
        tuple(100 * run for run in over.runs),
        None if goal is None else 100 * goal,
        main,
    )


def chosen(sweep: SweepFolder, main: str) -> tuple[CellRow | None, str]:
    """The best cell by what was measured on validation classes, never by a test row; and why."""
    plain = [row for row in sweep.rows if not row.variant and not row.oracle]
    if sweep.split == "validation":
        those = [row for row in plain if main in row.metrics]
        if len(those) > 1:
            best = max(those, key=lambda row: row.metrics[main].mean)
            return best, f"by {main}, which was measured on the validation classes"
        return None, ""
    valid = [row for row in plain if row.validation is not None]
    if len(valid) < 2:
        return None, (
            "these are test rows, by which nothing is chosen, and too few cells measured H on"
            " validation classes"
        )
    best = max(valid, key=lambda row: row.validation or 0.0)
    silent = len(plain) - len(valid)
    aside = f"; {_count(silent, 'cell')} measured none, and cannot win" if silent else ""
    return best, f"by H on the validation classes, never by the test rows in this table{aside}"


def sentence(sweep: SweepFolder, main: str, lines: Sequence[Shown]) -> str:
    """What there is, in one sentence."""
    runs = {(row.name, link.name) for row in sweep.rows for link in row.links}
    cells = {row.name for row in sweep.rows}
    said = f"{_count(len(cells), 'cell')}, {_count(len(runs), 'run')}"
    if told := sweep.told.jobs:
        said += f"; {sweep.told.done} of {_count(told, 'job')} done"
        said += f", {len(sweep.told.failed)} failed" if sweep.told.failed else ""
    values = [line.main.mean for line in lines if line.main is not None]
    span = f"; {main} from {min(values):.1f} to {max(values):.1f} %" if values else ""
    return f"{said}{span}."


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def settings(rows: Sequence[CellRow]) -> dict[str, Any]:
    """The keys whose values differ, and each cell's values."""
    plain = [row for row in rows if not row.variant]
    keys = list(dict.fromkeys(key for row in plain for key in row.settings))
    keys = [key for key in keys if len({row.settings.get(key) for row in plain}) > 1]
    return {
        "keys": [clean(key) for key in keys],
        "rows": [
            (clean(row.name, 160), [clean(row.settings.get(key, "")) for key in keys])
            for row in plain
        ],
    }


def _picture(folder: Path) -> Mapping[str, str] | None:
    """The recipe's own figure as a data URI; as a picture, whose scripts no browser runs."""
    for name, kind in (("figure.svg", "image/svg+xml"), ("figure.png", "image/png")):
        path = folder / name
        if path.is_file() and path.stat().st_size <= PICTURE:
            content = base64.b64encode(path.read_bytes()).decode("ascii")
            return {"name": name, "address": f"data:{kind};base64,{content}"}
    return None
