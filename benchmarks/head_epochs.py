"""What the number of head epochs does to S, U and H on the test rows: a diagnosis only.

The head's epochs are chosen on the validation protocol; this shows, for fits that exist
already, what the choice gave and what the best one on test would have been. Nothing may be
chosen from it.

    python benchmarks/head_epochs.py cub_gzsl --reuse runs/fits --seeds 5
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import common
import torch

from mmalign import Measures, Session, measure, pose
from mmalign.plugins import discover
from mmalign.recipe import Recipe, read
from mmalign_aligned_vae.fitted import encode
from mmalign_aligned_vae.latents import Drawer
from mmalign_aligned_vae.representing import represent
from mmalign_gzsl.fitting import train_part


def curve(recipe: Recipe, seed: int, reuse: Path | None, epochs: int) -> list[Measures]:
    """The test measures after each epoch of the head."""
    source = recipe.dataset.load()
    modalities = recipe.parts.modalities
    views = {name: each.view(source) for name, each in modalities.items()}
    problem = pose(source, views, modalities, recipe.protocol, seed)
    session = Session(seed, reuse=reuse)
    method, question = recipe.method, problem.question
    aligner = represent(method, problem.training, recipe.parts, session, "representation")
    latents = Drawer(session, method.noise, method.scale, aligner, problem.training)
    z = encode(aligner, question.views, session.device)
    search = question.search.tolist()
    found: list[Measures] = []

    def ended(epoch: int, loss: float, now: object) -> None:
        found.append(measure(now.scores(z, search).numpy(), question))

    train_part(recipe.parts.head, "all", latents, session, epochs, ended)
    return found


def row(title: str, epoch: int, at: Measures) -> str:
    """One line of the table."""
    return f"{title:28}{epoch:6d}{100 * at.S:8.1f}{100 * at.U:8.1f}{100 * at.H:8.1f}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = common.parser(__doc__)
    parser.add_argument("recipe", nargs="?", help="needed but with --small")
    parser.add_argument("--reuse", type=Path, help="folder of fitted aligners")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--set", dest="settings", action="append", default=[])
    given = common.of_recipe(parser.parse_args(arguments), parser)
    torch.set_num_threads(given.threads)
    recipe = read(given.recipe, discover(), given.settings)
    lines = [f"{'(test rows: a diagnosis only)':28}{'epoch':>6}{'S':>8}{'U':>8}{'H':>8}"]
    curves = []
    for seed in range(given.seeds):
        found = curve(recipe, seed, given.reuse, given.epochs)
        for epoch in (23, 50, 100, given.epochs):
            if epoch <= len(found):
                lines.append(row(f"seed {seed}", epoch, found[epoch - 1]))
        best = max(range(len(found)), key=lambda place: found[place].H)
        lines.append(row(f"seed {seed}, best on test", best + 1, found[best]))
        curves.append([each.H for each in found])
    common.finish(given, {"recipe": given.recipe, "H": curves}, "\n".join(lines))


if __name__ == "__main__":
    main()
