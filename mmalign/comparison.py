"""Systems side by side: what finished runs and sweeps say, and a paired test of two."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from scipy.special import stdtr, stdtrit

from mmalign.errors import MmalignError, did_you_mean
from mmalign.job import DONE, Done, finished
from mmalign.jsonfile import read_json
from mmalign.report import METRICS, Statistic, statistic

Run: TypeAlias = tuple[int, int]  # a seed, and a draw of the shots (0 where none are drawn)
MEASURED = ("S", "U", "H", "T1", "AUSUC")
ORACLE = "ORACLE"


@dataclass(frozen=True)
class Line:
    """One system: its metrics in [0, 1] by run, and what is said of it.

    ``seconds`` are of each seed, and do not count a representation that was found where
    ``--reuse`` kept it, if ``reused``; ``published`` are in [0, 1]; ``settings`` are the keys
    that a sweep varies; ``oracle`` says that something was chosen on test rows.
    """

    name: str
    runs: tuple[Run, ...]
    metrics: Mapping[str, tuple[float, ...]]
    seconds: tuple[float, ...]
    parameters: int | None = None
    published: Mapping[str, float] | None = None
    settings: Mapping[str, str] | None = None
    oracle: bool = False
    reused: bool = False

    def over(self, metric: str) -> Statistic | None:
        """A metric over the runs, or None where it was not asked."""
        values = self.metrics.get(metric)
        return statistic(values) if values else None

    def difference(self, metric: str) -> float | None:
        """Reproduced less published, in [-1, 1]."""
        goal, mine = (self.published or {}).get(metric), self.over(metric)
        return None if goal is None or mine is None else mine.mean - goal


def gathered(places: Sequence[str], runs: Path = Path("runs")) -> list[Line]:
    """The lines of recipes and folders, in the order given.

    A folder is a run's, or a sweep's; a recipe is named as it was run, and stands for its
    sweep, or for its latest run, under ``runs``. Raises MmalignError for what is neither,
    what has no result yet, and two lines of one name.
    """
    lines = [line for place in places for line in _lines(_folder(place, runs))]
    names = [line.name for line in lines]
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            raise MmalignError(f"two of these systems are called '{name}'; give one of them only")
    return lines


def _folder(place: str, runs: Path) -> Path:
    """The folder of results that a word on the command line means."""
    given = Path(place)
    with suppress(OSError):
        if given.is_dir() and (given / "results.csv").is_file():
            return given
        if given.is_dir() and (given / "report.json").is_file():
            return given
    name = given.name.removesuffix(".toml")
    for home in (given, runs / name):
        with suppress(OSError):
            if (home / "sweep" / "results.csv").is_file():
                return home / "sweep"
            reports = sorted(home.glob("*/report.json"))
            if reports:
                return reports[-1].parent
    known = [each.name for each in sorted(runs.glob("*")) if each.is_dir()]
    raise MmalignError(
        f"no results of '{place}': it is no folder of a run or a sweep, and {runs / name} has"
        f" none; run it first ({did_you_mean(name, known) if known else 'nothing was run here'})"
    )


def _lines(folder: Path) -> Iterator[Line]:
    if (folder / "results.csv").is_file():
        yield from _of_sweep(folder)
    else:
        yield from _of_run(folder)


def _of_run(folder: Path) -> Iterator[Line]:
    """A run's line, and one for each variant."""
    report = _report(folder)
    try:
        runs: list[Run] = [(int(run["seed"]), int(run.get("draw", 0))) for run in report["runs"]]
        parameters = report["runs"][0]["facts"].get("parameters")
        target = {k: v / 100 for k, v in report["target"].items() if isinstance(v, float)}
        summaries = {"": report["summary"], **report["variants"]}
        for variant, summary in summaries.items():
            yield Line(
                name=f"{report['recipe']} [{variant}]" if variant else report["recipe"],
                runs=tuple(runs),
                metrics={
                    str(name): tuple(map(float, each["runs"])) for name, each in summary.items()
                },
                seconds=(report["seconds"] / len({seed for seed, _ in runs}),),
                parameters=parameters,
                published={} if variant else target,
                oracle=_oracle(report),
            )
    # Whatever another hand has changed in it; none of it is a bug of ours.
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        said = repr(error)[:200]
        raise MmalignError(f"{folder / 'report.json'}: no report of a run ({said})") from None


def _of_sweep(folder: Path) -> Iterator[Line]:
    """A line for each cell and variant of a sweep, as far as it has got."""
    path = folder / "results.csv"
    groups: dict[tuple[str, str], list[dict[str, str]]] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            groups.setdefault((row["cell"], row["variant"]), []).append(row)
        for (cell, variant), group in groups.items():
            yield _of_cell(folder, f"{cell} [{variant}]" if variant else cell, group)
    except (
        OSError, LookupError, TypeError, AttributeError, ValueError, ArithmeticError, csv.Error,
    ) as error:  # fmt: skip
        raise MmalignError(f"{path}: no table of a sweep ({repr(error)[:200]})") from None


def _of_cell(folder: Path, name: str, rows: Sequence[Mapping[str, str]]) -> Line:
    columns = list(rows[0])
    keys = columns[1 : columns.index("seed")]
    metrics = {
        metric: tuple(float(row[metric]) for row in rows)
        for metric in METRICS
        if all(row.get(metric) for row in rows)
    }
    published = {
        metric: float(rows[0][f"published_{metric}"])
        for metric in METRICS
        if rows[0].get(f"published_{metric}")
    }
    by_seed = {row["seed"]: float(row["seconds"]) for row in rows}
    done = _finished(folder, rows[0]["folder"])
    report = _report(done.run) if done is not None else {}
    first = (report.get("runs") or [{}])[0]
    return Line(
        name=name,
        runs=tuple((int(row["seed"]), int(row.get("draw") or 0)) for row in rows),
        metrics=metrics,
        seconds=tuple(by_seed.values()),
        parameters=first.get("facts", {}).get("parameters"),
        published=published,
        settings={key: rows[0][key] for key in keys},
        oracle=_oracle(report),
        reused=done is not None and bool(done.reuse),
    )


def _finished(folder: Path, place: str) -> Done | None:
    """What a job left in a sweep's folder; nothing outside it is read, whatever files say."""
    job, here = folder / place, folder.resolve()
    if not (job / DONE).resolve().is_relative_to(here):
        raise ValueError(f"the folder '{place}' is outside of the sweep")
    done = finished(job)
    if done is not None and not (done.run / "report.json").resolve().is_relative_to(here):
        raise ValueError(f"the run '{done.run}' is outside of the sweep")
    return done


def _report(folder: Path) -> dict[str, Any]:
    path = folder / "report.json"
    report = read_json(path)
    if not isinstance(report, dict):
        raise MmalignError(f"{path}: no report of a run")
    return report


def _oracle(report: Mapping[str, Any]) -> bool:
    return any(str(note).startswith(ORACLE) for note in report.get("notes", ()))


@dataclass(frozen=True)
class Paired:
    """Student's paired test of one metric of two systems, over the runs that both have.

    ``mean`` is the first less the second, ``low`` and ``high`` the 95 % interval of it, all
    in [-1, 1]; ``p`` is two-sided.
    """

    first: str
    second: str
    metric: str
    count: int
    mean: float
    low: float
    high: float
    p: float


def paired(lines: Sequence[Line], first: str, second: str, metric: str) -> Paired:
    """Test two of the lines, by name, on the seeds (and draws) that both have.

    The test takes differences for normal, which few seeds cannot show; seeds change the
    initialisation and the draws of a method, never the data, so it says nothing of other
    data. Raises MmalignError for unknown names and metrics, and for fewer than two runs.
    """
    by_name = {line.name: line for line in lines}
    for name in (first, second):
        if name not in by_name:
            raise MmalignError(f"no system '{name}' here; {did_you_mean(name, by_name)}")
        if metric not in by_name[name].metrics:
            raise MmalignError(f"'{name}' has no {metric}")
    values = [
        dict(zip(by_name[n].runs, by_name[n].metrics[metric], strict=True)) for n in (first, second)
    ]
    shared = sorted(values[0].keys() & values[1].keys())
    if len(shared) < 2:
        raise MmalignError(
            f"'{first}' and '{second}' share {len(shared)} seeds; a paired test needs two or more"
        )
    apart = np.array([values[0][run] - values[1][run] for run in shared])
    mean, error = float(apart.mean()), float(apart.std(ddof=1)) / len(apart) ** 0.5
    freedom = len(apart) - 1
    half = float(stdtrit(freedom, 0.975)) * error
    with np.errstate(divide="ignore", invalid="ignore"):
        p = float(2 * stdtr(freedom, -np.abs(np.float64(mean) / error)))
    p = p if p == p else 1.0  # no difference in any run
    return Paired(first, second, metric, len(apart), mean, mean - half, mean + half, p)
