"""A first example of a folder: fruit, with made-up features of pictures."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from shlex import quote

import numpy as np

from mmalign_folder.suggesting import quoted, recipe

ATTRIBUTES = ("red", "yellow", "green", "blue", "round", "long", "large", "peel", "stone", "sour")
FRUIT = {
    # red yellow green blue round long large peel stone sour, each from 0 to 9
    "apple": ("6240906000", "seen", "A round fruit with firm flesh and a thin red skin."),
    "banana": ("0910097900", "seen", "A long, bent yellow fruit that is peeled."),
    "blueberry": ("0009900002", "seen", "A small round berry, dark blue."),
    "cherry": ("9001800092", "validation", "A small red fruit on a stalk, with a stone in it."),
    "grapefruit": ("3800908907", "seen", "A large round fruit, yellow, peeled, bitter and sour."),
    "kiwi": ("0190644603", "validation", "A hairy oval fruit, bright green inside."),
    "lemon": ("0910642909", "seen", "An oval yellow fruit, peeled, and very sour."),
    "mango": ("4530457790", "seen", "A large oval fruit, orange inside, around a flat stone."),
    "orange": ("4700906904", "validation", "A round orange fruit that is peeled."),
    "peach": ("5500804092", "seen", "A round, soft, velvety fruit around a stone."),
    "pear": ("1380455001", "validation", "A green or yellow fruit, narrower towards its stalk."),
    "plum": ("4008733093", "seen", "A dark blue to red oval fruit around a stone."),
    "lime": ("0190702909", "unseen", "Like a lemon, but smaller, rounder and green."),
    "nectarine": ("7400804092", "unseen", "Like a peach, but redder, and smooth."),
    "plantain": ("0480098900", "unseen", "Like a banana, but larger, greener, and cooked."),
}
EACH, DIM, SPREAD = 12, 32, 0.25  # samples of a class, numbers of a row, noise

README = """\
# Your own data for mmalign

An example that works as it is; put your own in its place, file by file.

    mmalign data check {folder}
    mmalign run {recipe}

| file | holds |
|---|---|
| `image.npy` | features, one row a sample: here made-up numbers, 180 rows of 32 |
| `samples.csv` | one line a row, in the same order: which class it is |
| `classes.csv` | one line a class: what describes it |
| `recipe.toml` | what is trained on it |

## Features

`image.npy` is an array of (rows, numbers), written by `numpy.save`; the name of the file, without
its ending, is what a recipe calls it. A second kind of features is a second file, `sound.npy`, with
as many rows; a row that is NaN throughout says that this sample has none. `.safetensors` and
`.parquet` do as well, and so does what `mmalign extract PICTURES image.safetensors
--backbone NAME` writes from a folder of pictures. Such a file names its rows, which are then
matched by name with the column `sample` of `samples.csv`; without that file a picture's class is
the folder that it lies in.

## samples.csv

Columns `class`, or `sample` (a name of its own for each), or both. With a column `split`, `train`
or `test`, you say which samples of seen classes are asked; without it a fifth of each class is
drawn.

## classes.csv

A column `class`; columns of numbers, the attributes; columns `description` of text, as many lines
of one class as it has texts. The column `split` says `seen`, `unseen` (never trained on) or
`validation` (seen, but plays an unseen one while settings are chosen); take the column away, and
they are drawn. An unseen class needs a description, and no sample.
"""


def template(root: str) -> dict[str, bytes]:
    """Each file's content, by its name."""
    samples = [(f"{name}/{n:02d}.jpg", name) for name in FRUIT for n in range(1, EACH + 1)]
    return {
        "image.npy": _features(),
        "samples.csv": _csv(["sample", "class"], samples),
        "classes.csv": _csv(
            ["class", "split", *ATTRIBUTES, "description"],
            [
                (name, split, *(f"0.{digit}" for digit in digits), text)
                for name, (digits, split, text) in FRUIT.items()
            ],
        ),
        "recipe.toml": _recipe(root).encode(),
        "README.md": README.format(
            folder=quote(root), recipe=quote(f"{root}/recipe.toml")
        ).encode(),
    }


def _features() -> bytes:
    """A random map of the attributes, with noise: no picture was ever taken."""
    draw = np.random.default_rng(7)
    points = np.array([[int(digit) / 9 for digit in digits] for digits, _, _ in FRUIT.values()])
    inner = draw.normal(size=(len(ATTRIBUTES), DIM)) / 2
    rows = np.repeat(points, EACH, axis=0) @ inner
    rows = np.maximum(rows + SPREAD * draw.normal(size=rows.shape), 0)
    file = io.BytesIO()
    np.save(file, rows.astype(np.float32), allow_pickle=False)
    return file.getvalue()


def _csv(columns: Sequence[str], lines: Iterable[Sequence[str]]) -> bytes:
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(lines)
    return file.getvalue().encode()


def _recipe(root: str) -> str:
    opening = (
        f"# mmalign run {quote(f'{root}/recipe.toml')}\n#\n"
        "# `mmalign ls folder` lists the settings of the data set, `mmalign ls image` those of a\n"
        "# modality, and so on for every `use`.\n"
    )
    lines = [
        f"root = {quoted(root)}   # from the folder in which mmalign is called, or from /",
        "# Splits that no column 'split' gives are drawn, with these settings:",
        "# unseen = 0.25         # share of the classes, or their number from 1 on",
        "# validation = 0.25     # likewise, of the seen classes",
        "# test = 0.2            # share of each seen class's samples that are asked",
        "# seed = 0",
    ]
    made = recipe(lines, ["image"], ["attributes"], ["description"], batch=16, epochs=60, latent=16)
    for use in ("image", "attributes"):
        made = made.replace(f'use = "{use}"\n', f'use = "{use}"\nhidden = [128, 128]\n', 1)
    return opening + made
