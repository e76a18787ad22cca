"""Puts the chosen classes' rows and word vectors together as a Source."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmalign import Indices, MmalignError, Source, Splits, View
from mmalign_imagenet.choosing import Available, Chosen, choose
from mmalign_imagenet.files import digest, read_counts, read_lists, read_names, wnid
from mmalign_imagenet.tables import Table

if TYPE_CHECKING:
    from mmalign_imagenet.dataset import ImageNet


def load(settings: ImageNet) -> Source:
    """The data set as a Source, seen classes first. Raises MmalignError."""
    paths = _paths(settings)
    lists = read_lists(paths["classes"])
    seen, unseen, vectors = (Table.read(paths[key]) for key in ("seen", "unseen", "vectors"))
    _check(paths["classes"], lists, seen, unseen, vectors)
    rows = _counted(unseen.ids)
    images = read_counts(paths["counts"]) if "counts" in paths else rows
    have = frozenset(vectors.ids.tolist())
    available = Available(_counted(seen.ids), rows, have, images, paths.get("counts"))
    chosen = choose(settings, paths["classes"], lists, available)

    notes = list(chosen.notes)
    image, labels, hashes = _images(settings, chosen, seen, unseen, notes)
    order = {int(number): row for row, number in enumerate(vectors.ids)}
    classes = (*chosen.seen, *chosen.unseen)
    described = np.empty((len(classes), vectors.values.shape[1]), dtype=np.float32)
    vectors.fill(described, np.array([order[each] for each in classes]))
    whole = [path for key, path in paths.items() if key not in ("seen", "unseen")]
    whole.append(paths["vectors"].with_suffix(".txt"))
    asked = labels >= len(chosen.seen)
    return Source(
        name=settings.name,
        classes=_names(classes, paths),
        labels=labels,
        arrays={"image": View(image, "sample"), "word2vec": View(described, "class")},
        splits=Splits(
            train=np.flatnonzero(~asked),
            test_seen=np.empty(0, dtype=np.int64),
            test_unseen=np.flatnonzero(asked),
        ),
        hashes={path.name: digest(path) for path in whole} | hashes,
        notes=tuple(notes),
    )


def _paths(settings: ImageNet) -> Mapping[str, Path]:
    """Each file by its setting, from the root. Raises MmalignError, naming those that lack."""
    given = ("classes", "seen", "unseen", "vectors", "counts", "names")
    try:
        root = settings.root.expanduser().resolve()
        paths = {
            key: root / getattr(settings, key).expanduser()
            for key in given
            if getattr(settings, key) is not None
        }
        missing = [f"dataset.{key} ({path})" for key, path in paths.items() if not path.is_file()]
    # RuntimeError: "~someone" without a home, or links in a circle.
    except (OSError, RuntimeError, ValueError) as error:
        raise MmalignError(
            f"data set 'imagenet': dataset.root '{settings.root}' cannot be looked into: {error}"
        ) from None
    if missing:
        raise MmalignError(
            f"data set 'imagenet': no file for {', '.join(missing)}. Class lists are published"
            " with the splits; features and word vectors are tables, NAME.npy with NAME.txt"
            " beside it (mmalign ls imagenet; docs/imagenet.md). A recipe that runs right now:"
            " mmalign run quickstart"
        )
    return paths


def _check(
    path: Path, lists: Mapping[str, Sequence[int]], seen: Table, unseen: Table, vectors: Table
) -> None:
    """Rows are of known classes and on the right side, as wide as one another."""
    vectors.check_once()
    if seen.values.shape[1] != unseen.values.shape[1]:
        raise MmalignError(
            f"{unseen.path}: {unseen.values.shape[1]} numbers a row, but"
            f" {seen.values.shape[1]} in {seen.path.name}; take features of one backbone"
        )
    trained = set(lists["train"])
    others = {each for key, ids in lists.items() if key != "train" for each in ids}
    for table, known, strange in (
        (seen, trained, dict.fromkeys(others, "an unseen class")),
        (unseen, others, dict.fromkeys(trained, "a class of 'train', hence seen")),
    ):
        unknown = ~np.isin(table.ids, np.fromiter(known, dtype=np.int64, count=len(known)))
        if unknown.any():
            row = int(np.argmax(unknown))
            wrong = strange.get(int(table.ids[row]), f"in no list of {path.name}")
            raise MmalignError(
                f"{table.path.with_suffix('.txt')}: line {row + 1} is"
                f" {wnid(int(table.ids[row]))}, {wrong}"
                f" ({int(unknown.sum()):,} such lines in all)"
            )


def _counted(ids: Indices) -> dict[int, int]:
    """How many rows each class has."""
    classes, counts = np.unique(ids, return_counts=True)
    return dict(zip(classes.tolist(), counts.tolist(), strict=True))


def _images(
    settings: ImageNet, chosen: Chosen, seen: Table, unseen: Table, notes: list[str]
) -> tuple[np.ndarray, Indices, dict[str, str]]:
    """Features of the chosen classes, their labels, and the hash of what was taken.

    The rows taken are hashed, not the files, which may be a hundred times as large.
    """
    taken = [
        first_rows(seen.ids, chosen.seen, settings.seen_rows),
        first_rows(unseen.ids, chosen.unseen, settings.unseen_rows),
    ]
    counts = [len(rows) for rows, _ in taken]
    for table, classes, count in zip(
        (seen, unseen), (chosen.seen, chosen.unseen), counts, strict=True
    ):
        there = int(np.isin(table.ids, classes).sum())
        if count < there:
            notes.append(
                f"reduced: {count:,} of these classes' {there:,} rows in {table.path.name}"
            )
    image = np.empty((sum(counts), seen.values.shape[1]), dtype=np.float32)
    sides = (image[: counts[0]], image[counts[0] :])
    hashes = {}
    for table, (rows, _), out in zip((seen, unseen), taken, sides, strict=True):
        table.fill(out, rows)
        said = hashlib.sha256(table.ids[rows].astype("<i8").tobytes())
        said.update(out.data)
        hashes[f"{table.path.name}, {len(rows)} rows as float32"] = said.hexdigest()
    labels = np.concatenate([taken[0][1], taken[1][1] + len(chosen.seen)])
    return image, labels, hashes


def first_rows(ids: Indices, classes: Sequence[int], most: int | None) -> tuple[Indices, Indices]:
    """The first ``most`` rows of each class, in the order of the file, and their classes.

    Classes are given by their place in ``classes``. In the file's order, a disk is read
    from front to back.
    """
    by_class = np.argsort(ids, kind="stable")
    wanted = np.asarray(classes, dtype=np.int64)
    start = np.searchsorted(ids[by_class], wanted, "left")
    stop = np.searchsorted(ids[by_class], wanted, "right")
    if most is not None:
        stop = np.minimum(stop, start + most)
    counts = stop - start
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    rows = by_class[np.repeat(start, counts) + within]
    of_class = np.repeat(np.arange(len(wanted)), counts)
    order = np.argsort(rows)
    return rows[order], of_class[order]


def _names(classes: Sequence[int], paths: Mapping[str, Path]) -> tuple[str, ...]:
    """WordNet ids, with the words of each where a file gives them."""
    if "names" not in paths:
        return tuple(wnid(each) for each in classes)
    names = read_names(paths["names"])
    # Two classes may have the same words; the id in front tells them apart.
    return tuple(f"{wnid(each)} {names.get(each, '')}".rstrip() for each in classes)
