"""How time and memory grow: rows, classes, dimensions, modalities, seeds.

One size is varied at a time, for a training epoch of the aligned VAE (every term active, batch
256, hidden layers of 512, latents of 64) and for one of the softmax head (batch 256). Each point
is a process of its own, so that its peak of resident memory is its own; points are taken in turn,
round by round, and the fastest round counts, since whatever else runs can only slow it down.
Memory is the peak over that of a process that has trained nothing but a few rows ("own"): data,
weights, gradients, moments, activations. A slope is that of the fitted line through the last three
points in log-log: 0 is constant, 1 linear. The numbers are random, which no timing depends on.

    python benchmarks/growth.py --json benchmarks/results/growth.json
"""

from __future__ import annotations

import argparse
import resource
import sys
from collections.abc import Sequence
from itertools import pairwise
from multiprocessing import get_all_start_methods, get_context
from typing import Any

import common
import numpy as np
import torch

from mmalign import (
    ERRORS,
    Aligner,
    CrossAlignment,
    Features,
    Objective,
    Ramp,
    Session,
    Training,
    View,
    Wasserstein,
    Weighted,
    fit_linear,
    train_aligner,
    train_together,
)

BATCH, LATENT, HIDDEN = 256, 64, 512
# What the other sizes are while one of them is varied.
BASE: dict[str, dict[str, int]] = {
    "aligned VAE": {"rows": 2048, "classes": 200, "dims": 512, "modalities": 2, "seeds": 1},
    "head": {"rows": 65536, "classes": 200, "dims": 64},
}
SIZES: dict[str, dict[str, list[int]]] = {
    "aligned VAE": {
        "rows": [512, 2048, 8192, 32768],
        "classes": [50, 200, 2000, 20000],
        "dims": [128, 512, 2048, 4096],
        "modalities": [1, 2, 3, 7],
        "seeds": [1, 2, 5, 10],
    },
    "head": {
        "rows": [16384, 65536, 262144, 1048576],
        "classes": [50, 200, 2000, 20000],
        "dims": [16, 64, 256, 1024],
    },
}
SMALL = {
    "aligned VAE": {"rows": 512, "classes": 20, "dims": 32, "modalities": 2, "seeds": 1},
    "head": {"rows": 1024, "classes": 20, "dims": 16},
}
STEPS = 8  # the fewest steps that are timed: short epochs are repeated


def training(size: dict[str, int]) -> Training:
    """Random rows: the modalities are sample-level and class-level in turn."""
    draw = np.random.default_rng(0)
    classes, dims = size["classes"], size["dims"]
    views = {}
    for place in range(size["modalities"]):
        rows = classes if place % 2 else size["rows"]
        values = draw.random((rows, dims), dtype=np.float32)
        views[f"m{place}"] = View(values, "class" if place % 2 else "sample")
    return Training(
        tuple(f"class {index}" for index in range(classes)),
        draw.integers(0, classes, size["rows"]),
        views,
        np.arange(classes),
        np.arange(0),
    )


def vae(size: dict[str, int], clock: str) -> list[float]:
    """Seconds of each epoch, the first one for warming up included."""
    given, now = training(size), common.CLOCKS[clock]
    times = [now()]
    count = 1 + max(1, -(-STEPS * BATCH // size["rows"]))
    sessions = [Session(seed) for seed in range(size["seeds"])]
    sessions[-1] = Session(size["seeds"] - 1, epoch_ended=lambda *_: times.append(now()))
    modalities = {name: Features(array=name, hidden=(HIDDEN, HIDDEN)) for name in given.views}
    dims = given.signature.dims
    aligners = [Aligner(modalities, dims, LATENT, each.generator) for each in sessions]
    losses = {
        "cross": Weighted(CrossAlignment(), Ramp(to=2.37)),
        "distribution": Weighted(Wasserstein(), Ramp(to=8.13)),
    }
    objective = Objective(dict.fromkeys(modalities, ERRORS["l1"]), Ramp(to=0.25), losses)
    settings: dict[str, Any] = {"epochs": count, "batch": BATCH, "lr": 1.5e-4, "draw": "shuffle"}
    settings |= {"noise": "shared", "scale": "variance"}
    if size["seeds"] == 1:
        train_aligner(aligners[0], objective, given, sessions[0], **settings)
    else:
        train_together(aligners, objective, [given] * size["seeds"], sessions, **settings)
    return [after - before for before, after in pairwise(times)]


def head(size: dict[str, int], clock: str) -> list[float]:
    """As ``vae``."""
    now, draw = common.CLOCKS[clock], torch.Generator().manual_seed(0)
    z = torch.randn(size["rows"], size["dims"], generator=draw)
    labels = torch.randint(size["classes"], (size["rows"],), generator=draw)
    times = [now()]
    fit_linear(
        z,
        labels,
        tuple(range(size["classes"])),
        epochs=1 + max(1, -(-STEPS * BATCH // size["rows"])),
        batch=BATCH,
        lr=1e-3,
        initialisation=Session(0).generator("initialisation"),
        order=Session(0).generator("order"),
        epoch_ended=lambda *_: times.append(now()),
    )
    return [after - before for before, after in pairwise(times)]


PARTS = {"aligned VAE": vae, "head": head}


def peak() -> float:
    """The most resident memory that this process has had, in MiB."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def point(part: str, size: dict[str, int], clock: str) -> dict[str, float]:
    """One point: time in this process, and what it adds to the process's peak."""
    PARTS[part](SMALL[part], clock)
    before = peak()
    seconds = min(PARTS[part](size, clock)[1:])
    return {
        "s_per_epoch": seconds,
        "ms_per_step": 1e3 * seconds / -(-size["rows"] // BATCH),
        "own_mib": peak() - before,
        "peak_mib": peak(),
    }


def apart(part: str, size: dict[str, int], given: argparse.Namespace) -> dict[str, float]:
    """One point, measured in a process of its own.

    A fork, where there is one, has torch imported already; its peak starts at what it has then.
    """
    way = "fork" if "fork" in get_all_start_methods() else "spawn"
    with get_context(way).Pool(1, torch.set_num_threads, (given.threads,)) as pool:
        return pool.apply(point, (part, size, given.clock))


def slope(sizes: Sequence[int], values: Sequence[float]) -> float:
    """Of the line through the last three points, both axes logarithmic."""
    x, y = np.log(sizes[-3:]), np.log(np.maximum(values[-3:], 1e-9))
    return float(np.polyfit(x, y, 1)[0])


def curves(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Every curve: a part of the fit, what is varied, and a point for each size."""
    found = []
    for part, axes in SIZES.items():
        base = SMALL[part] if given.small else BASE[part]
        for axis, sizes in axes.items():
            if given.only and axis not in given.only:
                continue
            if given.small:
                sizes = [base[axis], 2 * base[axis]]
            found.append({"part": part, "axis": axis, "sizes": sizes, "points": [], "fixed": base})
    for turn in range(given.rounds):
        for curve in found:
            part, axis = curve["part"], curve["axis"]
            for place, size in enumerate(curve["sizes"]):
                took = apart(part, curve["fixed"] | {axis: size}, given)
                print(f"{part}, {axis} {size}: {took['ms_per_step']:.3f} ms", flush=True)
                if turn == 0:
                    curve["points"].append({"size": size, **took})
                else:
                    kept = curve["points"][place]
                    curve["points"][place] = {"size": size} | {
                        name: min(kept[name], value) for name, value in took.items()
                    }
    for curve in found:
        for name in ("s_per_epoch", "ms_per_step", "own_mib"):
            values = [each[name] for each in curve["points"]]
            curve[f"slope_{name}"] = slope(curve["sizes"], values)
    return found


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=SIZES["aligned VAE"], help="vary only these")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.small:
        given.rounds = 1
    found = curves(given)
    lines = [
        [f"{curve['part']}, {curve['axis']}", f"{each['size']:,}"]
        + [f"{each['s_per_epoch']:.3f}", f"{each['ms_per_step']:.3f}", f"{each['own_mib']:.0f}"]
        + ([""] * 2 if each is not curve["points"][-1] else
           [f"{curve['slope_ms_per_step']:.2f}", f"{curve['slope_own_mib']:.2f}"])
        for curve in found
        for each in curve["points"]
    ]  # fmt: skip
    columns = ["", "size", "s per epoch", "ms per step", "own MiB", "slope, step", "slope, MiB"]
    common.finish(given, {"batch": BATCH, "curves": found}, common.table(columns, lines))


if __name__ == "__main__":
    main()
