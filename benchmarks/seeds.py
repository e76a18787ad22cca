"""Several seeds of one fit: one after another, as one batched model, and in two processes.

Each trains the aligned VAE, every term active, in the shapes of CUB (the real files where they
are). "processes" has one thread in each, as `mmalign run --workers` has; starting them, which
a whole fit does once, is not timed. ``--device cuda`` is what the batched model is for: on a
processor its products are no larger than those of one seed, and it gains nothing.

    python benchmarks/seeds.py --seeds 10 --batch 50 --json seeds.json
"""

from __future__ import annotations

import multiprocessing
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import common
import torch

from mmalign import ERRORS, Aligner, Objective, Parts, Ramp, Session, Training
from mmalign.together import train_together
from mmalign.train import train_aligner

LATENT = 64
WEIGHTS = {"kl": Ramp(to=0.25), "cross": Ramp(to=2.37), "distribution": Ramp(to=8.13)}
Prepared = tuple[Training, Parts, dict[str, Any]]


def prepared(root: Path, batch: int, epochs: int) -> tuple[Prepared, str]:
    """What every contender trains on, and by what settings."""
    problem, parts, data = common.problem(root)
    settings: dict[str, Any] = {"epochs": epochs, "batch": batch, "lr": 1.5e-4}
    settings |= {"draw": "random", "noise": "shared", "scale": "variance"}
    return (problem.training, parts, settings), data


def untrained(given: Prepared, session: Session) -> tuple[Aligner, Objective]:
    training, parts, _ = given
    aligner = Aligner(parts.modalities, training.signature.dims, LATENT, session.generator)
    errors = {name: ERRORS[each.reconstruction] for name, each in parts.modalities.items()}
    losses = {name: replace(each, weight=WEIGHTS[name]) for name, each in parts.losses.items()}
    return aligner, Objective(errors, WEIGHTS["kl"], losses)


def apart(given: Prepared, seeds: list[int], device: str) -> list[Aligner]:
    """One after another."""
    done = []
    for seed in seeds:
        session = Session(seed, device)
        aligner, objective = untrained(given, session)
        train_aligner(aligner, objective, given[0], session, **given[2])
        done.append(aligner)
    _wait_for(device)
    return done


def together(given: Prepared, seeds: list[int], device: str) -> list[Aligner]:
    """As one batched model."""
    sessions = [Session(seed, device) for seed in seeds]
    made = [untrained(given, session) for session in sessions]
    aligners = [aligner for aligner, _ in made]
    train_together(aligners, made[0][1], [given[0]] * len(seeds), sessions, **given[2])
    _wait_for(device)
    return aligners


def _wait_for(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def _work(given: Prepared, seeds: list[int], start: Any, ended: Any) -> None:
    torch.set_num_threads(1)
    apart((given[0], given[1], given[2] | {"epochs": 1}), seeds[:1], "cpu")  # warm
    start.wait()
    apart(given, seeds, "cpu")
    ended.wait()


def in_processes(given: Prepared, seeds: list[int], count: int) -> float:
    """Seconds in this many processes, from when all are ready."""
    context = multiprocessing.get_context("spawn")
    start, ended = context.Barrier(count + 1), context.Barrier(count + 1)
    crew = [
        context.Process(target=_work, args=(given, seeds[place::count], start, ended))
        for place in range(count)
    ]
    for process in crew:
        process.start()
    start.wait()
    began = time.perf_counter()
    ended.wait()
    seconds = time.perf_counter() - began
    for process in crew:
        process.join()
    return seconds


def difference(one: list[Aligner], other: list[Aligner]) -> float:
    """The largest difference between two weights."""
    pairs = zip(one, other, strict=True)
    return max(
        float((a.detach() - b.detach()).abs().max())
        for x, y in pairs
        for a, b in zip(x.parameters(), y.parameters(), strict=True)
    )


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--root", type=Path, default=common.ROOT, help="folder of xlsa17")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--batch", type=int, nargs="+", default=[50, 256])
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--small", action="store_true", help="two seeds, one round")
    given = parser.parse_args()
    if given.small:
        given.seeds, given.batch, given.rounds = 2, [256], 1
    torch.set_num_threads(given.threads)
    seeds, found, data = list(range(given.seeds)), [], ""
    for batch in given.batch:
        ready, data = prepared(given.root, batch, given.epochs)
        seconds: dict[str, list[float]] = {}
        apart(ready, seeds[:1], given.device)  # warm
        for _ in range(given.rounds):
            models = []
            for name, train in (("one after another", apart), ("as one model", together)):
                began = time.perf_counter()
                models.append(train(ready, seeds, given.device))
                seconds.setdefault(name, []).append(time.perf_counter() - began)
            if given.device == "cpu":
                name = f"in {given.processes} processes"
                seconds.setdefault(name, []).append(in_processes(ready, seeds, given.processes))
        steps = given.epochs * -(-len(ready[0].labels) // batch) * given.seeds
        base = common.spread(seconds["one after another"])["median"]
        found += [
            {
                "implementation": name,
                "batch": batch,
                "seeds": given.seeds,
                "seconds": common.spread(each),
                "steps_per_second": steps / common.spread(each)["median"],
                "times_as_fast": base / common.spread(each)["median"],
                "largest_difference": difference(*models) if name == "as one model" else 0.0,
            }
            for name, each in seconds.items()
        ]
    head = ["", "batch", "seeds", "seconds", "steps of a seed per s", "times as fast"]
    lines = [
        [
            each["implementation"],
            str(each["batch"]),
            str(each["seeds"]),
            common.said(each["seconds"]),
            f"{each['steps_per_second']:.1f}",
            f"{each['times_as_fast']:.2f}",
        ]
        for each in found
    ]
    text = f"{data}: median (min-max) of {given.rounds} rounds\n{common.table(head, lines)}"
    common.finish(given, {"data": data, "device": given.device, "figures": found}, text)


if __name__ == "__main__":
    main()
