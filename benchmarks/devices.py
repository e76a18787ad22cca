"""Milliseconds per training step of the aligned VAE with one process and with two over gloo.

CADA-VAE with every term active on CUB (random numbers in its shapes where the files are
missing), one thread a process, whole epochs; the first is a warm-up. Epochs of one process
and of two alternate, while the other waits. The share is of the two processes' steps: what
the first spends in adding the gradients up, with its waiting for the other one there. Two
processes need two processors that nothing else uses.

    python benchmarks/devices.py --batch 256 512 2048 --rounds 3 --json devices.json
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import common
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from mmalign import ERRORS, Aligner, Objective, Parts, Ramp, Session, Training, train_aligner
from mmalign.group import Group

SIZE = 2
LATENT = 64


class Timed(Group):
    """A group that keeps the seconds that its sums took."""

    spent = 0.0

    @contextmanager
    def _together(self) -> Iterator[None]:
        start = time.perf_counter()
        with super()._together():
            yield
        Timed.spent += time.perf_counter() - start


def epoch(training: Training, parts: Parts, batch: int, group: Group | None, epochs: int) -> float:
    """Seconds of the last of so many epochs."""
    marks = [time.perf_counter()]

    def ended(*_: object) -> None:
        marks.append(time.perf_counter())
        Timed.spent = 0.0 if len(marks) <= epochs else Timed.spent

    weights = {"kl": Ramp(to=0.25), "cross": Ramp(to=2.37), "distribution": Ramp(to=8.13)}
    session = Session(0, epoch_ended=ended, group=group)
    aligner = Aligner(parts.modalities, training.signature.dims, LATENT, session.generator)
    errors = {name: ERRORS[each.reconstruction] for name, each in parts.modalities.items()}
    losses = {name: replace(each, weight=weights[name]) for name, each in parts.losses.items()}
    settings: dict[str, Any] = {"draw": "random", "noise": "shared", "scale": "variance"}
    settings |= {"epochs": epochs, "batch": batch, "lr": 1.5e-4}
    train_aligner(aligner, Objective(errors, weights["kl"], losses), training, session, **settings)
    return marks[-1] - marks[-2]


def process(rank: int, given: argparse.Namespace, folder: str) -> None:
    """One of the processes; the first writes what it measured to a file."""
    torch.set_num_threads(given.threads)
    meeting = (Path(folder) / "meeting").as_uri()
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=SIZE)
    problem, parts, data = common.problem(given.root)
    group, found = Timed(rank, SIZE), []
    for batch in given.batch:
        steps = -(-len(problem.training.labels) // batch)
        for _ in range(given.rounds):
            if rank == 0:
                alone = epoch(problem.training, parts, batch, None, 2)
            group.wait()
            together = epoch(problem.training, parts, batch, group, 2)
            if rank == 0:
                ms = [1e3 * each / steps for each in (alone, together, Timed.spent)]
                found.append((batch, *ms))
    if rank == 0:
        torch.save((data, found), Path(folder) / "found.pt")
    group.wait()
    dist.destroy_process_group()


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--root", type=Path, default=common.ROOT, help="folder of xlsa17")
    parser.add_argument("--batch", type=int, nargs="+", default=[256, 512, 2048])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="one round of the largest batch")
    given = parser.parse_args()
    if given.small:
        given.batch, given.rounds = [max(given.batch)], 1
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(process, (given, folder), SIZE)
        data, rounds = torch.load(Path(folder) / "found.pt")
    figures, lines = [], []
    for batch in given.batch:
        one, two, spent = zip(*(each[1:] for each in rounds if each[0] == batch), strict=True)
        of = {"one": common.spread(one), "two": common.spread(two), "adding": common.spread(spent)}
        faster = of["one"]["median"] / of["two"]["median"]
        share = of["adding"]["median"] / of["two"]["median"]
        figures.append({"batch": batch, "ms_per_step": of, "faster": faster, "adding": share})
        said = [common.said(of["one"], 1), common.said(of["two"], 1)]
        lines.append([str(batch), *said, f"{faster:.2f}", f"{100 * share:.0f} %"])
    head = ["batch", "ms, one process", "ms, two", "times faster", "adding"]
    text = f"{data}: median (min-max) of {given.rounds} epochs\n{common.table(head, lines)}"
    common.finish(given, {"data": data, "processes": SIZE, "figures": figures}, text)


if __name__ == "__main__":
    main()
