"""Draws what is hard about emoji: classes whose drawings get another's name, side by side.

    python tools/emoji_hard.py RUN PICTURES docs/figures/emoji_hard.png

RUN is the folder of a finished run, whose confusion.csv says what was answered; PICTURES is the
folder that `tools/build_emoji.py draw` wrote. Of each group the pair is shown that was mistaken
most often, as a share of the drawings that were asked; of pairs alike the first by name.
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmalign import Source
from mmalign_emoji.dataset import Emoji

SHOWN = 4  # drawings of a class
PAIRS = 2  # of each group
SETS = ("noto", "twemoji", "fluent-emoji", "emojione", "fluent-emoji-flat", "noto-v1", "fxemoji")


@dataclass(frozen=True)
class Mistake:
    """Classes by index: one, what its drawings were called, and how often of how many."""

    true: int
    said: int
    times: int
    asked: int


def main() -> None:
    """Choose the pairs and draw them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("pictures", type=Path, help="folder of SET/HEXCODE.png")
    parser.add_argument("out", type=Path, help="the figure")
    given = parser.parse_args()
    source = Emoji().load()
    chosen = of_each_group(mistakes(given.run / "confusion.csv", source), source)
    draw(chosen, source, given.pictures, given.out)


def mistakes(file: Path, source: Source) -> list[Mistake]:
    """Every pair of a class that was asked and another that was answered."""
    index = {name: place for place, name in enumerate(source.classes)}
    times: Counter[tuple[int, int]] = Counter()
    with file.open(encoding="utf-8", newline="") as lines:
        for line in csv.DictReader(lines):
            times[index[line["true"]], index[line["predicted"]]] += int(line["count"])
    asked: Counter[int] = Counter()
    for (true, _), count in times.items():
        asked[true] += count
    return [
        Mistake(true, said, count, asked[true])
        for (true, said), count in times.items()
        if true != said
    ]


def of_each_group(found: Sequence[Mistake], source: Source) -> list[Mistake]:
    """The worst pairs of each group; unseen classes alone, and none twice."""
    groups = source.arrays["attributes"].values[:, :8].argmax(axis=1)
    unseen = set(source.labels[source.splits.test_unseen].tolist())
    order = sorted(
        (each for each in found if each.true in unseen),
        key=lambda each: (-each.times / each.asked, -each.asked, source.classes[each.true]),
    )
    taken: dict[int, list[Mistake]] = {group: [] for group in range(8)}
    answers: set[int] = set()
    for each in order:
        if len(taken[groups[each.true]]) < PAIRS and each.said not in answers:
            taken[groups[each.true]].append(each)
            answers.add(each.said)
    return [each for group in taken.values() for each in group]


def drawings(index: int, source: Source, pictures: Path) -> list[Any]:
    """Up to SHOWN drawings of a class, as arrays."""
    from PIL import Image

    rows = np.flatnonzero(source.labels == index)
    names = sorted((source.samples[row] for row in rows), key=lambda n: SETS.index(n.split("/")[0]))
    paths = [pictures / f"{name}.png" for name in names[:SHOWN]]
    return [np.asarray(Image.open(path).convert("RGB")) for path in paths]


def draw(chosen: Sequence[Mistake], source: Source, pictures: Path, out: Path) -> None:
    """One line a pair, two pairs a line of the page."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    lines = -(-len(chosen) // 2)
    figure = plt.figure(figsize=(13, 1.12 * lines), dpi=110)
    high = 1 / lines
    for place, each in enumerate(chosen):
        left, low = 0.52 * (place % 2), 1 - high * (place // 2 + 0.96)
        for side, index in enumerate((each.true, each.said)):
            start = left + 0.005 + 0.235 * side
            for number, picture in enumerate(drawings(index, source, pictures)):
                axes = figure.add_axes((start + 0.054 * number, low, 0.052, 0.66 * high))
                axes.imshow(picture)
                axes.axis("off")
            told = (
                f"{source.classes[index]}"
                if side == 0
                else f"called “{source.classes[index]}”, {each.times} of {each.asked}"
            )
            figure.text(start, low + 0.7 * high, told, size=9, color="#b00020" if side else "black")
    figure.add_artist(plt.Line2D((0.5, 0.5), (0.01, 0.99), color="#bbbbbb", linewidth=1))
    figure.savefig(out, facecolor="white")


if __name__ == "__main__":
    main()
