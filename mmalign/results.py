"""A sweep's results: one tidy table, its summary, and both as files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from mmalign.cells import Cell, Sweep
from mmalign.errors import MmalignError
from mmalign.job import Done
from mmalign.jsonfile import read_json
from mmalign.report import METRICS, Statistic, statistic
from mmalign.summary import EXTRA, percent
from mmalign.writing import write_whole

Row: TypeAlias = Mapping[str, Any]
PARTS = "; "  # between the parts of a cell that stands in several
PUBLISHED = "published_"  # before a metric's name: what its cell's target says, in [0, 1]


def rows_of(cell: Cell, keys: Sequence[str], seed: int, done: Done, folder: Path) -> list[Row]:
    """The rows of one finished job: one for each draw and variant; metrics in [0, 1].

    ``folder`` is the job's, as the table names it. Raises MmalignError for a report that
    cannot be read.
    """
    path = done.run / "report.json"
    try:
        report = read_json(path)
        measured = [("", report["summary"]), *report.get("variants", {}).items()]
        runs = report["runs"]
    except (MmalignError, LookupError, TypeError, AttributeError) as error:
        raise MmalignError(f"{path}: cannot be read ({error}); remove {done.run}") from None
    part = {"part": PARTS.join(cell.part)} if cell.part else {}
    at = {} if cell.at is None else {"at": cell.at}
    head = {
        "cell": cell.name,
        **part,
        **at,
        **{key: _value(cell.value(key)) for key in keys},
        "seed": seed,
    }
    target = vars(cell.recipe.target)
    rows: list[Row] = []
    for variant, summary in measured:
        # The published numbers are those of the evaluation that the recipe asks for.
        goals = {
            f"{PUBLISHED}{name}": round(value / 100, 10)
            for name, value in target.items()
            if isinstance(value, float) and not variant
        }
        for place, run in enumerate(runs):
            draw = {"draw": run["draw"]} if "draw" in run else {}
            metrics = {name: each["runs"][place] for name, each in summary.items()}
            end = {"seconds": done.seconds, "folder": str(folder)}
            rows.append({**head, **draw, "variant": variant, **metrics, **goals, **end})
    return rows


def _value(value: Any) -> Any:
    """A recipe's value as a cell of a table: what is no single one becomes JSON."""
    return json.dumps(value) if isinstance(value, (list, Mapping)) else value


def metrics_of(rows: Iterable[Row]) -> list[str]:
    """The metrics that any row has, in the order of the report."""
    rows = list(rows)
    known = dict.fromkeys([*METRICS, *(key for row in rows for key in row)])
    first = {"cell", "part", "at", "seed", "draw", "variant", "seconds", "folder"}
    return [
        name
        for name in known
        if name not in first
        and "." not in name
        and not name.startswith(PUBLISHED)
        and any(isinstance(row.get(name), float) for row in rows)
    ]


def columns(rows: Sequence[Row], keys: Sequence[str]) -> list[str]:
    """The columns in their order."""
    metrics = metrics_of(rows)
    part = [name for name in ("part", "at") if any(name in row for row in rows)]
    draw = ["draw"] if any("draw" in row for row in rows) else []
    goals = [f"{PUBLISHED}{name}" for name in metrics]
    goals = [name for name in goals if any(row.get(name) is not None for row in rows)]
    return ["cell", *part, *keys, "seed", *draw, "variant", *metrics, *goals, "seconds", "folder"]


def write(rows: Sequence[Row], keys: Sequence[str], folder: Path) -> None:
    """Write results.csv, results.parquet and summary.csv, each whole or not at all."""
    import pyarrow
    import pyarrow.parquet

    names = columns(rows, keys)
    write_whole(folder / "results.csv", as_csv(rows, names))
    arrays = {name: _column([row.get(name) for row in rows]) for name in names}
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.table(arrays), sink)
    write_whole(folder / "results.parquet", sink.getvalue().to_pybytes())
    lines = list(summarised(rows, keys))
    write_whole(folder / "summary.csv", as_csv(lines, list(lines[0]) if lines else ["cell"]))


def _column(values: Sequence[Any]) -> list[Any]:
    """Values of one type, as a column of a file needs them."""
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) <= 1:
        return list(values)
    if kinds == {int, float}:
        return [None if value is None else float(value) for value in values]
    return [None if value is None else str(value) for value in values]


def as_csv(rows: Iterable[Row], names: Sequence[str]) -> bytes:
    """Rows as CSV; a float is written so that it is read back to the same bits."""
    text = io.StringIO()
    writer = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def grouped(rows: Iterable[Row]) -> dict[tuple[str, str], list[Row]]:
    """The rows of each cell and variant, in the table's order."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["cell"], row["variant"]), []).append(row)
    return groups


def statistics(rows: Iterable[Row], metrics: Iterable[str]) -> dict[str, Statistic]:
    """Each metric that all of these rows have, over them."""
    rows = list(rows)
    found = {}
    for name in metrics:
        values = [row.get(name) for row in rows]
        if all(isinstance(value, float) for value in values):
            found[name] = statistic([value for value in values if value is not None])
    return found


def summarised(rows: Sequence[Row], keys: Sequence[str]) -> Iterator[Row]:
    """A row for each cell and variant: every metric's mean, deviation, published, difference."""
    metrics = metrics_of(rows)
    for (cell, variant), group in grouped(rows).items():
        part = {name: group[0][name] for name in ("part", "at") if name in group[0]}
        line: dict[str, Any] = {"cell": cell, **part, **{key: group[0].get(key) for key in keys}}
        line |= {"variant": variant, "runs": len(group)}
        over = statistics(group, metrics)
        for name in metrics:
            each, goal = over.get(name), group[0].get(f"{PUBLISHED}{name}")
            line[f"{name}_mean"] = each.mean if each else None
            line[f"{name}_std"] = each.std if each else None
            line[f"{PUBLISHED}{name}"] = goal
            line[f"{name}_difference"] = each.mean - goal if each and goal is not None else None
        yield line


def as_text(sweep: Sweep, rows: Sequence[Row], width: int) -> RenderableType:
    """The summary as a table for a terminal of so many columns."""
    metrics = metrics_of(rows)
    if "S" in metrics:  # as a report lists them
        metrics = [name for name in metrics if name not in EXTRA]
    main = next((name for name in ("H", "T1", *metrics) if name in metrics), "")
    goals = any(row.get(f"{PUBLISHED}{main}") is not None for row in rows)
    wide = width >= 100
    table = Table(
        box=None, pad_edge=False, header_style="bold", padding=(0, 2 if wide else 1, 0, 0)
    )
    table.add_column("%", overflow="fold", ratio=1 if not wide else None)
    for name in metrics:
        table.add_column(name, justify="right", no_wrap=True)
    if goals:
        table.add_column(f"{main} published" if wide else "publ.", justify="right", no_wrap=True)
        table.add_column("difference" if wide else "diff.", justify="right", no_wrap=True)
    for (cell, variant), group in grouped(rows).items():
        over = statistics(group, metrics)
        said = [percent(over[name]) if name in over else "" for name in metrics]
        if not wide:
            said = [each.replace(" ± ", "±") for each in said]
        line: list[RenderableType] = [Text(f"{cell} [{variant}]" if variant else cell)]
        line += [
            Text(each, style="bold" if name == main else "")
            for name, each in zip(metrics, said, strict=True)
        ]
        goal = group[0].get(f"{PUBLISHED}{main}")
        if goals and goal is not None and main in over:
            line += [f"{100 * goal:.1f}", f"{100 * (over[main].mean - goal):+.1f}"]
        table.add_row(*line)
    return table
