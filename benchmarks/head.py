"""Milliseconds per step of the softmax head's training: plain against mmalign.

50,000 latents of 64 dimensions in 200 classes (150 of 200 rows, 50 of 400), batch 32, Adam,
one permutation per epoch. Epochs alternate, plain / plain with batches by index / mmalign;
the first of each is a warm-up, and mmalign runs ``--ours`` epochs for each plain one. The
numbers are random, which no timing depends on. The ratio is of medians.

Then mmalign in batches of 256, and each operation of a step by itself, over and over on the same
numbers: together they are the least that a step of these operations takes, and the two products
the least that any does.

    python benchmarks/head.py --rounds 5 --json head.json
"""

from __future__ import annotations

import common
import plain
import torch
from torch import Tensor

from mmalign import Session, fit_linear
from mmalign.linearfit import AdamState

SEEN, UNSEEN, DIM, BATCH = (150, 200), (50, 400), 64, 32


def latents() -> tuple[Tensor, Tensor, int]:
    """Random latents around a random centre of each class, their labels, how many classes."""
    counts = torch.tensor([SEEN[1]] * SEEN[0] + [UNSEEN[1]] * UNSEEN[0])
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(len(counts)).repeat_interleave(counts)
    centres = torch.randn(len(counts), DIM, generator=draw)
    return (
        centres[labels] + torch.randn(len(labels), DIM, generator=draw),
        labels,
        len(counts),
    )


def operations(repeats: int, clock: Callable[[], float]) -> dict[str, float]:
    """Milliseconds of each operation of a step, alone."""
    z, labels, classes = latents()
    x, y = torch.cat([z, torch.ones_like(z[:, :1])], 1)[:BATCH], labels[:BATCH]
    state = AdamState(0.1 * torch.randn(DIM + 1, classes))
    scores, place = x @ state.theta, torch.arange(BATCH) * classes + y
    minus, kept = torch.full((BATCH,), -1.0), torch.empty(BATCH)
    line = torch.softmax(scores, 1).view(-1)

    def targets() -> None:
        torch.take(line, place, out=kept)
        line.index_add_(0, place, minus)

    alone: dict[str, Callable[[], object]] = {
        "product: scores": lambda: x @ state.theta,
        "softmax": lambda: torch.softmax(scores, dim=1),
        "targets": targets,
        "product: gradient": lambda: torch.addmm(
            state.gradient, x.T, scores, beta=0, alpha=1 / BATCH, out=state.gradient
        ),
        "Adam": lambda: state.move(1e-3),
    }
    found = {}
    with torch.inference_mode():
        for name, operation in alone.items():
            for _ in range(repeats // 10):
                operation()
            start = clock()
            for _ in range(repeats):
                operation()
            found[name] = 1e3 * (clock() - start) / repeats
    return found


def in_larger_batches(count: int, clock: Callable[[], float], batch: int = 256) -> list[float]:
    """Seconds per epoch of mmalign at another batch."""
    z, labels, classes = latents()
    session, seconds, start = Session(0), [], clock()

    def ended(*_: object) -> None:
        nonlocal start
        seconds.append(clock() - start)
        start = clock()

    fit_linear(
        z,
        labels,
        tuple(range(classes)),
        epochs=count + 1,
        batch=batch,
        lr=1e-3,
        initialisation=session.generator("initialisation"),
        order=session.generator("order"),
        epoch_ended=ended,
    )
    return seconds[1:]


def rounds(count: int, ours: int, clock: Callable[[], float]) -> dict[str, list[float]]:
    """Seconds per epoch of each implementation, by alternating epochs."""
    z, labels, classes = latents()
    contenders = {
        f"plain, batches {gathered}": plain.train_head(
            z, labels, classes, epochs=count + 1, batch=BATCH, gathered=gathered
        )
        for gathered in ("by loader", "by index")
    }
    seconds: dict[str, list[float]] = {name: [] for name in [*contenders, "mmalign"]}
    start = 0.0

    def ended(epoch: int, *_: object) -> None:
        """After ``ours`` epochs of mmalign, one of each other implementation."""
        nonlocal start
        seconds["mmalign"].append(clock() - start)
        for name, epochs in contenders.items() if epoch % ours == 0 else ():
            start = clock()
            next(epochs)
            seconds[name].append(clock() - start)
        start = clock()

    session = Session(0)
    start = clock()
    fit_linear(
        z,
        labels,
        tuple(range(classes)),
        epochs=ours * (count + 1),
        batch=BATCH,
        lr=1e-3,
        initialisation=session.generator("initialisation"),
        order=session.generator("order"),
        epoch_ended=ended,
    )
    return {name: each[ours:] if name == "mmalign" else each[1:] for name, each in seconds.items()}


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ours", type=int, default=3, help="epochs of mmalign in a round")
    parser.add_argument("--small", action="store_true", help="one round")
    given = parser.parse_args()
    if given.small:
        given.rounds = given.ours = 1
    torch.set_num_threads(given.threads)
    clock = common.CLOCKS[given.clock]
    seconds = rounds(given.rounds, given.ours, clock)
    alone = operations(500 if given.small else 5000, clock)
    larger = in_larger_batches(given.rounds * given.ours, clock)
    steps = -(-(SEEN[0] * SEEN[1] + UNSEEN[0] * UNSEEN[1]) // BATCH)
    figures = {
        name: {
            "ms_per_step": common.spread([1e3 * each / steps for each in rounds_of]),
            "s_per_epoch": common.spread(rounds_of),
        }
        for name, rounds_of in seconds.items()
    }
    ours = figures["mmalign"]["s_per_epoch"]["median"]
    figures["mmalign, batches of 256"] = {
        "ms_per_step": common.spread([8e3 * each / steps for each in larger]),
        "s_per_epoch": common.spread(larger),
    }
    for each in figures.values():
        each["times_mmalign"] = each["s_per_epoch"]["median"] / ours
    lines = [
        [
            name,
            common.said(each["ms_per_step"], 3),
            common.said(each["s_per_epoch"], 3),
            f"{each['times_mmalign']:.1f}",
        ]
        for name, each in figures.items()
    ]
    head = ["", "ms per step", "s per epoch", "x mmalign"]
    step = figures["mmalign"]["ms_per_step"]["median"]
    loop = figures["plain, batches by loader"]["ms_per_step"]["median"]
    parts = {**alone, "all of these": sum(alone.values())}
    products = alone["product: scores"] + alone["product: gradient"]
    parts_lines = [[k, f"{v:.4f}", f"{100 * v / step:.0f} %"] for k, v in parts.items()]
    text = f"median (min-max) of {given.rounds} rounds\n{common.table(head, lines)}"
    text += "\n\n" + common.table(["of a step of mmalign, alone", "ms", "share"], parts_lines)
    text += f"\nthe plain loop takes {loop / products:.1f} times as long as the two products alone"
    figures_of = {"figures": figures, "operations": parts, "plain_over_products": loop / products}
    common.finish(given, {"batch": BATCH, "steps": steps, **figures_of}, text)


if __name__ == "__main__":
    main()
