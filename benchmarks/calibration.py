"""How far probabilities are from how often they are right, on test rows.

The temperature of a fitted model comes from the validation protocol. Here its probabilities,
and those of a softmax at temperature 1, are held against the test rows: expected calibration
error (ECE, 15 bins of equal width, Guo et al. 2017), mean negative log likelihood, mean
confidence and accuracy, all over rows. Nothing is chosen from it.

    python benchmarks/calibration.py cub_gzsl --reuse runs/fits --seeds 3
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import common
import numpy as np
import torch

from mmalign import Session
from mmalign.answering import answer
from mmalign.calibration import probabilities
from mmalign.plugins import discover
from mmalign.recipe import read

BINS = 15


def measured(chances: np.ndarray, right: np.ndarray) -> dict[str, float]:
    """ECE, NLL, confidence and accuracy; ``right`` is the column of the true class."""
    best, hit = chances.max(1), chances.argmax(1) == right
    place = np.minimum((best * BINS).astype(int), BINS - 1)
    gaps = [
        abs(best[place == b].mean() - hit[place == b].mean()) * (place == b).mean()
        for b in range(BINS)
        if (place == b).any()
    ]
    true = np.maximum(chances[np.arange(len(right)), right], 1e-12)
    return {
        "ECE": float(sum(gaps)),
        "NLL": float(-np.log(true).mean()),
        "confidence": float(best.mean()),
        "accuracy": float(hit.mean()),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = common.parser(__doc__)
    parser.add_argument("recipe", nargs="?", help="needed but with --small")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="A.B=C")
    parser.add_argument("--seeds", type=int, default=3, help="2 at least")
    parser.add_argument("--reuse", type=Path, default=None)
    given = common.of_recipe(parser.parse_args(arguments), parser)
    if given.small:  # fixed epochs choose nothing on the validation protocol, nor a temperature
        given.settings = [each for each in given.settings if "head.epochs" not in each]
        given.settings += ["head.epochs=validation", "head.most_epochs=4"]
    torch.set_num_threads(given.threads)
    recipe = read(given.recipe, discover(), given.settings)
    source = recipe.dataset.load()
    views = {name: each.view(source) for name, each in recipe.parts.modalities.items()}
    found: dict[str, list[dict[str, float]]] = {}
    for seed in range(given.seeds):
        session = Session(seed, reuse=given.reuse)
        problem, fitted, _ = answer(recipe, source, views, session)
        question, warm = problem.question, fitted.temperature
        scores = fitted.scores(question.views, question.search.tolist())
        right = np.searchsorted(question.search, question.labels)
        for name, temperature in (("temperature 1", 1.0), ("chosen", warm)):
            found.setdefault(name, []).append(measured(probabilities(scores, temperature), right))
        print(f"seed {seed}: temperature {warm:.3g}", flush=True)
    lines = []
    for name, runs in found.items():
        columns = {key: [run[key] for run in runs] for key in runs[0]}
        said = [f"{k} {np.mean(v):.3f} ± {np.std(v, ddof=1):.3f}" for k, v in columns.items()]
        lines.append(f"{name:14s} {'  '.join(said)}")
    common.finish(given, {"recipe": given.recipe, "runs": found}, "\n".join(lines))


if __name__ == "__main__":
    main()
