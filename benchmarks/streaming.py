"""Features that stay on disk: memory and rate as the rows grow.

For each size a file of so many rows is made up, (rows, 2048) .npy, in parts. Then, in processes
of their own, whose largest resident memory (VmHWM) is taken:

    plain       the file from its first byte to its last, 1 MiB at a time, nothing done with it
    statistics  mean and spread of every dimension, in one pass, as [modality] scaler fits them
    feed        one epoch of batches, shuffled and scaled, as training gets them
    training    one real epoch of the aligned VAE, where there are at most --train rows

The page cache is left as it is: a file that fits in it is read from there by all of them. What
was just written may lie there in part; --cold drops the file's pages before each. --sparse makes
files of zeros that take no disk: good for memory, and for the time that no disk takes.

    python benchmarks/streaming.py --rows 10000 30000 100000 --folder FOLDER --json streaming.json
    python benchmarks/streaming.py --rows 5000000 --kind float16 --train 0 --folder FOLDER
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import common
import numpy as np
import torch

from mmalign import (
    ERRORS,
    Aligner,
    CrossAlignment,
    Objective,
    Ramp,
    Session,
    Training,
    View,
    Wasserstein,
    Weighted,
    opened,
    train_aligner,
)
from mmalign.scaling import fit_scaling
from mmalign.streaming import Streamed
from mmalign_attributes.modality import Attributes
from mmalign_image.modality import Image

DIM, CLASSES, ATTRIBUTES = 2048, 1000, 128
PART = 4096  # rows written at a time
STAGES = ("plain", "statistics", "feed", "training")


def write(path: Path, rows: int, kind: str, sparse: bool = False) -> None:
    """So many rows of positive numbers. Few random numbers serve for all: drawing takes longest."""
    draw = np.random.default_rng(0)
    pool = np.maximum(draw.standard_normal((2 * PART, DIM)), 0).astype(kind)
    header = {"descr": np.lib.format.dtype_to_descr(pool.dtype), "fortran_order": False}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {**header, "shape": (rows, DIM)})
        if sparse:
            file.truncate(file.tell() + rows * DIM * pool.itemsize)
            return
        for start in range(0, rows, PART):
            first = draw.integers(0, PART)
            file.write(pool[first : first + min(PART, rows - start)].tobytes())
        file.flush()
        os.fsync(file.fileno())


def plain(path: Path, rows: int, _: argparse.Namespace) -> None:
    buffer = memoryview(bytearray(2**20))
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def statistics(path: Path, rows: int, _: argparse.Namespace) -> None:
    fit_scaling(View(opened(path), "sample"), "standard", "image")


def training_of(path: Path, rows: int) -> Training:
    """The rows, scaled by the statistics of a few of them: their pass is a stage of its own."""
    draw = np.random.default_rng(1)
    image = View(opened(path), "sample")
    scaling = fit_scaling(image.take(np.arange(min(rows, 1000))), "standard", "image")
    described = View(draw.standard_normal((CLASSES, ATTRIBUTES)).astype(np.float32), "class")
    classes = tuple(f"class {index}" for index in range(CLASSES))
    labels = draw.integers(0, CLASSES, rows)
    views = {"image": scaling(image), "attributes": described}
    return Training(classes, labels, views, np.arange(CLASSES), np.arange(0))


def feed(path: Path, rows: int, given: argparse.Namespace) -> None:
    fed = 0
    made = Streamed(training_of(path, rows), "cpu")
    for batch in made.batches(given.batch, "shuffle", torch.Generator().manual_seed(0)):
        fed += batch.rows
    assert fed == rows, f"{fed} rows were fed for {rows}"


def training(path: Path, rows: int, given: argparse.Namespace) -> None:
    data, session = training_of(path, rows), Session(0)
    modalities = {"image": Image(hidden=(512, 512)), "attributes": Attributes(hidden=(256, 256))}
    aligner = Aligner(modalities, data.signature.dims, 64, session.generator)
    losses = {
        "cross": Weighted(CrossAlignment(), Ramp(to=1, start=0, end=1)),
        "distribution": Weighted(Wasserstein(), Ramp(to=1, start=0, end=1)),
    }
    objective = Objective(
        dict.fromkeys(modalities, ERRORS["l1"]), Ramp(to=1, start=0, end=1), losses
    )
    train_aligner(
        aligner, objective, data, session, epochs=1, batch=given.batch, lr=1e-3, draw="shuffle",
        noise="independent", scale="std",
    )  # fmt: skip


DO: dict[str, Callable[[Path, int, argparse.Namespace], None]] = {
    "plain": plain,
    "statistics": statistics,
    "feed": feed,
    "training": training,
}


def child(given: argparse.Namespace) -> None:
    """Do one stage in this process, and say its seconds and its largest resident memory."""
    clock = common.CLOCKS[given.clock]
    began = clock()
    DO[given.stage](given.file, given.rows[0], given)
    seconds = clock() - began
    print(json.dumps({"seconds": seconds, "peak_mib": common.peak_of(os.getpid())}))


def measured(path: Path, stage: str, rows: int, given: argparse.Namespace) -> dict[str, float]:
    if given.cold:
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    command = [sys.executable, __file__, "--stage", stage, "--file", str(path)]
    command += ["--rows", str(rows), "--batch", str(given.batch), "--threads", str(given.threads)]
    command += ["--clock", given.clock]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return {**found, "rows_per_second": rows / found["seconds"]}


def of_size(folder: Path, rows: int, given: argparse.Namespace) -> dict[str, Any]:
    """Write a file, put it through every stage, and take it away again."""
    path = folder / f"streaming-{rows}.npy"
    try:
        write(path, rows, given.kind, given.sparse)
        stages = {
            stage: measured(path, stage, rows, given)
            for stage in given.stages
            if stage != "training" or rows <= given.train
        }
        print(f"{rows:,} rows done", flush=True)
        return {"rows": rows, "file_mib": path.stat().st_size / 2**20, "stages": stages}
    finally:
        path.unlink(missing_ok=True)


def shown(sizes: list[dict[str, Any]]) -> str:
    lines = []
    for each in sizes:
        base = each["stages"].get("plain", {}).get("rows_per_second", float("nan"))
        for stage, found in each["stages"].items():
            rate = found["rows_per_second"]
            read = each["file_mib"] * rate / each["rows"]
            lines.append([
                f"{each['rows']:,} {stage}", f"{found['seconds']:.1f}", f"{rate:,.0f}",
                f"{read:,.0f}", f"{rate / base:.2f}", f"{found['peak_mib']:,.0f}",
            ])  # fmt: skip
    head = ["rows", "s", "rows/s", "MiB/s of the file", "of plain", "largest resident MiB"]
    return common.table(head, lines)


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 30_000, 100_000])
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES)
    parser.add_argument("--kind", choices=("float16", "float32"), default="float32")
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--train", type=int, default=30_000, help="most rows that are trained on")
    parser.add_argument("--cold", action="store_true", help="read from disk, not from the cache")
    parser.add_argument("--sparse", action="store_true", help="zeros, which take no disk")
    parser.add_argument("--folder", type=Path, help="where the files go, and are deleted")
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.stage:
        child(given)
        return
    with tempfile.TemporaryDirectory(prefix="mmalign-", dir=given.folder) as folder:
        sizes = [of_size(Path(folder), rows, given) for rows in given.rows]
    result = {"dim": DIM, "kind": given.kind, "batch": given.batch}
    result |= {"cold": given.cold, "sparse": given.sparse}
    common.finish(given, {**result, "sizes": sizes}, f"{given.kind}\n{shown(sizes)}")


if __name__ == "__main__":
    main()
