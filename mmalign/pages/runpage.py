"""The page of a run: what it came to, how it went, and all that is needed to judge it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmalign.errors import MmalignError
from mmalign.jsonfile import read_json
from mmalign.pages import classes as of_classes
from mmalign.pages import learning, mapchart
from mmalign.pages.folder import BROKEN, RunFolder, read_folder
from mmalign.pages.intervals import Row, intervals
from mmalign.pages.limits import Limits
from mmalign.pages.marks import clean, lines
from mmalign.pages.render import rendered, write
from mmalign.pages.tradeoff import Run, Spot, tradeoff
from mmalign.report import METRICS
from mmalign.summary import EXTRA, MEANINGS, STACKABLE

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
        "meanings": {row.name: meaning(row.name) for row in metrics},
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


def metric_rows(report: Mapping[str, Any]) -> list[Row]:
    """The metrics that were asked, in per cent, and those of variants that differ."""
    target, main = report["target"], headline(report["summary"])
    listed = [(name, "", each) for name, each in report["summary"].items() if name in METRICS]
    listed.sort(key=lambda each: METRICS.index(each[0]))
    if any(name == "S" for name, _, _ in listed):
        listed = [each for each in listed if each[0] not in EXTRA]
    for variant, summary in report["variants"].items():
        listed += [(n, clean(variant, 60), s) for n, s in summary.items() if n in STACKABLE]
    made = []
    for name, variant, each in listed:
        goal = None if variant else target.get(name)
        made.append(
            Row(
                f"{name}, {variant}" if variant else name,
                100 * float(each["mean"]),
                None if each["ci95"] is None else 100 * float(each["ci95"]),
                None if each["std"] is None else 100 * float(each["std"]),
                tuple(100 * float(value) for value in each["runs"]),
                float(goal) if isinstance(goal, (int, float)) else None,
                name == main and not variant,
            )
        )
    return made


def meaning(name: str) -> str:
    """What a metric is."""
    metric, _, variant = name.partition(", ")
    return MEANINGS.get(metric, "") + (f"; with {variant}" if variant else "")


def headline(summary: Iterable[str]) -> str:
    """The metric that sums it up: H, or U where no seen class is asked, or T1."""
    return next((name for name in ("H", "U", "T1", "S") if name in summary), "")


def sentence(report: Mapping[str, Any], metrics: Sequence[Row]) -> list[str]:
    """The result in one sentence, in three parts: the metric, its value, and the rest."""
    main = next((row for row in metrics if row.main), None)
    if main is None:
        return ["", "", "Nothing was measured."]
    seeds = sorted({int(each["seed"]) for each in report["runs"]})
    said = f"{len(seeds)} seeds" if len(seeds) > 1 else f"seed {seeds[0]}"
    if draws := {each["draw"] for each in report["runs"] if "draw" in each}:
        said += f" and {len(draws)} draw{'s' if len(draws) > 1 else ''} of the shots"
    unseen, seen = int(report.get("unseen", 0)), int(report.get("seen", 0))
    told = (
        f"{unseen:,} of {unseen + seen:,} classes were never seen in training"
        if unseen
        else "every class was seen in training"
    )
    goal = ""
    if main.target is not None:
        goal = f", {main.mean - main.target:+.1f} against the published {main.target:.1f}"
    return [main.name, f"{main.said} %", f"over {said}{goal}; {told}."]


def run_name(run: Mapping[str, Any]) -> str:
    """A run by its seed and draw."""
    return f"seed {run['seed']}" + (f", draw {run['draw']}" if "draw" in run else "")


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
        Run(run_name(each), tuple((100 * float(u), 100 * float(s)) for u, s in each["points"]))
        for each in run.curves[: limits.runs]
    ]
    spots, report = [], run.report
    summaries = [("no bias", "circle", 0, report["summary"])]
    summaries += [(clean(n, 40), "diamond", 1, s) for n, s in report["variants"].items()]
    for name, shape, series, summary in summaries:
        if {"S", "U"} <= summary.keys():
            pairs = zip(summary["U"]["runs"], summary["S"]["runs"], report["runs"], strict=True)
            spots += [
                Spot(f"{name} ({run_name(of)})", 100 * float(u), 100 * float(s), shape, series)
                for u, s, of in list(pairs)[: limits.runs]
            ]
    u, s = (report["target"].get(name) for name in ("U", "S"))
    if isinstance(u, (int, float)) and isinstance(s, (int, float)):
        spots.append(Spot("published", float(u), float(s), "star", 2))
    return {"figure": tradeoff("figure-curve", curves, spots), "spots": spots, "runs": curves}


def map_shown(run: RunFolder, limits: Limits) -> dict[str, Any]:
    """The map of the latent space, its legend, and its places as a table."""
    said = run.map
    places = mapchart.places_of(said, run.unseen, limits.places)
    explained = [float(each) for each in said["explained"]]
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


def retrieval(report: Mapping[str, Any]) -> list[tuple[str, dict[str, float]]]:
    """How well each modality finds another, of the first run."""
    found = report["runs"][0]["facts"].get("retrieval")
    if not isinstance(found, Mapping):
        return []
    return [(clean(way), {k: float(v) for k, v in of.items()}) for way, of in found.items()]


def facts_shown(report: Mapping[str, Any], limits: Limits) -> list[tuple[str, list[Any]]]:
    """Groups of (name, value) for whoever judges or repeats the run."""

    def table(key: str) -> list[tuple[str, str]]:
        found = report.get(key)
        items = list(found.items()) if isinstance(found, Mapping) else []
        rows = [(clean(name), clean(value, 200)) for name, value in items[: limits.listed]]
        more = len(items) - limits.listed
        return [*rows, ("…", f"{more} more in report.json")] if more > 0 else rows

    about = [("data set", clean(report.get("dataset", "")))]
    for key in ("features", "side_information"):
        said = ", ".join(map(str, report.get(key) or ()))
        about.append((key.replace("_", " "), clean(said, 300)))
    about.append(("classes", f"{report.get('seen', '?')} seen, {report.get('unseen', '?')} unseen"))
    parameters = report["runs"][0]["facts"].get("parameters")
    if isinstance(parameters, int):
        about.append(("parameters", f"{parameters:,}"))
    about += [("seconds", f"{float(report['seconds']):.1f}")] if "seconds" in report else []
    about += [("processes", clean(report["processes"]))] if "processes" in report else []
    groups = [
        ("The run", about),
        ("Reading of the formulas", [("", clean(report.get("reading", ""), 2000))]),
        ("Data, SHA-256", table("data")),
        ("Backbones", table("backbones")),
        ("Versions", table("versions")),
        ("Machine", table("machine")),
        ("Plugins", table("plugins")),
    ]
    return [(title, rows) for title, rows in groups if rows and any(v for _, v in rows)]
