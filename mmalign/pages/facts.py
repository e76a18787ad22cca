"""What a reader needs to judge a run, or to repeat it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmalign.pages.limits import Limits
from mmalign.pages.marks import clean


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
