"""A report as text for the terminal, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mmalign.report import METRICS, Report, Statistic, statistic, summarised

MEANINGS = {
    "S": "seen classes, all classes searched",
    "U": "unseen classes, all classes searched",
    "H": "harmonic mean of S and U",
    "T1": "unseen classes, only they searched",
    "AUSUC": "area under the seen-unseen curve",
    "U5": "as U, right among the best five",
    "U_rows": "as U, every row counting alike",
    "U5_rows": "as U5, every row counting alike",
}
WIDE = 72  # columns of a terminal that the table fits into with what the metrics mean
# T1 searches unseen classes alone and AUSUC goes over every bias: no bias changes them.
STACKABLE = ("S", "U", "H")
# Said in report.json always, elsewhere only where there is no S to read first.
EXTRA = ("U5", "U_rows", "U5_rows")


def as_json(report: Report) -> dict[str, Any]:
    """The report as report.json holds it; metrics are in [0, 1]."""
    return {
        "recipe": report.recipe,
        "notes": list(report.notes),
        "summary": _statistics(report.summary),
        "variants": {name: _statistics(summarised(each)) for name, each in report.variants.items()},
        "target": dict(report.target),
        "seeds": list(report.seeds),
        "runs": [
            {
                "seed": seed,
                **({} if draw is None else {"draw": draw}),
                "facts": dict(facts),
                "per_class": {
                    report.classes[index]: accuracy for index, accuracy in each.per_class.items()
                },
            }
            for seed, draw, facts, each in zip(
                report.seeds,
                report.draws or [None] * len(report.seeds),
                report.facts,
                report.measures,
                strict=True,
            )
        ],
        **report.context,
    }


def _statistics(summary: Mapping[str, Statistic]) -> dict[str, Any]:
    return {
        name: {
            "mean": each.mean,
            "std": each.std,
            "ci95": each.ci95,
            "runs": list(each.runs),
        }
        for name, each in summary.items()
    }


def percent(statistic: Statistic) -> str:
    """Mean and standard deviation in per cent."""
    mean = f"{100 * statistic.mean:.1f}"
    return mean if statistic.std is None else f"{mean} ± {100 * statistic.std:.1f}"


def interval(statistic: Statistic) -> str:
    """The 95 % interval in per cent, cut where an accuracy cannot be."""
    half = statistic.ci95 or 0.0
    low, high = max(0.0, statistic.mean - half), min(1.0, statistic.mean + half)
    return f"{100 * low:.1f} to {100 * high:.1f}"


def as_text(report: Report, width: int = WIDE) -> RenderableType:
    """The result in one sentence, the table, the hardest classes, and the notes.

    In less than ``WIDE`` columns what the metrics mean is left out.
    """
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("%")
    table.add_column("mean ± std" if len(report.seeds) > 1 else "value", justify="right")
    if len(report.seeds) > 1:
        table.add_column("95 % interval", justify="right")
    published = {name: report.target.get(name) for name in METRICS}
    if any(value is not None for value in published.values()):
        table.add_column("published", justify="right")
        table.add_column("difference", justify="right")
    if width >= WIDE:
        table.add_column("", style="dim")
    compared = any(value is not None for value in published.values())
    rows = [(name, each, published[name], MEANINGS[name]) for name, each in listed(report).items()]
    for variant, measures in report.variants.items():
        rows += [
            (name, each, None, f"with {variant}")
            for name, each in summarised(measures).items()
            if name in STACKABLE
        ]
    for name, each, goal, meaning in rows:
        style = "bold" if name == headline(report) else ""
        cells: list[RenderableType] = [Text(name, style), Text(percent(each), style)]
        if len(report.seeds) > 1:
            cells.append(interval(each))
        if compared:
            cells += ["", ""] if goal is None else [f"{goal:.1f}", f"{100 * each.mean - goal:+.1f}"]
        table.add_row(*cells, *([meaning] if width >= WIDE else []))
    lines: list[RenderableType] = [Text(f"warning: {n}", style="yellow") for n in report.notes]
    lines += [Text(sentence(report), style="bold"), Text(), table]
    if report.target.get("source"):
        lines += [Text(f"published: {report.target['source']}", style="dim")]
    lines += [*_retrieval(report), Text(), *_hardest(report), *_chosen(report)]
    return Group(*lines, Text(str(report.context.get("reading", "")), style="dim"))


def listed(report: Report) -> dict[str, Statistic]:
    """The metrics that a reader is shown first."""
    brief = "S" in report.summary
    return {k: each for k, each in report.summary.items() if not (brief and k in EXTRA)}


def headline(report: Report) -> str:
    """The metric that sums the report up: H, or U where no seen class is asked, or T1."""
    return next(name for name in ("H", "U", "T1", "S") if name in report.summary)


def sentence(report: Report) -> str:
    """The result in one sentence."""
    name = headline(report)
    several = sorted(set(report.seeds))
    seeds = f"{len(several)} seeds" if len(several) > 1 else f"seed {several[0]}"
    draws = {draw for draw in report.draws if draw is not None}
    if draws:
        seeds += f" and {len(draws)} draw{'s' if len(draws) > 1 else ''} of the shots"
    unseen = report.context.get("unseen", 0)
    told = f"{unseen} classes were never seen in training" if unseen else "every class was seen"
    return f"{report.recipe}: {name} = {percent(report.summary[name])} % over {seeds}; {told}."


def _retrieval(report: Report) -> list[RenderableType]:
    """How well each modality's latents find those of another, where that was asked."""
    runs = [facts["retrieval"] for facts in report.facts if "retrieval" in facts]
    if not runs:
        return []
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("retrieval")
    keys = [key for key in next(iter(runs[0].values())) if key.startswith("R@")]
    for title in (*(f"{key} %" for key in keys), "mean rank", "queries", "items"):
        table.add_column(title, justify="right")
    for way in runs[0]:
        of = {key: [run[way][key] for run in runs] for key in runs[0][way]}
        recall = [percent(statistic(of[key])) for key in keys]
        rank = statistic(of["mean_rank"]).mean
        table.add_row(way, *recall, f"{rank:.1f}", f"{of['queries'][0]}", f"{of['items'][0]}")
    return [Text(), table]


def _chosen(report: Report) -> list[RenderableType]:
    """What each seed's head was trained with, such as the epochs that validation chose."""
    heads = [facts["head"] for facts in report.facts if isinstance(facts.get("head"), Mapping)]
    if not heads:
        return _chosen_by_system(report)
    said = (
        f"{key.replace('_', ' ')} {', '.join(str(head.get(key)) for head in heads)}"
        for key in heads[0]
    )
    return [Text(f"head: {'; '.join(said)}", style="dim")]


def _chosen_by_system(report: Report) -> list[RenderableType]:
    """What each seed's system chose, by H and by T1."""
    made = [facts["chosen"] for facts in report.facts if facts.get("chosen")]
    lines: list[RenderableType] = []
    for metric in ("H", "T1"):
        by = [each[metric] for each in made if isinstance(each.get(metric), Mapping)]
        if by:
            said = (
                f"{key} {', '.join(_number(each.get(key)) for each in by)}"
                for key in by[0]
                if key != "value"
            )
            lines.append(Text(f"chosen by {metric}: {'; '.join(said)}", style="dim"))
    return lines


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _hardest(report: Report, count: int = 3) -> list[RenderableType]:
    """The classes with the lowest accuracy, over the seeds."""
    sums: dict[int, float] = {}
    for each in report.measures:
        for index, accuracy in each.per_class.items():
            sums[index] = sums.get(index, 0.0) + accuracy / len(report.measures)
    ranked = sorted(sums, key=sums.__getitem__)
    return [
        Text(f"{word}: {_accuracies(report, sums, places)}", style="dim")
        for word, places in (("hardest", ranked[:count]), ("easiest", ranked[::-1][:count]))
    ]


def _accuracies(report: Report, accuracy: Mapping[int, float], places: list[int]) -> str:
    return ", ".join(f"{report.classes[place]} {100 * accuracy[place]:.0f} %" for place in places)
