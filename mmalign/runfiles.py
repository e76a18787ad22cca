"""What a run leaves in its folder: its report, what that is drawn from, the model and its card."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmalign import bundle, summary
from mmalign.bundlefiles import CARD
from mmalign.card import card
from mmalign.contracts import Fitted
from mmalign.latentmap import MAP, kept_map
from mmalign.pages import FIGURES
from mmalign.pages.runpage import write_page
from mmalign.recipe import Recipe
from mmalign.report import Report
from mmalign.types import Facts, Problem
from mmalign.unfinished import UNFINISHED
from mmalign.writing import write_whole

MODEL = "model"


def write_model(
    folder: Path,
    recipe: Recipe,
    context: Mapping[str, Any],
    seed: int,
    problem: Problem,
    fitted: Fitted,
    facts: Facts,
) -> None:
    """Write a fitted thing as a model; its card is written when all seeds are done."""
    keys = ("versions", "data", "plugins", "reading", "backbones")
    about: dict[str, Any] = {key: context[key] for key in keys}
    bundle.save(
        folder,
        fitted,
        problem.training.signature,
        problem.scalings,
        recipe.table,
        {**about, "seed": seed, "facts": dict(facts)},
        "",
    )


def finish(folder: Path, report: Report, model: Path, seed: int, clear: bool = True) -> None:
    """Write what a run came to; the report comes last, and says that all of it is there.

    ``model`` is the model of this seed, which moves to its place. ``clear`` takes away what was
    kept for going on.
    """
    if model.exists():  # else it is in its place: the process was killed after that
        shutil.rmtree(folder / MODEL, ignore_errors=True)
        model.rename(folder / MODEL)
    write_whole(folder / MODEL / CARD, card(report, seed).encode())
    write_whole(folder / "confusion.csv", confusion(report))
    drawn = json.dumps(figures(report, kept_map(model.parent / MAP)), allow_nan=False)
    write_whole(folder / FIGURES, drawn.encode())
    text = json.dumps(summary.as_json(report), indent=1, allow_nan=False)
    write_page(folder, json.loads(text))
    write_whole(folder / "report.json", (text + "\n").encode())
    if clear:
        shutil.rmtree(folder / UNFINISHED, ignore_errors=True)


def figures(report: Report, latent_map: Mapping[str, Any]) -> dict[str, Any]:
    """What report.html draws, and report.json has no room for.

    The classes of one side, the smaller: all others are of the other one. The points (U, S) of
    each run's seen-unseen accuracy curve, and the map of the latent space.
    """
    unseen = set(report.unseen)
    few = "unseen" if 2 * len(unseen) <= len(report.classes) else "seen"
    names = [n for i, n in enumerate(report.classes) if (i in unseen) == (few == "unseen")]
    curves = [
        {"seed": seed, **({} if draw is None else {"draw": draw}), "points": each.curve}
        for seed, draw, each in zip(report.seeds, report.draws, report.measures, strict=True)
        if each.curve
    ]
    return {"side": few, "classes": names, "curves": curves, "map": dict(latent_map)}


def confusion(report: Report) -> bytes:
    """How often each class was answered for each true one, by seed and draw, as CSV."""
    drawn = any(draw is not None for draw in report.draws)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["seed", *(["draw"] if drawn else []), "true", "predicted", "count"])
    for seed, draw, each in zip(report.seeds, report.draws, report.measures, strict=True):
        which = [seed, draw] if drawn else [seed]
        for (true, said), count in each.confusion.items():
            writer.writerow([*which, report.classes[true], report.classes[said], count])
    return text.getvalue().encode()
