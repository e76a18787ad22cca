"""What the benchmarks share: the machine, the problem, rounds of timings, tables."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch

from mmalign import (
    CrossAlignment,
    Parts,
    Problem,
    Ramp,
    Source,
    Splits,
    View,
    Wasserstein,
    Weighted,
    pose,
)
from mmalign import Protocol as Posing
from mmalign_attributes.modality import Attributes
from mmalign_gzsl.softmax import Softmax
from mmalign_image.modality import Image
from mmalign_xlsa17.datasets import CUB

ROOT = Path(__file__).parents[2] / "shared" / "data" / "xlsa17"
FEATURES = "resnet_fc1000"
LACKING = 77  # exit status of a program that something is missing for, as automake's tests
CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}


def parser(doc: str) -> argparse.ArgumentParser:
    """The options that every benchmark has; one that a program adds anew takes their place."""
    made = argparse.ArgumentParser(
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        conflict_handler="resolve",
    )
    made.add_argument("--threads", type=int, default=1)
    made.add_argument(
        "--clock", choices=CLOCKS, default="wall", help="cpu: where other programs run beside"
    )
    made.add_argument("--json", type=Path, help="write what was measured to this file")
    made.add_argument(
        "--small", action="store_true", help="a size of seconds, to see it work; measures nothing"
    )
    return made


def of_recipe(given: argparse.Namespace, made: argparse.ArgumentParser) -> argparse.Namespace:
    """Options of a program that measures a recipe: with --small, two seeds of one short fit."""
    if given.small:
        short = ("method.epochs", "head.seen", "head.unseen", "head.epochs")
        given.recipe, given.seeds, given.epochs = "quickstart", 2, 2
        given.settings = [f"{name}=2" for name in (*short, "head.epochs_unseen_only")]
    if given.recipe is None:
        made.error("name a recipe, or give --small")
    return given


def lacking(what: str) -> NoReturn:
    """End the program: something that it needs is not here, and nothing is wrong."""
    print(what, file=sys.stderr)
    raise SystemExit(LACKING)


def machine() -> dict[str, Any]:
    """What the figures depend on; ``load`` is the one-minute average when they were taken."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.processor(),
        "cpus": os.cpu_count(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
    }


def peak_of(pid: int) -> float:
    """Largest resident memory of a process so far, in MiB; 0 where the system does not say."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:  # it has just ended, or this is no Linux
        return 0.0
    return sum(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def cub(root: Path = ROOT) -> Source | None:
    """CUB from the xlsa17 files; None where they are not."""
    if not (root / "CUB" / f"{FEATURES}.mat").exists():
        return None
    return CUB(root=root, features=FEATURES).load()


def look_alike() -> Source:
    """Random numbers in the shapes of CUB: good for timings, without any meaning."""
    draw = np.random.default_rng(0)
    labels = np.concatenate([np.arange(150), np.sort(draw.integers(0, 200, 11638))])
    seen, unseen = np.flatnonzero(labels < 150), np.flatnonzero(labels >= 150)
    image = draw.random((len(labels), 1000), dtype=np.float32)
    attributes = draw.random((200, 312), dtype=np.float32)
    return Source(
        "random numbers in the shapes of CUB",
        tuple(f"class {index}" for index in range(200)),
        labels.astype(np.int64),
        {"image": View(image, "sample"), "attributes": View(attributes, "class")},
        Splits(seen[:7057], seen[7057:], unseen),
    )


def problem(root: Path = ROOT, real: bool = False) -> tuple[Problem, Parts, str]:
    """The generalized question on CUB, the published parts, and what the numbers are."""
    source = cub(root)
    if source is None:
        if real:
            lacking(f"no {FEATURES}.mat in {root / 'CUB'}; give --root")
        source = look_alike()
    modalities = {"image": Image(), "attributes": Attributes()}
    views = {name: each.view(source) for name, each in modalities.items()}
    losses = {
        "cross": Weighted(CrossAlignment(), Ramp(to=2.37, start=21, end=75)),
        "distribution": Weighted(Wasserstein(), Ramp(to=8.13, start=6, end=22)),
    }
    parts = Parts(modalities, losses, Softmax(epochs=23, epochs_unseen_only=22))
    return pose(source, views, modalities, Posing()), parts, source.name


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Median, least, most, and the rounds themselves."""
    return {
        "median": statistics.median(values),
        "min": min(values),
        "max": max(values),
        "rounds": list(values),
    }


def said(figures: Mapping[str, Any], digits: int = 2) -> str:
    """A spread as ``median (least - most)``."""
    low, high = figures["min"], figures["max"]
    return f"{figures['median']:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns aligned, the first to the left and the others to the right."""
    widths = [max(len(line[column]) for line in [head, *rows]) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in [head, *rows]
    )


def finish(given: argparse.Namespace, result: dict[str, Any], text: str) -> None:
    """Print table and machine; write the result where it was asked for."""
    result = {"machine": machine(), "clock": given.clock, "small": given.small, **result}
    result["text"] = text  # docs/performance.md shows it as it was printed
    print(f"\n{text}\n")
    print(", ".join(f"{key} {value}" for key, value in result["machine"].items()))
    print(f"clock {given.clock}", flush=True)
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(result, indent=2) + "\n")
        print(f"written to {given.json}")
