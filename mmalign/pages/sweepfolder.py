"""A sweep's folder: its table, and what of it can be told without choosing on test rows."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any
from urllib.parse import quote

from mmalign.errors import MmalignError
from mmalign.jsonfile import read_json
from mmalign.pages import PAGE
from mmalign.pages.marks import finite
from mmalign.report import METRICS, Statistic, statistic

SAID = "sweep.json"  # what a sweep's page says and its table does not
PUBLISHED = "published_"


@dataclass(frozen=True)
class Link:
    """A run of a cell: its name, and where its page lies from the sweep's, or nothing."""

    name: str
    address: str
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class CellRow:
    """A cell, or a variant of one; metrics in [0, 1], as they are in results.csv.

    ``validation`` is what its choices reached on the validation protocol, a mean over the seeds,
    None where nothing was chosen.
    """

    name: str
    variant: str
    settings: Mapping[str, str]
    metrics: Mapping[str, Statistic]
    published: Mapping[str, float]
    links: tuple[Link, ...]
    seconds: float
    validation: float | None = None
    oracle: bool = False


@dataclass(frozen=True)
class Told:
    """What a sweep tells its page besides the table: jobs, those that failed and why, notes."""

    recipe: str = ""
    jobs: int = 0
    done: int = 0
    failed: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SweepFolder:
    """A sweep as its page shows it."""

    rows: tuple[CellRow, ...]
    metrics: tuple[str, ...]
    told: Told = field(default_factory=Told)
    split: str = ""


def read_sweep(folder: Path) -> SweepFolder:
    """Read results.csv and the reports of its cells. Raises MmalignError for another table."""
    path = folder / "results.csv"
    try:
        with path.open(newline="", encoding="utf-8") as file:
            table = list(csv.DictReader(file))
        groups: dict[tuple[str, str], list[dict[str, str]]] = {}
        for row in table:
            groups.setdefault((row["cell"], row["variant"]), []).append(row)
        reports: dict[str, tuple[str, Mapping[str, Any]]] = {}
        rows = tuple(_row(folder, key, group, reports) for key, group in groups.items())
        splits = {_split(report) for _, report in reports.values()}
    except (OSError, LookupError, TypeError, AttributeError, ValueError, csv.Error) as error:
        raise MmalignError(f"{path}: no table of a sweep ({error!r:.200})") from None
    metrics = tuple(name for name in METRICS if any(name in row.metrics for row in rows))
    return SweepFolder(rows, metrics, _told(folder), splits.pop() if len(splits) == 1 else "")


def _told(folder: Path) -> Told:
    """What the sweep told; nothing where an older mmalign wrote it, or another hand."""
    try:
        said = read_json(folder / SAID)
        return Told(
            str(said["recipe"]),
            int(said["jobs"]),
            int(said["done"]),
            tuple((str(title), str(why)) for title, why in said["failed"]),
            tuple(str(note) for note in said["notes"]),
        )
    except (MmalignError, LookupError, TypeError, ValueError, ArithmeticError):
        return Told()


def _row(
    folder: Path,
    key: tuple[str, str],
    group: Sequence[Mapping[str, str]],
    reports: dict[str, tuple[str, Mapping[str, Any]]],
) -> CellRow:
    names = list(group[0])
    over: dict[str, Statistic] = {}
    for name in METRICS:
        if all(row.get(name) for row in group):
            over[name] = statistic([finite(row[name]) for row in group])
    goals = {n: finite(group[0][PUBLISHED + n]) for n in METRICS if group[0].get(PUBLISHED + n)}
    links, found = [], []
    for row in group:
        place = row["folder"]
        if place not in reports:
            reports[place] = _report(folder, place)
        address, report = reports[place]
        if report:
            found.append(report)
        draw = f", draw {row['draw']}" if row.get("draw") else ""
        mine = {name: finite(row[name]) for name in METRICS if row.get(name)}
        links.append(Link(f"seed {row['seed']}{draw}", address, mine))
    seconds = {row["seed"]: float(row["seconds"]) for row in group}
    chosen = [value for report in found for value in validated(report)]
    first = {"cell", "part", "at"}
    settings = names[: names.index("seed")]
    return CellRow(
        key[0],
        key[1],
        {name: group[0][name] for name in settings if name not in first and group[0][name]},
        over,
        goals,
        tuple(links),
        fmean(seconds.values()),
        fmean(chosen) if chosen and not key[1] else None,
        any(str(note).startswith("ORACLE") for report in found for note in report["notes"]),
    )


def _report(folder: Path, place: str) -> tuple[str, Mapping[str, Any]]:
    """Where a job's page lies from the sweep's, and its report; nothing outside is read."""
    home = run_folder(folder, place)
    if home is None:
        return "", {}
    try:
        report = read_json(home / "report.json")
    except MmalignError:
        report = {}
    page = home / PAGE
    address = quote(page.relative_to(folder.resolve()).as_posix()) if page.is_file() else ""
    return address, report if isinstance(report, dict) else {}


def run_folder(folder: Path, place: str) -> Path | None:
    """The folder of a finished job's run; None where there is none within the sweep's folder."""
    try:
        run = str(read_json(folder / place / "done.json")["run"])
        home = (folder / place / run).resolve()
        return home if home.is_relative_to(folder.resolve()) else None
    except (MmalignError, LookupError, TypeError, OSError, ValueError):
        return None


def _split(report: Mapping[str, Any]) -> str:
    return str(report["recipe_table"]["protocol"]["split"]) if report else ""


def validated(report: Mapping[str, Any]) -> list[float]:
    """The H that the choices of each of its runs reached on the validation protocol."""
    found = []
    for run in report["runs"]:
        facts = run["facts"]
        choice, chosen = facts.get("choice") or {}, facts.get("chosen") or {}
        if isinstance(each := choice.get("validation_H"), list) and each:
            found.append(float(max(each)))
        elif chosen.get("by") == "validation" and "value" in chosen.get("H", ()):
            found.append(float(chosen["H"]["value"]))
    return found
