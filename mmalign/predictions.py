"""Predictions as a person or a program reads them: a table, CSV, or JSON lines."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO, TypeAlias

import numpy as np

from mmalign.errors import MmalignError
from mmalign.guard import guarded, named
from mmalign.inputs import Asked
from mmalign.model import Model

if TYPE_CHECKING:
    from rich.table import Table

Form: TypeAlias = Literal["table", "csv", "jsonl"]
TABLE = 1000  # rows of a table


@dataclass(frozen=True)
class Titles:
    """What the columns of an answer are called; no ``chance``, no probabilities."""

    found: str = "class"
    score: str = "score"
    chance: str = "probability"

    @property
    def columns(self) -> list[str]:
        """Those of a CSV file."""
        chance = [self.chance] if self.chance else []
        return ["row", "name", "rank", self.found, self.score, *chance]


CLASSES = Titles()


@dataclass(frozen=True)
class Best:
    """What answers a row, best first; a probability is None where none is known."""

    row: int
    name: str
    found: tuple[tuple[str, float, float | None], ...]


def best_of(
    model: Model, asked: Iterable[Asked], top: int, among: Sequence[str] | None = None
) -> Iterator[Best]:
    """The ``top`` likeliest classes for each row, in order, a part at a time.

    ``among`` are the classes to choose from, all by default. Of some classes there are no
    probabilities: a head may score these by another classifier than the one whose temperature
    is known.
    """
    from mmalign.calibration import probabilities

    if top < 1:
        raise MmalignError(f"top: at least one class a row is needed, not {top}")
    row, names = 0, model.known_classes if among is None else tuple(among)
    warm = model.temperature if among is None else None
    for part in asked:
        with guarded(named(model.fitted), "while it scored"):  # the answers may be on stdout
            scores = model.scores(part.features, names)
        likely = None if warm is None else probabilities(scores, warm)
        for place, order in enumerate(np.argsort(-scores, axis=1, kind="stable")[:, :top]):
            chances = [None] * len(order) if likely is None else likely[place, order].tolist()
            said = [names[index] for index in order]
            found = tuple(zip(said, scores[place, order].tolist(), chances, strict=True))
            yield Best(row, part.names[place] if part.names else "", found)
            row += 1


def form_of(path: Path | None, terminal: bool) -> Form:
    """What nobody has to say: by a file's suffix, else a table for a person and CSV for a pipe."""
    if path is not None:
        return "jsonl" if path.suffix.lower() in (".jsonl", ".ndjson") else "csv"
    return "table" if terminal else "csv"


def write_answers(
    best: Iterable[Best], form: Form, path: Path | None, titles: Titles = CLASSES
) -> None:
    """Write each row as it comes, to a file that is there whole or not at all, or to stdout."""
    writers: Mapping[Form, Callable[[Iterable[Best], TextIO, Titles], None]] = {
        "table": _as_table,
        "csv": _as_csv,
        "jsonl": _as_jsonl,
    }
    with written(path) as out:
        writers[form](best, out, titles)


@contextmanager
def written(path: Path | None) -> Iterator[TextIO]:
    """Where text goes: standard output, or a file that takes its name when it is whole."""
    if path is None:
        yield sys.stdout
        return
    part = path.with_name(path.name + ".part")
    try:
        stream = part.open("w", newline="", encoding="utf-8")
    except OSError as error:
        raise MmalignError(f"cannot write {path}: {error.strerror}") from None
    try:
        with stream:
            yield stream
        part.replace(path)
    except OSError as error:
        raise MmalignError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        part.unlink(missing_ok=True)


def _as_csv(best: Iterable[Best], out: TextIO, titles: Titles) -> None:
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(titles.columns)
    for each in best:
        for rank, (name, score, chance) in enumerate(each.found, start=1):
            likely = [] if not titles.chance else ["" if chance is None else f"{chance:.4g}"]
            writer.writerow([each.row, each.name, rank, name, f"{score:.6g}", *likely])


def _as_jsonl(best: Iterable[Best], out: TextIO, titles: Titles) -> None:
    for each in best:
        found = [
            {
                titles.found: name,
                titles.score: score,
                **({} if chance is None else {titles.chance: chance}),
            }
            for name, score, chance in each.found
        ]
        named = {"name": each.name} if each.name else {}
        line = json.dumps({"row": each.row, **named, "best": found}, ensure_ascii=False)
        out.write(line + "\n")


def _as_table(best: Iterable[Best], out: TextIO, titles: Titles) -> None:
    """One table, or several of so many rows that each fits in memory."""
    from mmalign.terminal import make_console

    console, rows = make_console(), iter(best)
    console.file = out
    while some := list(islice(rows, TABLE)):
        console.print(_table(some, titles))


def _table(best: Iterable[Best], titles: Titles) -> Table:
    """A line an answer; the row's name stands in its first."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("row")
    table.add_column(titles.found)
    table.add_column(titles.score, justify="right")
    table.add_column("%", justify="right")
    calibrated = False
    for each in best:
        for rank, (name, score, chance) in enumerate(each.found):
            shown = (each.name or str(each.row)) if rank == 0 else ""
            calibrated |= chance is not None
            cells = [f"{score:.3f}", "" if chance is None else f"{100 * chance:.1f}"]
            table.add_row(Text(shown), Text(name, style="" if rank else "bold"), *cells)
    if not calibrated:
        table.columns.pop()
    return table
