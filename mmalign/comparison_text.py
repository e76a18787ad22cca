"""A comparison as a table: for a terminal, as Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from mmalign.comparison import MEASURED, Line, Paired
from mmalign.errors import MmalignError

Form: TypeAlias = Literal["text", "markdown", "latex", "csv"]
SHOWN_PUBLISHED = ("S", "U", "H", "T1")
WIDE = 400  # columns of a file
REUSED = "* without the training of representations that --reuse had kept"


@dataclass(frozen=True)
class Cells:
    """A table as words: a heading, and rows of cells, some of which are best of their column."""

    heading: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    best: frozenset[tuple[int, int]]

    @property
    def width(self) -> int:
        """Columns of a terminal that it takes, with one between two cells."""
        longest = [max(map(len, column)) for column in zip(self.heading, *self.rows, strict=True)]
        return sum(longest) + len(longest) - 1

    def without(self, *names: str) -> Cells:
        """The same without these columns."""
        kept = [place for place, name in enumerate(self.heading) if name not in names]
        heading, *rows = (tuple(row[place] for place in kept) for row in (self.heading, *self.rows))
        best = {(row, kept.index(column)) for row, column in self.best if column in kept}
        return Cells(heading, tuple(rows), frozenset(best))


def sections(lines: Sequence[Line], by: str | None) -> Mapping[str, list[Line]]:
    """The lines by the value of a key that a sweep varies; one section without a key.

    Raises MmalignError where a line has no such key.
    """
    if by is None:
        return {"": list(lines)}
    found: dict[str, list[Line]] = {}
    for line in lines:
        if by not in (line.settings or {}):
            known = ", ".join(line.settings or {}) or "none"
            raise MmalignError(f"'{line.name}' does not vary '{by}' (its keys: {known})")
        found.setdefault(f"{by} = {(line.settings or {})[by]}", []).append(line)
    return found


def cells(lines: Sequence[Line], between: str = " ± ") -> Cells:
    """The words of a table; the best mean of every metric is marked.

    Systems that chose on test rows are marked as such, and are never the best.
    """
    metrics = [name for name in MEASURED if any(name in line.metrics for line in lines)]
    goals = [n for n in SHOWN_PUBLISHED if any(n in (line.published or {}) for line in lines)]
    heading = ["system", *metrics, "runs", "s/seed", "parameters"]
    heading += [word for name in goals for word in (f"{name} publ.", f"{name} diff.")]
    rows, best = [], set()
    for column, metric in enumerate(metrics, start=1):
        honest = [
            (place, over.mean)
            for place, line in enumerate(lines)
            if not line.oracle and (over := line.over(metric)) is not None
        ]
        top = max((mean for _, mean in honest), default=0.0)
        best |= {(place, column) for place, mean in honest if mean == top}
    for line in lines:
        row = [f"{line.name} (oracle)" if line.oracle else line.name]
        row += [_measured(line, name, between) for name in metrics]
        seconds = sum(line.seconds) / len(line.seconds)
        row += [str(len(line.runs)), f"{seconds:.0f}{'*' if line.reused else ''}"]
        row += [_thousands(line.parameters)]
        for name in goals:
            goal, apart = (line.published or {}).get(name), line.difference(name)
            row += ["" if goal is None else f"{100 * goal:.1f}"]
            row += ["" if apart is None else f"{100 * apart:+.1f}"]
        rows.append(tuple(row))
    return Cells(tuple(heading), tuple(rows), frozenset(best))


def _measured(line: Line, metric: str, between: str) -> str:
    over = line.over(metric)
    if over is None:
        return ""
    mean = f"{100 * over.mean:.1f}"
    return mean if over.std is None else f"{mean}{between}{100 * over.std:.1f}"


def _thousands(count: int | None) -> str:
    return "" if count is None else f"{count:,}"


def as_text(lines: Sequence[Line], title: str = "", width: int = WIDE) -> RenderableType:
    """For a terminal of so many columns; what is told last goes first where it is narrow."""
    words = cells(lines, between="±")
    for least in (("S publ.", "S diff.", "U publ.", "U diff."), ("parameters",), ("s/seed",)):
        if words.width > width:
            words = words.without(*least)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    for place, name in enumerate(words.heading):
        table.add_column(name, justify="right" if place else "left", no_wrap=place > 0)
    table.columns[0].overflow = "fold"
    for place, row in enumerate(words.rows):
        table.add_row(
            *(
                Text(cell, style="bold" if (place, column) in words.best else "")
                for column, cell in enumerate(row)
            )
        )
    head = [Text(title, style="bold")] if title else []
    starred = any(line.reused for line in lines) and "s/seed" in words.heading
    return Group(*head, table, *([Text(REUSED, style="dim")] if starred else []))


def as_markdown(lines: Sequence[Line], title: str = "") -> str:
    """As a Markdown table."""
    words = cells(lines)
    marked = [
        [f"**{c}**" if (place, column) in words.best else _piped(c) for column, c in enumerate(row)]
        for place, row in enumerate(words.rows)
    ]
    out = [f"{title}\n"] if title else []
    out += [_row(words.heading), _row(["---", *["---:"] * (len(words.heading) - 1)])]
    foot = [f"\n{REUSED}".replace("*", "\\*")] if any(line.reused for line in lines) else []
    return "\n".join([*out, *map(_row, marked), *foot])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _piped(word: str) -> str:
    return word.replace("|", "\\|")


SPECIAL = {each: f"\\{each}" for each in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def escaped(word: str) -> str:
    """A word as LaTeX prints it."""
    return "".join(SPECIAL.get(letter, letter) for letter in word)


def as_latex(lines: Sequence[Line], title: str = "") -> str:
    """As a LaTeX table; it needs the package booktabs."""
    words = cells(lines, between="\0")
    out = [f"% {title}"] if title else []
    out += [rf"\begin{{tabular}}{{l{'r' * (len(words.heading) - 1)}}}", r"\toprule"]
    out += [" & ".join(map(escaped, words.heading)) + r" \\", r"\midrule"]
    for place, row in enumerate(words.rows):
        said = [escaped(cell).replace("\0", r"\,$\pm$\,") for cell in row]
        said = [
            rf"\textbf{{{cell}}}" if (place, column) in words.best else cell
            for column, cell in enumerate(said)
        ]
        out.append(" & ".join(said) + r" \\")
    return "\n".join([*out, r"\bottomrule", r"\end{tabular}"])


def as_csv(lines: Sequence[Line]) -> str:
    """As CSV, tidy and in [0, 1]: one row a system, a column each for mean and deviation."""
    metrics = [name for name in MEASURED if any(name in line.metrics for line in lines)]
    keys = list(dict.fromkeys(key for line in lines for key in line.settings or {}))
    names = ["system", *keys, "oracle", "runs", "seconds", "parameters"]
    names += [f"{m}_{part}" for m in metrics for part in ("mean", "std", "published", "difference")]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for line in lines:
        row: dict[str, object] = {"system": line.name, **(line.settings or {})}
        row |= {"oracle": line.oracle, "runs": len(line.runs), "parameters": line.parameters}
        row["seconds"] = sum(line.seconds) / len(line.seconds)
        for metric in metrics:
            over = line.over(metric)
            row[f"{metric}_mean"] = over.mean if over else None
            row[f"{metric}_std"] = over.std if over else None
            row[f"{metric}_published"] = (line.published or {}).get(metric)
            row[f"{metric}_difference"] = line.difference(metric)
        writer.writerow(row)
    return text.getvalue()


def sentence(test: Paired) -> str:
    """The outcome of a paired test in one sentence."""
    if test.low == test.high:  # two closed forms: no seed changes anything
        return (
            f"{test.first} less {test.second}: {100 * test.mean:+.1f} points of {test.metric} in"
            f" each of {test.count} runs; what no seed changes cannot be tested over seeds"
        )
    return (
        f"{test.first} less {test.second}: {100 * test.mean:+.1f} points of {test.metric}"
        f" (95 % interval {100 * test.low:+.1f} to {100 * test.high:+.1f}, p = {test.p:.2g},"
        f" paired t-test over {test.count} runs)"
    )


def written(
    lines: Sequence[Line], form: Form, by: str | None, width: int = WIDE
) -> list[RenderableType]:
    """The whole comparison in a form, section by section; CSV has a column for each key."""
    if form == "csv":
        return [as_csv(lines).rstrip()]
    parts = sections(lines, by)
    if form == "text":
        return [as_text(part, title, width) for title, part in parts.items()]
    write = as_markdown if form == "markdown" else as_latex
    return [write(part, title) for title, part in parts.items()]


def deliver(parts: Sequence[RenderableType], console: Console, path: Path | None) -> None:
    """Print the parts of a table, or write them to a file, where no line is broken.

    Raises MmalignError where the file cannot be written.
    """
    if path is None:
        for part in parts:
            # A text is a file's content: not to be wrapped at the terminal's width.
            console.print(part, soft_wrap=isinstance(part, str))
        return
    text = io.StringIO()
    wide = Console(file=text, width=WIDE, highlight=False, markup=False, emoji=False)
    for part in parts:
        wide.print(part, soft_wrap=isinstance(part, str))
    lines = "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())
    try:
        path.write_text(lines, encoding="utf-8")
    except OSError as error:
        raise MmalignError(f"cannot write {path}: {error.strerror}") from None
    print(path)
