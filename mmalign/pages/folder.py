"""What a run's folder holds, read as what anybody may have written there; what is not, and why."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmalign.errors import MmalignError
from mmalign.jsonfile import LARGEST, read_json
from mmalign.pages import FIGURES
from mmalign.pages.learning import Curves, curves_of

OLDER = "this run's folder has no {}: an older mmalign wrote it, or it was taken away"
BROKEN = (OSError, LookupError, TypeError, AttributeError, ValueError, ArithmeticError, csv.Error)


@dataclass(frozen=True)
class RunFolder:
    """A run as its page shows it.

    ``confusion`` counts (true, answered) names over all runs. ``unseen`` are the names of the
    classes that were not seen in training, None where nothing says it. ``missing`` says of a
    part why it is not there: "learning", "confusion", "curves", "map", "recipe".
    """

    report: Mapping[str, Any]
    learning: Curves = field(default_factory=dict)
    confusion: Mapping[tuple[str, str], int] = field(default_factory=dict)
    unseen: set[str] | None = None
    curves: tuple[Mapping[str, Any], ...] = ()
    map: Mapping[str, Any] = field(default_factory=dict)
    recipe: str = ""
    missing: Mapping[str, str] = field(default_factory=dict)


def read_folder(folder: Path, report: Mapping[str, Any]) -> RunFolder:
    """Read the folder of the run with this report; no part that is missing is an error."""
    missing: dict[str, str] = {}

    def part(name: str, file: str, read: Any, otherwise: Any) -> Any:
        try:
            path = folder / file
            if not path.is_file():
                raise MmalignError(OLDER.format(file))
            if path.stat().st_size > LARGEST:
                raise MmalignError(f"{file} is larger than {LARGEST >> 20} MB")
            return read(path)
        except MmalignError as error:
            missing[name] = str(error)
        except BROKEN as error:
            missing[name] = f"{file} cannot be read: {error!r}"[:300]
        return otherwise

    learning = part("learning", "metrics.jsonl", _learning, {})
    if not learning:
        missing.setdefault("learning", "the method told of no epochs: it has no training loop")
    confusion = part("confusion", "confusion.csv", _confusion, {})
    recipe = part("recipe", "recipe.toml", lambda path: path.read_text(encoding="utf-8"), "")
    said = part("curves", FIGURES, read_json, {})
    said = said if isinstance(said, dict) else {}
    names = set(report["runs"][0]["per_class"]) | {name for pair in confusion for name in pair}
    found, why = said.get("map"), missing.get("curves", "figures.json has no map")
    latent = found if isinstance(found, dict) else {"why": why}
    if "why" in latent:
        missing["map"] = str(latent["why"])
    curves = said.get("curves")
    if not curves:
        missing.setdefault("curves", "no seen class was asked, or no unseen one: there is no curve")
    unseen = _unseen(said, names) or _unseen_of_model(folder)
    curves = tuple(curves) if isinstance(curves, list) else ()
    return RunFolder(report, learning, confusion, unseen, curves, latent, recipe, missing)


def _learning(path: Path) -> Curves:
    def told() -> Iterator[Mapping[str, Any]]:
        with path.open(encoding="utf-8") as file:
            for line in file:
                with suppress(ValueError):  # the last one of a killed run, of which a part is there
                    said = json.loads(line)
                    if {"seed", "stage", "epoch"} <= said.keys():
                        yield said

    return curves_of(told())


def _confusion(path: Path) -> dict[tuple[str, str], int]:
    counts: dict[tuple[str, str], int] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            pair = row["true"], row["predicted"]
            counts[pair] = counts.get(pair, 0) + int(row["count"])
    return counts


def _unseen(said: Mapping[str, Any], names: set[str]) -> set[str] | None:
    """The unseen classes' names, from those of one side."""
    listed = said.get("classes")
    if said.get("side") not in ("seen", "unseen") or not isinstance(listed, list):
        return None
    few = {str(name) for name in listed}
    return few if said["side"] == "unseen" else names - few


def _unseen_of_model(folder: Path) -> set[str] | None:
    """The same from the model's file, for runs of an older mmalign."""
    try:
        said = read_json(folder / "model" / "config.json")["signature"]
        return {str(said["classes"][index]) for index in said["unseen"]}
    except (MmalignError, LookupError, TypeError):
        return None
