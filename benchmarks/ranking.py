"""Seconds for an epoch of the ranking methods: row by row, and in batches.

7,057 rows of 1,000 features in 150 classes with 312 attributes, the shape of CUB; LATEM with 6
maps. Epochs of one method alternate: row by row with products of single rows ("plain"), row by
row with the products of 64 rows taken together (what ``batch = 1`` does; the steps are the
same), batches of 16, and of 64. The first round is a warm-up. The numbers are random, and no
timing depends on them. Ratios are of medians, to ``batch = 1`` of the same method.

    python benchmarks/ranking.py --rounds 5 --json ranking.json
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import common
import torch

from mmalign import Rows, Session
from mmalign_baselines.ale import ALE
from mmalign_baselines.descent import BLOCK, epochs
from mmalign_baselines.devise import DeViSE
from mmalign_baselines.latem import LATEM
from mmalign_baselines.ranking import Ranking
from mmalign_baselines.sje import SJE

ROWS, DIM, CLASSES, ATTRIBUTES = 7057, 1000, 150, 312
SMALL = 256  # rows
METHODS = [SJE(lr=1e-4, margin=1.0), DeViSE(lr=1e-4, margin=1.0), ALE(lr=1e-4)]
METHODS += [LATEM(lr=1e-4, maps=6)]
WAYS = {"plain": (1, 1), "batch = 1": (1, BLOCK), "batch = 16": (16, 0), "batch = 64": (64, 0)}


def rows(count: int) -> Rows:
    """Random features, and descriptions of unit length."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(count, DIM, generator=draw)
    labels = torch.randint(CLASSES, (count,), generator=draw)
    described = torch.rand(CLASSES, ATTRIBUTES, generator=draw)
    described /= described.norm(dim=1, keepdim=True)
    return Rows(x, labels, described, tuple(range(CLASSES)), ())


def training(method: Ranking, given: Rows, batch: int, block: int) -> Iterator[float]:
    """Epochs of a method without end."""
    session = Session(0)
    weight = method.first(given, session.generator("initialisation"))
    order, draws = session.generator("order"), session.generator("draws")
    return epochs(weight, given, method.step(given), batch, order, draws, block)


def measured(
    method: Ranking, given: Rows, rounds: int, clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Seconds per epoch of each way, by alternating epochs."""
    ways = {name: training(method, given, *way) for name, way in WAYS.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, way in ways.items():
            start = clock()
            next(way)
            seconds[name].append(clock() - start)
    return {name: each[1:] for name, each in seconds.items()}


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.small:
        options.rounds = 1
    given, figures, lines = rows(SMALL if options.small else ROWS), dict[str, Any](), []
    for method in METHODS:
        seconds = measured(method, given, options.rounds, common.CLOCKS[options.clock])
        of = {name: common.spread(each) for name, each in seconds.items()}
        exact = of["batch = 1"]["median"]
        for name, each in of.items():
            each["times_exact"] = each["median"] / exact
            ratio = f"{each['times_exact']:.2f}"
            lines.append([f"{method.name}, {name}", common.said(each), ratio])
        figures[method.name] = of
    head = ["", "s per epoch", "x batch = 1"]
    text = f"median (min-max) of {options.rounds} rounds\n{common.table(head, lines)}"
    common.finish(options, {"figures": figures}, text)


if __name__ == "__main__":
    main()
