"""Milliseconds per step of the softmax head's training: plain against mmalign.

50,000 latents of 64 dimensions in 200 classes (150 of 200 rows, 50 of 400), batch 32, Adam,
one permutation per epoch. Epochs alternate, plain / plain with batches by index / mmalign;
the first of each is a warm-up, and mmalign runs ``--ours`` epochs for each plain one. The
numbers are random, which no timing depends on. The ratio is of medians.

    python benchmarks/head.py --rounds 5 --json head.json
"""

from __future__ import annotations

import common
import plain
import torch
from torch import Tensor

from mmalign import Session, fit_linear

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
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    seconds = rounds(given.rounds, given.ours, common.CLOCKS[given.clock])
    steps = -(-(SEEN[0] * SEEN[1] + UNSEEN[0] * UNSEEN[1]) // BATCH)
    figures = {
        name: {
            "ms_per_step": common.spread([1e3 * each / steps for each in rounds_of]),
            "s_per_epoch": common.spread(rounds_of),
        }
        for name, rounds_of in seconds.items()
    }
    ours = figures["mmalign"]["s_per_epoch"]["median"]
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
    text = f"median (min-max) of {given.rounds} rounds\n{common.table(head, lines)}"
    common.finish(given, {"batch": BATCH, "steps": steps, "figures": figures}, text)


if __name__ == "__main__":
    main()
