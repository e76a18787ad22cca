"""The whole run on CUB, training to H: a plain implementation against mmalign.

Each trains the aligned VAE and the softmax head over all classes once, with one seed, and
scores the generalized test question; only these three are timed, loading is not. The plain
one has the published settings (batch 50, learning rate 1.5e-4), mmalign those given by
``--batch`` and ``--lr``, once in float32 and once with bfloat16 products. One seed is one draw:
H differs by about a point between seeds.

    python benchmarks/whole_run.py --threads 2 --batch 256 --lr 5e-4 --json whole_run.json
    python benchmarks/whole_run.py --small
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import common
import plain
import torch

from mmalign import Floats, Parts, Problem, Products, Session, measure
from mmalign_aligned_vae.fitted import encode
from mmalign_aligned_vae.latents import Drawer
from mmalign_aligned_vae.method import AlignedVAE
from mmalign_aligned_vae.representing import represent
from mmalign_gzsl.fitting import train_part

STAGES = ("representation", "head", "scores")


class Watch:
    """Seconds of each stage, by the wall and by the processor."""

    def __init__(self) -> None:
        self.stages: dict[str, dict[str, float]] = {}
        self.last = {name: clock() for name, clock in common.CLOCKS.items()}

    def ended(self, stage: str) -> None:
        now = {name: clock() for name, clock in common.CLOCKS.items()}
        self.stages[stage] = {name: now[name] - self.last[name] for name in now}
        self.last = now

    def total(self, clock: str) -> float:
        return sum(stage[clock] for stage in self.stages.values())


def teller(who: str) -> Callable[[str, int, int, float], None]:
    """Prints about ten lines a stage."""
    start = time.perf_counter()

    def tell(stage: str, epoch: int, epochs: int, loss: float) -> None:
        if epoch % max(1, epochs // 10) == 0 or epoch == epochs:
            seconds = time.perf_counter() - start
            print(f"{who}: {stage} {epoch}/{epochs}, loss {loss:.2f}, {seconds:.0f} s", flush=True)

    return tell


def run_plain(problem: Problem, parts: Parts, given: argparse.Namespace, watch: Watch) -> Floats:
    """Scores of the question's rows by the plain implementation."""
    tell, training = teller("plain"), problem.training
    torch.manual_seed(given.seed)
    rows = plain.rows_of(training)
    weights = {"kl": AlignedVAE().kl, **{k: each.weight for k, each in parts.losses.items()}}
    model = plain.VAE(training.views["image"].dim, training.views["attributes"].dim)
    epochs = plain.train_vae(model, rows, weights, epochs=given.epochs, gathered=given.gathered)
    for epoch, loss in enumerate(epochs, 1):
        tell("representation", epoch, given.epochs, loss)
    watch.ended("representation")
    seen, unseen = training.seen.tolist(), training.unseen.tolist()
    z, labels = plain.head_rows(model, rows, seen, unseen, (parts.head.seen, parts.head.unseen))
    heads = plain.train_head(
        z, labels, len(training.classes), epochs=given.head_epochs, gathered=given.gathered
    )
    for epoch, (trained, loss) in enumerate(heads, 1):
        tell("head", epoch, given.head_epochs, loss)
        head = trained
    watch.ended("head")
    with torch.no_grad():
        x = torch.from_numpy(problem.question.views["image"].values)
        scores: Floats = head(model.image_encoder(x)[0]).numpy()[:, problem.question.search]
    watch.ended("scores")
    return scores


def run_mmalign(
    problem: Problem, parts: Parts, given: argparse.Namespace, watch: Watch, products: Products
) -> Floats:
    """Scores of the question's rows by mmalign."""
    tell = teller(f"mmalign, {products}")

    def told(stage: str, epoch: int, epochs: int, terms: dict[str, float]) -> None:
        tell(stage, epoch, epochs, next(iter(terms.values())))

    session = Session(given.seed, epoch_ended=told)
    method = AlignedVAE(
        epochs=given.epochs,
        batch=given.batch,
        lr=given.lr,
        noise=given.noise,
        scale=given.scale,
        products=products,
    )
    aligner = represent(method, problem.training, parts, session, "representation")
    watch.ended("representation")
    latents = Drawer(session, method.noise, method.scale, aligner, problem.training)
    head = train_part(parts.head, "all", latents, session, given.head_epochs)
    watch.ended("head")
    z = encode(aligner, problem.question.views, session.device)
    scores: Floats = head.scores(z, problem.question.search.tolist()).numpy()
    watch.ended("scores")
    return scores


RUNS: dict[str, Callable[[Problem, Parts, argparse.Namespace, Watch], Floats]] = {
    "plain": run_plain,
    "mmalign": partial(run_mmalign, products="float32"),
    "mmalign, bfloat16 products": partial(run_mmalign, products="bfloat16"),
}


def options() -> argparse.Namespace:
    parser = common.parser(__doc__)
    parser.add_argument("--root", type=Path, default=common.ROOT, help="folder of xlsa17")
    parser.add_argument("--only", choices=list(RUNS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--head-epochs", type=int, default=23)
    parser.add_argument("--batch", type=int, default=256, help="of mmalign")
    parser.add_argument("--lr", type=float, default=5e-4, help="of mmalign")
    parser.add_argument("--noise", default=AlignedVAE().noise, help="of mmalign")
    parser.add_argument("--scale", default=AlignedVAE().scale, help="of mmalign")
    parser.add_argument(
        "--gathered", choices=["by loader", "by index"], default="by loader", help="of plain"
    )
    parser.add_argument(
        "--small", action="store_true", help="one epoch each, to see it work: H stays 0"
    )
    given = parser.parse_args()
    if given.small:
        given.epochs = given.head_epochs = 1
    return given


def main() -> None:
    given = options()
    torch.set_num_threads(given.threads)
    problem, parts, data = common.problem(given.root, real=not given.small)
    found: dict[str, Any] = {}
    for name, run in RUNS.items():
        if given.only in (None, name):
            watch = Watch()
            scores = run(problem, parts, given, watch)
            measures = measure(scores, problem.question).summary()
            found[name] = {
                "seconds": {clock: watch.total(clock) for clock in common.CLOCKS},
                "stages": watch.stages,
                **measures,
            }
    lines = [
        [name, *(f"{each['stages'][stage][given.clock]:.1f}" for stage in STAGES)]
        + [f"{each['seconds'][given.clock]:.1f}"]
        + [f"{100 * each[metric]:.1f}" for metric in ("S", "U", "H")]
        for name, each in found.items()
    ]
    text = common.table([f"{data}, seconds", *STAGES, "all", "S", "U", "H"], lines)
    for name in [each for each in found if "plain" in found and each != "plain"]:
        ratio = found["plain"]["seconds"][given.clock] / found[name]["seconds"][given.clock]
        text += f"\nplain takes {ratio:.2f} times as long as {name}"
    settings = {k: str(v) if isinstance(v, Path) else v for k, v in vars(given).items()}
    common.finish(given, {"data": data, "settings": settings, "runs": found}, text)


if __name__ == "__main__":
    main()
