"""What a run came to: its metrics, and the result in one sentence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mmalign.pages.intervals import Row
from mmalign.pages.marks import clean, finite, signed
from mmalign.report import METRICS
from mmalign.summary import EXTRA, MEANINGS, STACKABLE


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
                name,
                100 * finite(each["mean"]),
                None if each["ci95"] is None else 100 * finite(each["ci95"]),
                None if each["std"] is None else 100 * finite(each["std"]),
                tuple(100 * finite(value) for value in each["runs"]),
                finite(goal) if isinstance(goal, (int, float)) else None,
                name == main and not variant,
                variant,
            )
        )
    return made


def meaning(row: Row) -> str:
    """What a metric is."""
    return MEANINGS.get(row.name, "") + (f"; with {row.group}" if row.group else "")


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
        goal = f", {signed(main.mean - main.target)} against the published {main.target:.1f}"
    return [main.name, f"{main.said} %", f"over {said}{goal}; {told}."]


def run_name(run: Mapping[str, Any]) -> str:
    """A run by its seed and draw."""
    return f"seed {run['seed']}" + (f", draw {run['draw']}" if "draw" in run else "")
