"""Chooses the classes: which are seen, which are unseen, and which are left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmalign import MmalignError, did_you_mean
from mmalign_imagenet.files import wnid

if TYPE_CHECKING:
    from mmalign_imagenet.dataset import ImageNet

SIZES = {"500": 500, "1K": 1000, "5K": 5000}


@dataclass(frozen=True)
class Available:
    """What there is of each class: its rows of features, and whether it has a word vector.

    ``images`` are the counts that M and L go by, and ``counted`` the file they come from.
    """

    seen_rows: Mapping[int, int]
    unseen_rows: Mapping[int, int]
    vectors: frozenset[int]
    images: Mapping[int, int]
    counted: Path | None


@dataclass(frozen=True)
class Chosen:
    """Seen and unseen classes in their order, and what a report must say of the choice."""

    seen: tuple[int, ...]
    unseen: tuple[int, ...]
    notes: tuple[str, ...]


def choose(
    settings: ImageNet, path: Path, lists: Mapping[str, Sequence[int]], available: Available
) -> Chosen:
    """The classes of the split. Raises MmalignError where a side would be empty or short."""
    notes: list[str] = []
    seen = _having("train", lists["train"], available.seen_rows, available.vectors, notes)
    populated = settings.split[0] in "ML"
    key = "all" if populated else settings.split
    if key not in lists:
        raise MmalignError(f"{path}: no list '{key}'; {did_you_mean(key, lists)}")
    unseen = _having(key, lists[key], available.unseen_rows, available.vectors, notes)
    if populated:
        unseen = by_images(settings.split, unseen, available)
    sides = {
        "seen classes": (seen, settings.seen_classes),
        "unseen classes": (unseen, settings.unseen_classes),
    }
    notes += [
        f"reduced: {most:,} of {len(of_side):,} {side}"
        for side, (of_side, most) in sides.items()
        if most is not None and most < len(of_side)
    ]
    return Chosen(
        tuple(seen[: settings.seen_classes]),
        tuple(unseen[: settings.unseen_classes]),
        tuple(notes),
    )


def _having(
    key: str, ids: Sequence[int], rows: Mapping[int, int], vectors: frozenset[int], notes: list[str]
) -> list[int]:
    """Those with features and a vector."""
    kept = [each for each in ids if each in rows and each in vectors]
    no_vector = sum(each not in vectors for each in ids)
    no_rows = sum(each in vectors and each not in rows for each in ids)
    lacks = [
        f"{count:,} {what}"
        for count, what in ((no_vector, "without a word vector"), (no_rows, "without features"))
        if count
    ]
    if not kept:
        raise MmalignError(
            f"data set 'imagenet': no class of '{key}' is left of {len(ids):,}:"
            f" {' and '.join(lacks)}; check the ids beside the tables"
        )
    if lacks:
        notes.append(f"'{key}': {len(kept):,} of {len(ids):,} classes; {' and '.join(lacks)}")
    return kept


def by_images(split: str, pool: Iterable[int], available: Available) -> list[int]:
    """The most populated classes of the pool, or the least, in that order.

    Classes with as many images stand in the order of their ids. Raises MmalignError for a
    pool that is too small, and for one that the counts do not cover.
    """
    pool, size, images = list(pool), SIZES[split[1:]], available.images
    uncounted = sorted(each for each in pool if each not in images)
    if uncounted:
        raise MmalignError(
            f"{available.counted}: {len(uncounted):,} of the {len(pool):,} classes with features"
            f" and a word vector are not counted; the first is {wnid(uncounted[0])}"
        )
    if len(pool) < size:
        raise MmalignError(
            f"data set 'imagenet': the split {split} takes {size:,} classes, but {len(pool):,}"
            " of 'all' have features and a word vector; take a smaller split"
        )
    sign = -1 if split.startswith("M") else 1
    return sorted(pool, key=lambda each: (sign * images[each], each))[:size]
