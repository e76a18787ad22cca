"""The page of a run: what it came to, how it went, and all that is needed to judge it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmalign.errors import MmalignError
from mmalign.jsonfile import read_json
from mmalign.pages import classes as of_classes
from mmalign.pages import learning, mapchart
from mmalign.pages.facts import facts_shown, retrieval
from mmalign.pages.folder import BROKEN, RunFolder, read_folder
from mmalign.pages.intervals import intervals
from mmalign.pages.limits import Limits
from mmalign.pages.marks import clean, finite, lines
from mmalign.pages.render import rendered, write
from mmalign.pages.result import meaning, metric_rows, run_name, sentence
from mmalign.pages.tradeoff import Run, Spot, tradeoff

GRAVE = ("ORACLE", "seed ")  # how notes begin without which the numbers mislead
NOTE = 1500  # letters of a note


def write_page(folder: Path, report: Mapping[str, Any]) -> None:
    """Write report.html of the run with this report, as report.json holds it."""
    write(folder, lambda: run_page(folder, report))


def page_of(folder: Path) -> bytes:
    """The page of a finished run, from its folder. Raises MmalignError where it is none."""
    path = folder / "report.json"
    report = read_json(path)
    try:
        return run_page(folder, report)
    except BROKEN as error:
        raise MmalignError(f"{path}: no report of a run ({error!r:.200})") from None


def run_page(folder: Path, report: Mapping[str, Any]) -> bytes:
    """The page. Raises LookupError, TypeError and the like for a report of another form."""
    run = read_folder(folder, report)
    return rendered("run.html", lambda limits: shown(run, folder, limits))


def shown(run: RunFolder, folder: Path, limits: Limits) -> dict[str, Any]:
    """All that the template asks for."""
    report, missing = run.report, dict(run.missing)
    name, place = clean(report["recipe"], 120), clean(folder.resolve().name, 60)
    metrics = metric_rows(report)
    notes = [clean(note, NOTE) for note in report["notes"]]
    return {
        "title": f"{name} · {place}",
        "name": name,
        "place": place,
        "sentence": sentence(report, metrics),
        "notes": [(note, note.startswith(GRAVE)) for note in notes[: limits.notes]],
        "more_notes": max(0, len(notes) - limits.notes),
        "metrics": metrics,
        "metrics_figure": intervals("figure-result", metrics, f"Metrics of {name}"),
        "meaning": meaning,
        "source": clean(report["target"].get("source", ""), 300),
        "several": len(report["runs"]) > 1,
        "runs": [run_name(each) for each in report["runs"]],
        "learning": learning.stages(
            {**run.learning, **choices(report)}, limits.points, limits.runs, limits.panels
        ),
        "runs_drawn": min(limits.runs, len(report["runs"])),
        "classes": classes_shown(run, limits),
        "confusion": confusion_shown(run, limits),
        "curve": _guarded(missing, "curves", lambda: curve_shown(run, limits)),
        "map": _guarded(missing, "map", lambda: map_shown(run, limits)),
        "retrieval": retrieval(report),
        "facts": facts_shown(report, limits),
        "recipe": lines(run.recipe, limits.letters),
        "recipe_cut": len(run.recipe) > limits.letters,
        "missing": {key: clean(why, 400) for key, why in missing.items()},
    }


def _guarded(missing: dict[str, str], name: str, make: Any) -> Any:
    """What ``make`` gives, or None, where what the folder holds is of another form."""
    if name in missing:
        return None
    try:
        return make()
    except BROKEN as error:
        missing[name] = f"figures.json is of another form: {error!r}"
        return None


def choices(report: Mapping[str, Any]) -> learning.Curves:
    """What the head's epochs were chosen by, as curves over them."""
    found: dict[str, dict[str, learning.Points]] = {}
    for run in report["runs"]:
        choice = run["facts"].get("choice")
        for key, values in choice.items() if isinstance(choice, Mapping) else ():
            if isinstance(values, list) and values and all(isinstance(v, float) for v in values):
                term = str(key).replace("_", " ")
                points = [(float(i), 100 * v) for i, v in enumerate(values, 1)]
                found.setdefault(f"{term}, %", {})[run_name(run)] = points
    return {"choice": found} if found else {}


def classes_shown(run: RunFolder, limits: Limits) -> dict[str, Any]:
    """The classes, the worst first."""
    per_class = [each["per_class"] for each in run.report["runs"]]
    rows = of_classes.class_rows(per_class, run.confusion, run.unseen)
    return {
        "rows": rows[: limits.classes],
        "left": max(0, len(rows) - limits.classes),
        "count": len(rows),
        "figure": of_classes.spread_figure("figure-classes", rows) if rows else None,
        "sides": run.unseen is not None,
    }


def confusion_shown(run: RunFolder, limits: Limits) -> dict[str, Any]:
    """The two sides, and the commonest mistakes."""
    both = of_classes.sides(run.confusion, run.unseen) if run.unseen is not None else []
    return {
        "sides": both,
        "figure": of_classes.sides_figure("figure-sides", both) if both else None,
        "mistakes": of_classes.mistakes(run.confusion, run.unseen, limits.mistakes),
        "runs": len(run.report["runs"]),
    }


def curve_shown(run: RunFolder, limits: Limits) -> dict[str, Any]:
    """The seen-unseen curves, with the points without a bias and those of variants."""
    curves = [
        Run(run_name(each), tuple((100 * finite(u), 100 * finite(s)) for u, s in each["points"]))
        for each in run.curves[: limits.runs]
    ]
    spots, report = [], run.report
    summaries = [("no bias", "circle", 0, report["summary"])]
    summaries += [(clean(n, 40), "diamond", 1, s) for n, s in report["variants"].items()]
    for name, shape, series, summary in summaries:
        if {"S", "U"} <= summary.keys():
            pairs = zip(summary["U"]["runs"], summary["S"]["runs"], report["runs"], strict=True)
            spots += [
                Spot(f"{name} ({run_name(of)})", 100 * finite(u), 100 * finite(s), shape, series)
                for u, s, of in list(pairs)[: limits.runs]
            ]
    u, s = (report["target"].get(name) for name in ("U", "S"))
    if isinstance(u, (int, float)) and isinstance(s, (int, float)):
        spots.append(Spot("published", finite(u), finite(s), "star", 2))
    return {"figure": tradeoff("figure-curve", curves, spots), "spots": spots, "runs": curves}


def map_shown(run: RunFolder, limits: Limits) -> dict[str, Any]:
    """The map of the latent space, its legend, and its places as a table."""
    said = run.map
    places = mapchart.places_of(said, run.unseen, limits.places)
    explained = [finite(each) for each in said["explained"]]
    count = len({place.index for place in places})
    return {
        "figure": mapchart.latent_map("figure-map", places, explained),
        "legend": mapchart.legend(places, said["levels"]),
        "places": sorted(places, key=lambda place: (place.name, place.series)),
        "explained": 100 * sum(explained),
        "latent": int(said["latent"]),
        "seed": int(said["seed"]),
        "count": count,
        "left": max(0, int(said["of"]) - count),
    }
