"""Writes made-up data in ImageNet's shape: features, word vectors and class lists of any size.

    python tools/make_imagenet_like.py FOLDER --seen 40 --unseen 60
    python tools/make_imagenet_like.py FOLDER --classes imagenet-testsets.json --seen 1000

A class is a point in a space of hidden factors. Its word vector is a random map of that point,
a feature row a random map of the point with noise on it, so that word vectors tell of classes
without a row. With ``--classes`` the ids are those of the lists, and 2-hops and 3-hops get
their shares; without, lists are made up. Some classes have up to ten times as many rows as
others, so that M and L differ.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

FACTORS, SPREAD = 8, 0.3


def main() -> None:
    """Write the files and say what they are."""
    given = arguments()
    given.folder.mkdir(parents=True, exist_ok=True)
    lists = made_lists(given.seen, given.unseen)
    if given.classes is not None:
        lists = json.loads(given.classes.read_text(encoding="utf-8"))
    seen, unseen = lists["train"][: given.seen], spread_over(lists, given.unseen)
    (given.folder / "imagenet-testsets.json").write_text(json.dumps(lists), encoding="utf-8")

    random = np.random.default_rng([given.seed, 0])
    points = random.normal(size=(len(seen) + len(unseen), FACTORS))
    many = given.rows * 10 ** random.uniform(-0.5, 0.5, len(unseen))
    counts = {"seen": np.full(len(seen), given.rows), "unseen": np.maximum(1, many).astype(int)}
    of = {"seen": points[: len(seen)], "unseen": points[len(seen) :]}
    for name, ids in (("seen", seen), ("unseen", unseen)):
        write_rows(given.folder / name, ids, of[name], counts[name], given.dim, given.seed)
    np.save(given.folder / "word2vec.npy", shown(points, given.vector_dim, [given.seed, 1]))
    write_ids(given.folder / "word2vec.txt", [*seen, *unseen])
    print(f"{given.folder}: {len(seen)} seen and {len(unseen)} unseen classes")


def arguments() -> argparse.Namespace:
    """The command line."""
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("folder", type=Path)
    made.add_argument("--classes", type=Path, help="lists to take the ids from")
    made.add_argument("--seen", type=int, default=40)
    made.add_argument("--unseen", type=int, default=60)
    made.add_argument("--rows", type=int, default=20, help="of a class, about")
    made.add_argument("--dim", type=int, default=64, help="of a feature row")
    made.add_argument("--vector-dim", type=int, default=32, help="of a word vector")
    made.add_argument("--seed", type=int, default=0)
    return made.parse_args()


def made_lists(seen: int, unseen: int) -> dict[str, list[str]]:
    """Lists as ImageNet's: 2-hops is part of 3-hops, and that of all."""
    ids = [f"n{number:08d}" for number in range(seen + unseen)]
    rest = ids[seen:]
    return {
        "train": ids[:seen],
        "2-hops": rest[: max(1, unseen // 4)],
        "3-hops": rest[: max(1, unseen // 2)],
        "all": rest,
    }


def spread_over(lists: Mapping[str, Sequence[str]], count: int) -> list[str]:
    """So many unseen classes: a quarter of 2-hops, a quarter of the rest of 3-hops, the rest."""
    near, middle = set(lists["2-hops"]), set(lists["3-hops"])
    chosen = [*lists["2-hops"][: max(1, count // 4)]]
    chosen += [each for each in lists["3-hops"] if each not in near][: max(1, count // 4)]
    far = [each for each in lists["all"] if each not in middle]
    return [*chosen, *far[: max(0, count - len(chosen))]]


def shown(points: np.ndarray, dim: int, seed: Sequence[int]) -> np.ndarray:
    """The random two-layer map of this seed, (rows, dim): never negative, as pooled features."""
    random = np.random.default_rng(seed)
    inner = random.normal(size=(FACTORS, 4 * FACTORS)) / FACTORS**0.5
    outer = random.normal(size=(4 * FACTORS, dim)) / (4 * FACTORS) ** 0.5
    return np.maximum(np.tanh(points @ inner) @ outer, 0).astype(np.float32)


def write_rows(
    path: Path, ids: Sequence[str], points: np.ndarray, counts: np.ndarray, dim: int, seed: int
) -> None:
    """Write a table of features, a thousand classes at a time, so that any size will do."""
    shape = (int(counts.sum()), dim)
    out = np.lib.format.open_memmap(path.with_suffix(".npy"), "w+", np.float32, shape)
    noise, start = np.random.default_rng([seed, 2, len(ids)]), 0
    for first in range(0, len(ids), 1000):
        some = np.arange(first, min(first + 1000, len(ids)))
        of_class = np.repeat(some, counts[some])
        scattered = points[of_class] + SPREAD * noise.normal(size=(len(of_class), FACTORS))
        out[start : start + len(of_class)] = shown(scattered, dim, [seed, 3])
        start += len(of_class)
    out.flush()
    write_ids(path.with_suffix(".txt"), np.repeat(np.array(ids), counts).tolist())


def write_ids(path: Path, ids: Sequence[str]) -> None:
    """Write a WordNet id a line."""
    path.write_text("\n".join(ids) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
