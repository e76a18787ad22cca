"""A run in the shape of ImageNet, from files to report: seconds, memory, and whether it is right.

Made up and written to disk: 1,000 seen and 20,000 unseen classes, 2 million rows of 2,048
numbers in float16 (8.2 GB), 128 attributes a class. Half of the rows train; the others are
asked, all among the 21,000 classes. `mmalign run` is called as a user calls it, in a process of
its own, and its time and largest resident memory are taken. Then S, U, H and T1 are computed
again, from the model's tensors and the file of features, by other code, and compared with the
report's.

    python benchmarks/imagenet_shaped.py --threads 2 --folder FOLDER --json imagenet_shaped.json
    python benchmarks/imagenet_shaped.py --small
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import common
import numpy as np
import torch
from safetensors.numpy import load_file

DIM, ATTRIBUTES = 2048, 128
BLUR = 1.5  # standard deviation of a row's attributes around its class's: enough for mistakes
PART = 8192  # rows at a time
RECIPE = """
[dataset]
use = "folder"
root = "{data}"

[modality.image]
use = "image"
hidden = [512, 512]
scaler = "standard"
reconstruction = "l2"

[modality.attributes]
use = "attributes"
hidden = [256, 256]
scaler = "standard"
reconstruction = "l2"

[method]
use = "aligned-vae"
latent = 128
epochs = {epochs}
batch = 512
lr = 1e-3
draw = "shuffle"
noise = "independent"
scale = "std"
products = "bfloat16"
kl = 0.25

[loss.cross]
weight = 1.0

[loss.distribution]
use = "wasserstein"
weight = 8.0

[head]
use = "softmax"
seen = 20
unseen = 20
unseen_only = 20
batch = 256
lr = 5e-3
epochs = 3
epochs_unseen_only = 3

[run]
threads = {threads}
"""


def write_data(folder: Path, seen: int, unseen: int, rows: int) -> int:
    """The files of data set ``folder``; how many rows they have.

    A row is a random map of its class's attributes, which have variance 1, with noise on them
    before the map and after it; all of it is positive, as pooled features are.
    """
    draw = np.random.default_rng(0)
    classes = seen + unseen
    attributes = draw.standard_normal((classes, ATTRIBUTES)).astype(np.float32)
    attributes = np.round(attributes, 4)
    towards = draw.standard_normal((ATTRIBUTES, DIM)).astype(np.float32) / ATTRIBUTES**0.5
    labels, train = planned(seen, unseen, rows)
    order = draw.permutation(len(labels))
    labels, train = labels[order], train[order]
    noise = draw.standard_normal((2**16, DIM)).astype(np.float32)
    image = np.lib.format.open_memmap(
        folder / "image.npy", mode="w+", dtype=np.float16, shape=(len(labels), DIM)
    )
    for start in range(0, len(labels), PART):
        own = labels[start : start + PART]
        shown = attributes[own] + BLUR * draw.standard_normal((len(own), ATTRIBUTES), np.float32)
        values = shown @ towards + noise[draw.integers(0, len(noise), len(own))]
        image[start : start + PART] = np.maximum(values, 0)
    image.flush()
    del image
    names = [f"c{index:05d}" for index in range(classes)]
    with (folder / "samples.csv").open("w", encoding="utf-8") as file:
        file.write("class,split\n")
        file.writelines(
            f"{names[label]},{'train' if learnt else 'test'}\n"
            for label, learnt in zip(labels.tolist(), train.tolist(), strict=True)
        )
    with (folder / "classes.csv").open("w", encoding="utf-8") as file:
        file.write(",".join(["class", "split", *(f"a{n}" for n in range(ATTRIBUTES))]) + "\n")
        for index, (name, line) in enumerate(zip(names, attributes.tolist(), strict=True)):
            split = "seen" if index < seen else "unseen"
            file.write(",".join([name, split, *(f"{value:.4f}" for value in line)]) + "\n")
    return len(labels)


def planned(seen: int, unseen: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """The class of each row, and whether it trains.

    Half do; of the others a tenth is of seen classes.
    """
    learnt = rows // 2
    asked = learnt // 10
    of_unseen = rows - learnt - asked
    labels = np.concatenate(
        [
            np.arange(learnt) % seen,
            np.arange(asked) % seen,
            seen + np.arange(of_unseen) % unseen,
        ]
    )
    return labels, np.arange(rows) < learnt


def called(command: list[str], cwd: Path) -> tuple[float, float, str]:
    """Seconds, largest resident memory in MiB, and output of a program of its own."""
    began = time.perf_counter()
    log, peak = cwd / "log.txt", 0.0
    with log.open("w") as file:
        process = subprocess.Popen(command, cwd=cwd, stdout=file, stderr=subprocess.STDOUT)
        # Asked while it runs: what the system counts at the end has this process's own peak in it.
        while process.poll() is None:
            peak = max(peak, common.peak_of(process.pid))
            time.sleep(0.2)
    seconds = time.perf_counter() - began
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{log.read_text()[-3000:]}")
    return seconds, peak, log.read_text()


def stages(run: Path) -> dict[str, Any]:
    """The epochs that the run tells of."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    found: dict[str, Any] = {}
    for each in map(json.loads, lines):
        loss = each.get("loss", each.get("cross-entropy"))
        found.setdefault(each["stage"], []).append(round(loss, 3))
    return found


def again(data: Path, run: Path, seen: int) -> dict[str, float]:
    """S, U, H and T1 from the model's tensors, without mmalign."""
    tensors = {
        k: torch.from_numpy(v) for k, v in load_file(run / "model/model.safetensors").items()
    }
    lines = (data / "samples.csv").read_text().splitlines()[1:]
    asked = np.array([line.endswith("test") for line in lines])
    labels = np.array([int(line[1:6]) for line in lines])
    image = np.load(data / "image.npy", mmap_mode="r")
    places = np.flatnonzero(asked)
    unseen = len(tensors["head.unseen.bias"])
    total = np.zeros(seen + unseen)
    right, alone = np.zeros_like(total), np.zeros_like(total)
    for rows in parts_of(places):
        z = means(torch.from_numpy(image[rows].astype(np.float32)), tensors)
        said = top(z, tensors, "head.all").numpy()
        own = labels[rows]
        np.add.at(total, own, 1)
        np.add.at(right, own, said == own)
        np.add.at(alone, own, top(z, tensors, "head.unseen").numpy() + seen == own)
    share, among = right / np.maximum(total, 1), alone / np.maximum(total, 1)
    s, u = share[:seen][total[:seen] > 0].mean(), share[seen:][total[seen:] > 0].mean()
    t1 = among[seen:][total[seen:] > 0].mean()
    return {"S": float(s), "U": float(u), "H": float(2 * s * u / (s + u)), "T1": float(t1)}


def parts_of(rows: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), 1024):
        yield rows[start : start + 1024]


def means(x: torch.Tensor, tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    """Posterior means of images."""
    x = (x - tensors["scaling.image.offset"]) * tensors["scaling.image.factor"]
    name = "aligner.encoders.image"
    hidden = x @ tensors[f"{name}.hidden.weight"].T + tensors[f"{name}.hidden.bias"]
    moments = hidden.relu() @ tensors[f"{name}.moments.weight"].T
    return (moments + tensors[f"{name}.moments.bias"]).chunk(2, dim=1)[0]


def top(z: torch.Tensor, tensors: dict[str, torch.Tensor], head: str) -> torch.Tensor:
    return (z @ tensors[f"{head}.weight"] + tensors[f"{head}.bias"]).argmax(1)


def options() -> argparse.Namespace:
    parser = common.parser(__doc__)
    parser.add_argument("--seen", type=int, default=1000)
    parser.add_argument("--unseen", type=int, default=20_000)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where the data go, and are left")
    parser.add_argument("--small", action="store_true", help="50 and 200 classes, 20,000 rows")
    given = parser.parse_args()
    if given.small:
        given.seen, given.unseen, given.rows = 50, 200, 20_000
    return given


def measured(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Make the data if they are not there, run, and check."""
    data = folder / f"data-{given.seen}-{given.unseen}-{given.rows}"
    if not (data / "complete").exists():
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir(parents=True)
        began = time.perf_counter()
        write_data(data, given.seen, given.unseen, given.rows)
        (data / "complete").touch()
        print(f"written in {time.perf_counter() - began:.0f} s", flush=True)
    recipe = RECIPE.format(data=data, epochs=given.epochs, threads=given.threads)
    (folder / "imagenet_shaped.toml").write_text(recipe)
    program = Path(sys.executable).with_name("mmalign")
    out = Path(tempfile.mkdtemp(prefix="runs-", dir=folder))
    command = [str(program), "run", "imagenet_shaped.toml", "--out", str(out)]
    seconds, memory, _ = called(command, folder)
    print(f"run in {seconds:.0f} s", flush=True)
    (run,) = (out / "imagenet_shaped").iterdir()
    report = json.loads((run / "report.json").read_text())["summary"]
    reported = {name: report[name]["mean"] for name in ("S", "U", "H", "T1")}
    checked = again(data, run, given.seen)
    largest = max(abs(reported[name] - checked[name]) for name in reported)
    return {
        "seen": given.seen,
        "unseen": given.unseen,
        "rows": given.rows,
        "file_mib": (data / "image.npy").stat().st_size / 2**20,
        "epochs": given.epochs,
        "seconds": seconds,
        "memory_mib": memory,
        "reported": reported,
        "computed_again": checked,
        "largest_difference": largest,
        "stages": stages(run),
    }


def main() -> None:
    given = options()
    torch.set_num_threads(given.threads)
    if given.folder is not None:
        given.folder.mkdir(parents=True, exist_ok=True)
        found = measured(given, given.folder.resolve())
    else:
        with tempfile.TemporaryDirectory(prefix="mmalign-") as folder:
            found = measured(given, Path(folder))
    lines = [
        [name, *(f"{100 * found[key][name]:.2f}" for key in ("reported", "computed_again"))]
        for name in found["reported"]
    ]
    text = (
        f"{found['seen']:,} seen and {found['unseen']:,} unseen classes, {found['rows']:,} rows"
        f" ({found['file_mib']:,.0f} MiB): {found['seconds']:.0f} s,"
        f" {found['memory_mib']:,.0f} MiB resident at most\n"
        + common.table(["", "reported", "computed again"], lines)
        + f"\nlargest difference {found['largest_difference']:.1e}"
    )
    common.finish(given, found, text)
    # A row whose two best scores differ in the last bits may be answered otherwise.
    if found["largest_difference"] > 2e-3:
        raise SystemExit("the report is not what its model gives")


if __name__ == "__main__":
    main()
