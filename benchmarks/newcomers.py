"""Classes added to a finished model, against a model that knew them from the start.

Both models learn from the same training rows. One is told of the unseen classes before its
head is fitted; the other (``protocol.search = "seen"``) is not, and they are added to it
afterwards, from what it kept of the seen classes and from their descriptions. Both answer the
same test rows. "seen among seen" is the accuracy of the old classes among themselves.

    python benchmarks/newcomers.py cub_gzsl --reuse runs/fits --seeds 5
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import common
import numpy as np
import torch

from mmalign import Fitted, Measures, Question, Session, measure, pose
from mmalign.answering import measured_by
from mmalign.plugins import discover
from mmalign.recipe import Recipe, read


def measured(fitted: Fitted, question: Question, number: dict[int, int]) -> Measures:
    """Measure a model whose classes have other numbers than the question's."""

    def scores(rows: np.ndarray, classes: np.ndarray) -> np.ndarray:
        views = {name: view.take(rows) for name, view in question.views.items()}
        return fitted.scores(views, [number[index] for index in classes.tolist()])

    every = np.arange(len(question.labels))
    unseen = np.flatnonzero(np.isin(question.labels, question.unseen))
    alone = scores(unseen, question.unseen) if len(unseen) else None
    return measure(scores(every, question.search), question, alone)


def compared(
    recipe: Recipe, seed: int, reuse: Path | None
) -> list[tuple[str, Measures | None, float]]:
    """What each model scored, by name, and the seconds that adding took."""
    source, parts = recipe.dataset.load(), recipe.parts
    views = {name: each.view(source) for name, each in parts.modalities.items()}
    session = Session(seed, reuse=reuse)

    def problem(search: str):
        protocol = replace(recipe.protocol, search=search)
        return pose(source, views, parts.modalities, protocol, seed)

    whole, part = problem("all"), problem("seen")
    known = recipe.method.fit(whole.training, parts, session)
    before = recipe.method.fit(part.training, parts, session)
    seen, unseen = whole.training.seen, whole.training.unseen
    added = {
        name: part.scalings[name](view.take(unseen))
        for name, view in views.items()
        if view.level == "class"
    }
    order = [*seen.tolist(), *unseen.tolist()]
    signature = replace(
        whole.training.signature,
        classes=tuple(source.classes[index] for index in order),
        seen=tuple(range(len(seen))),
        unseen=tuple(range(len(seen), len(order))),
    )
    began = time.perf_counter()
    later = before.reclassed(seen.tolist(), added, signature, session)
    seconds = time.perf_counter() - began
    number = {index: place for place, index in enumerate(order)}
    return [
        ("known from the start", measured_by(known, whole.question), 0.0),
        ("added afterwards", measured(later, whole.question, number), seconds),
        ("seen among seen, before", measured_by(before, part.question), 0.0),
        ("seen among seen, after", measured(later, part.question, number), 0.0),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = common.parser(__doc__)
    parser.add_argument("recipe", nargs="?", help="needed but with --small")
    parser.add_argument("--reuse", type=Path, help="folder of fitted aligners")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--set", dest="settings", action="append", default=[])
    given = common.of_recipe(parser.parse_args(arguments), parser)
    torch.set_num_threads(given.threads)
    recipe = read(given.recipe, discover(), given.settings)
    found: dict[str, list[list[float]]] = {}
    print(f"{'':32}{'S':>8}{'U':>8}{'H':>8}{'T1':>8}   s")
    for seed in range(given.seeds):
        for title, at, seconds in compared(recipe, seed, given.reuse):
            numbers = [100 * at.S, 100 * at.U, 100 * at.H, 100 * at.T1, seconds]
            found.setdefault(title, []).append(numbers)
            shown = "".join(f"{each:8.1f}" for each in numbers[:4])
            print(f"{f'{title}, seed {seed}':32}{shown}{seconds:4.0f}", flush=True)
    lines = []
    for title, rows in found.items():
        mean, std = np.mean(rows, axis=0), np.std(rows, axis=0, ddof=min(1, len(rows) - 1))
        said = "  ".join(f"{m:.1f} ± {d:.1f}" for m, d in zip(mean, std, strict=True))
        lines.append(f"{title}: {said}")
    common.finish(given, {"recipe": given.recipe, "runs": found}, "\n".join(lines))


if __name__ == "__main__":
    main()
