"""Milliseconds per training step of the aligned VAE: a plain implementation against mmalign.

Both train CADA-VAE with every term active on CUB (random numbers in its shapes where the
files are missing), whole epochs of real training with batches, losses, optimiser and
logging. Epochs alternate, plain / plain with batches by index / mmalign, and the first of
each is a warm-up. The ratio is of medians. Then mmalign with the factors of its products rounded
to bfloat16, and the step's matrix products alone in float32: every row's, those of a class's
description too, which mmalign makes once for each class in a batch. ``--compiled`` times forward
and backward pass once more as torch.compile makes them, and says how long that took to make.

    python benchmarks/step.py --batch 50 256 --rounds 5 --json step.json
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import common
import plain
import torch

from mmalign import (
    ERRORS,
    Aligner,
    Objective,
    Parts,
    Products,
    Ramp,
    Session,
    Training,
    train_aligner,
)
from mmalign.align import draw_noise
from mmalign.feeding import Resident
from mmalign.together import Loss

LATENT = 64


def products(training: Training, parts: Parts, batch: int) -> list[tuple[int, int, int]]:
    """``(m, k, n)`` of each matrix product of a step, forward and backward.

    A decoder takes the latents of both modalities at once. The gradient with respect to a
    modality's own numbers is not needed.
    """
    found = []
    for name, modality in parts.modalities.items():
        dim, (encoder, decoder) = training.views[name].dim, modality.hidden
        layers = [(batch, dim, encoder), (batch, encoder, 2 * LATENT)]
        layers += [(2 * batch, LATENT, decoder), (2 * batch, decoder, dim)]
        for place, (rows, inputs, outputs) in enumerate(layers):
            found += [(rows, inputs, outputs), (inputs, rows, outputs)]
            found += [(rows, outputs, inputs)] if place else []
    return found


def bare(
    shapes: list[tuple[int, int, int]], repeats: int, clock: Callable[[], float]
) -> list[float]:
    """Seconds that these products take by themselves, once per repeat."""
    made = [(torch.randn(m, k), torch.randn(k, n), torch.empty(m, n)) for m, k, n in shapes]
    seconds = []
    for _ in range(repeats + 2):
        start = clock()
        for a, b, out in made:
            torch.mm(a, b, out=out)
        seconds.append(clock() - start)
    return seconds[2:]


def rounds(
    training: Training,
    parts: Parts,
    batch: int,
    count: int,
    others: bool,
    clock: Callable[[], float],
    products: Products = "float32",
) -> Mapping[str, list[float]]:
    """Seconds per epoch of each implementation, by alternating epochs."""
    weights = {"kl": Ramp(to=0.25), "cross": Ramp(to=2.37), "distribution": Ramp(to=8.13)}
    contenders = {}
    for gathered in ("by loader", "by index") if others else ():
        model = plain.VAE(*(training.views[name].dim for name in ("image", "attributes")), LATENT)
        contenders[f"plain, batches {gathered}"] = plain.train_vae(
            model,
            plain.rows_of(training),
            weights,
            epochs=count + 1,
            batch=batch,
            gathered=gathered,
        )
    seconds: dict[str, list[float]] = {name: [] for name in [*contenders, "mmalign"]}
    start = 0.0

    def ended(*_: object) -> None:
        """After an epoch of mmalign, one of each other implementation."""
        nonlocal start
        seconds["mmalign"].append(clock() - start)
        for name, epochs in contenders.items():
            start = clock()
            next(epochs)
            seconds[name].append(clock() - start)
        start = clock()

    session = Session(0, epoch_ended=ended)
    aligner = Aligner(parts.modalities, training.signature.dims, LATENT, session.generator)
    errors = {name: ERRORS[each.reconstruction] for name, each in parts.modalities.items()}
    losses = {name: replace(each, weight=weights[name]) for name, each in parts.losses.items()}
    objective = Objective(errors, weights["kl"], losses)
    settings: dict[str, Any] = {"draw": "random", "noise": "shared", "scale": "variance"}
    start = clock()
    settings |= {"epochs": count + 1, "batch": batch, "lr": 1.5e-4, "products": products}
    train_aligner(aligner, objective, training, session, **settings)
    return {name: each[1:] for name, each in seconds.items()}


def compiled(
    training: Training, parts: Parts, batch: int, repeats: int, clock: Callable[[], float]
) -> dict[str, Any]:
    """Milliseconds of forward and backward pass, as they are and compiled, in turn.

    Without the optimiser, and for rows that each have their own description, so that shapes are
    the same in every step, which is the best case for a compiler.
    """
    session = Session(0)
    aligner = Aligner(parts.modalities, training.signature.dims, LATENT, session.generator)
    errors = {name: ERRORS[each.reconstruction] for name, each in parts.modalities.items()}
    losses = {name: replace(each, weight=Ramp(to=1.0)) for name, each in parts.losses.items()}
    loss = Loss(aligner, Objective(errors, Ramp(to=1.0), losses), "variance")
    given = Resident(training, "cpu").batch(torch.arange(batch))
    x = {n: v[given.places[n]] if n in given.places else v for n, v in given.values.items()}
    e = {n: draw_noise(batch, LATENT, "shared", session.generator(n)) for n in aligner.names}
    ways: dict[str, Any] = {"as it is": loss, "compiled": torch.compile(loss, dynamic=False)}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    made = 0.0
    for turn in range(repeats + 1):
        for name, way in ways.items():
            start = clock()
            aligner.zero_grad()
            way(x, e, 1)[0].backward()
            if turn:
                seconds[name].append(1e3 * (clock() - start))
            elif name == "compiled":
                made = clock() - start
    found = {name: common.spread(each) for name, each in seconds.items()}
    ratio = found["as it is"]["median"] / found["compiled"]["median"]
    return {"batch": batch, "ms": found, "times_as_fast": ratio, "seconds_to_compile": made}


def measured(given: argparse.Namespace, training: Training, parts: Parts) -> list[dict[str, Any]]:
    """Figures for each batch size and implementation."""
    found, clock = [], common.CLOCKS[given.clock]
    for batch in given.batch:
        steps = -(-len(training.labels) // batch)
        shapes = products(training, parts, batch)
        gigaflop = sum(2 * m * k * n for m, k, n in shapes) / 1e9
        seconds = rounds(training, parts, batch, given.rounds, batch <= given.plain_up_to, clock)
        rounded = rounds(training, parts, batch, given.rounds, False, clock, "bfloat16")
        seconds = {**seconds, "mmalign, bfloat16 products": rounded["mmalign"]}
        alone = common.spread([1e3 * each for each in bare(shapes, 10, clock)])
        for name, each in [*seconds.items(), ("matrix products alone", None)]:
            ms = alone if each is None else common.spread([1e3 * s / steps for s in each])
            found.append(
                {
                    "implementation": name,
                    "batch": batch,
                    "ms_per_step": ms,
                    "us_per_row": 1e3 * ms["median"] / batch,
                    "gflop_per_second": 1e3 * gigaflop / ms["median"],
                    "share_of_products_alone": alone["median"] / ms["median"],
                }
            )
        ours = next(e for e in found if e["implementation"] == "mmalign" and e["batch"] == batch)
        for each in found:
            if each["batch"] == batch:
                ratio = each["ms_per_step"]["median"] / ours["ms_per_step"]["median"]
                each["times_mmalign"] = ratio
    return found


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--root", type=Path, default=common.ROOT, help="folder of xlsa17")
    parser.add_argument("--batch", type=int, nargs="+", default=[50, 256])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--plain-up-to", type=int, default=50, help="time the plain ones up to this batch"
    )
    parser.add_argument(
        "--compiled", action="store_true", help="torch.compile too; needs a compiler"
    )
    parser.add_argument("--small", action="store_true", help="one round, batch 50")
    given = parser.parse_args()
    if given.small:
        given.batch, given.rounds = [50], 1
    torch.set_num_threads(given.threads)
    if given.small:
        given.batch, given.rounds = [256], 1
        given.plain_up_to = 256
    problem, parts, data = common.problem(given.root)
    found = measured(given, problem.training, parts)
    clock, made = common.CLOCKS[given.clock], []
    for batch in given.batch if given.compiled else ():
        made.append(compiled(problem.training, parts, batch, 10 * given.rounds, clock))
    head = ["", "batch", "ms per step", "us per row", "GFLOP/s", "share", "x mmalign"]
    lines = [
        [
            each["implementation"],
            str(each["batch"]),
            common.said(each["ms_per_step"]),
            f"{each['us_per_row']:.1f}",
            f"{each['gflop_per_second']:.1f}",
            f"{100 * each['share_of_products_alone']:.0f} %",
            f"{each['times_mmalign']:.2f}",
        ]
        for each in found
    ]
    text = f"{data}: median (min-max) of {given.rounds} epochs\n{common.table(head, lines)}"
    for each in made:
        ms = {name: common.said(each["ms"][name]) for name in ("as it is", "compiled")}
        text += (
            f"\nforward and backward, batch {each['batch']}: {ms['as it is']} ms, compiled"
            f" {ms['compiled']} ms: {each['times_as_fast']:.2f} times as fast after"
            f" {each['seconds_to_compile']:.0f} s of compiling"
        )
    common.finish(given, {"data": data, "figures": found, "compiled": made}, text)


if __name__ == "__main__":
    main()
