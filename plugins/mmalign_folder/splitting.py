"""Which classes are seen, which samples train: as files say, or drawn."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mmalign import Indices, Mask, Problems, Splits, did_you_mean
from mmalign_folder.samples import Samples

if TYPE_CHECKING:
    from mmalign_folder.dataset import Folder

ROLES = ("seen", "unseen", "validation")


@dataclass(frozen=True)
class Known:
    """Classes and samples, as far as the splits depend on them.

    ``roles`` and ``lines`` are of each class in ``file``, and may be (). ``described`` says
    which classes anything but their name tells of; ``labels`` is (samples,).
    """

    file: str
    classes: tuple[str, ...]
    roles: tuple[str, ...]
    lines: tuple[int, ...]
    described: Mask
    samples: Samples
    labels: Indices

    @property
    def counts(self) -> Indices:
        """Samples of each class, (classes,)."""
        return np.bincount(self.labels, minlength=len(self.classes))

    def where(self, index: int) -> str:
        """How a message names the place of a class."""
        return f"{self.file}, line {self.lines[index]}" if self.lines else self.file


def split(
    settings: Folder, known: Known, problems: Problems
) -> tuple[Splits, tuple[str, ...]] | None:
    """The splits, and a line on how each came about; None where something is wrong."""
    before = len(problems.lines)
    from_files = settings.split == "files"
    roles = _roles(known, problems) if from_files else ()
    rows = np.array(known.samples.splits if from_files else ())
    if roles:
        seen = np.array([role != "unseen" for role in roles])
    elif len(rows):
        seen = np.bincount(known.labels[rows == "train"], minlength=len(known.classes)) > 0
    else:
        seen = _drawn_seen(settings, known, problems)
    asked = _given_rows(known, seen, rows, problems) if len(rows) else _drawn_rows(settings, known)
    named = np.flatnonzero([role == "validation" for role in roles])
    validation = named if len(named) else _drawn_validation(settings, known, seen, problems)
    _refuse(known, seen, problems)
    if len(problems.lines) > before:
        return None
    of_seen = seen[known.labels]
    splits = Splits(
        train=np.flatnonzero(of_seen & ~asked),
        test_seen=np.flatnonzero(of_seen & asked),
        test_unseen=np.flatnonzero(~of_seen),
        validation_classes=validation,
        unseen_classes=np.flatnonzero(~seen),
    )
    return splits, _plan(settings, known, roles, len(rows) > 0, validation is not None)


def _plan(
    settings: Folder, known: Known, roles: Sequence[str], rows: bool, validation: bool
) -> tuple[str, ...]:
    """How splits came about, in words."""
    drawn, by_file = f"drawn with seed {settings.seed}", f"as {known.file} says"
    by_rows = f"seen where {known.samples.file} has training samples"
    some = by_file if "validation" in roles else drawn
    return (
        f"seen and unseen classes: {by_file if roles else by_rows if rows else drawn}",
        "samples of seen classes that are asked: "
        + (f"as {known.samples.file} says" if rows else f"{settings.test:.0%} of each, {drawn}"),
        f"validation classes: {some if validation else 'the protocol draws a third of the seen'}",
    )


def _roles(known: Known, problems: Problems) -> tuple[str, ...]:
    """What the file of classes calls each of them, () where it says nothing or nonsense."""
    words = tuple(word.casefold() for word in known.roles)
    if not any(words):
        return ()
    wrong = [
        f"{known.where(index)}, column 'split': "
        + (f"'{word}' is nothing a class can be; {did_you_mean(word, ROLES)}" if word else
           "is empty; say seen, unseen or validation of every class, or of none")
        for index, word in enumerate(words)
        if word not in ROLES
    ]  # fmt: skip
    wrong += [
        f"{known.where(index)}: the class '{known.classes[index]}' is '{words[index]}', but has no"
        f" sample in {known.samples.file}; add some, or say unseen"
        for index in np.flatnonzero(known.counts == 0).tolist()
        if words[index] in ("seen", "validation")
    ]
    problems.several(wrong)
    return () if wrong else words


def _given_rows(known: Known, seen: Mask, rows: np.ndarray, problems: Problems) -> Mask:
    """Which samples the file of samples has asked."""
    of_seen = seen[known.labels]
    problems.several([
        f"{known.samples.where(row)}: trains, but its class '{known.classes[known.labels[row]]}'"
        f" is unseen in {known.file}; say test, or make the class seen"
        for row in np.flatnonzero(~of_seen & (rows == "train")).tolist()
    ])  # fmt: skip
    problems.several([
        f"{known.samples.where(row)}, column 'split': is empty; say train or test of every sample"
        " of a seen class"
        for row in np.flatnonzero(of_seen & (rows == "")).tolist()
    ])  # fmt: skip
    trained = np.bincount(known.labels[rows == "train"], minlength=len(seen)) > 0
    problems.several([
        f"{known.where(index)}: the class '{known.classes[index]}' is seen, but none of its"
        f" samples trains in {known.samples.file}; say train of some, or make it unseen"
        for index in np.flatnonzero(seen & ~trained & (known.counts > 0)).tolist()
    ])  # fmt: skip
    return np.asarray(rows == "test")


def _drawn_rows(settings: Folder, known: Known) -> Mask:
    """A share of each class's samples; one at least where it has two, and never all."""
    asked = np.zeros(len(known.labels), dtype=np.bool_)
    order = np.argsort(known.labels, kind="stable")
    stops = np.cumsum(known.counts)
    for name, rows in zip(known.classes, np.split(order, stops[:-1]), strict=True):
        if settings.test > 0 and len(rows) > 1:
            count = min(len(rows) - 1, max(1, round(settings.test * len(rows))))
            asked[_generator(settings.seed, f"test/{name}").permutation(rows)[:count]] = True
    return asked


def _drawn_seen(settings: Folder, known: Known, problems: Problems) -> Mask:
    """Every class but those drawn to be unseen, and those without samples."""
    seen = known.counts > 0
    described = known.described if known.described.any() else seen
    candidates = np.flatnonzero(seen & described)
    count = _count(settings.unseen, len(candidates))
    left = int(seen.sum()) - count
    if count > len(candidates) or left < 2:
        problems.add(
            "dataset.unseen",
            f"{settings.unseen:g} makes {count} of {len(candidates)} described classes with samples"
            f" unseen, and leaves {max(0, left)} to train on; give a smaller number, or more"
            " classes",
        )
        return seen
    seen[_drawn(settings.seed, "unseen", known.classes, candidates)[:count]] = False
    return seen


def _drawn_validation(
    settings: Folder, known: Known, seen: Mask, problems: Problems
) -> Indices | None:
    """Seen classes that play the unseen ones in validation; None where nobody names any."""
    if settings.validation == 0:
        return None
    described = known.described if known.described.any() else seen
    candidates = np.flatnonzero(seen & described)
    count = _count(settings.validation, len(candidates))
    if count > len(candidates) or count >= seen.sum():
        problems.add(
            "dataset.validation",
            f"{settings.validation:g} makes {count} of {int(seen.sum())} seen classes validate,"
            " and leaves none to train on; give a smaller number",
        )
        return None
    drawn: Indices = np.sort(_drawn(settings.seed, "validation", known.classes, candidates)[:count])
    return drawn if len(drawn) else None


def _refuse(known: Known, seen: Mask, problems: Problems) -> None:
    """Refuse what could be split, but not learnt."""
    if seen.sum() < 2 and not any(line.startswith("dataset.unseen") for line in problems.lines):
        problems.add(
            known.file, f"{int(seen.sum())} classes are seen; at least two are needed to train on"
        )
    if known.described.any():
        bare = np.flatnonzero(~seen & ~known.described)
        problems.several([
            f"{known.where(index)}: the class '{known.classes[index]}' is unseen, and nothing"
            " describes it; fill in its attributes or a text"
            for index in bare.tolist()
        ])  # fmt: skip


def _count(given: float, of: int) -> int:
    """A share of so many, one at least, or the number that was given."""
    if given >= 1 or given == 0:
        return int(given)
    return max(1, round(given * of))


def _drawn(seed: int, purpose: str, names: Sequence[str], candidates: Indices) -> Indices:
    """The candidates in an order that goes by each one's name alone.

    A class that is added or moved changes no other one's lot.
    """
    lots = [hashlib.sha256(f"{seed}/{purpose}/{names[each]}".encode()).digest()
            for each in candidates]  # fmt: skip
    return candidates[sorted(range(len(candidates)), key=lots.__getitem__)]


def _generator(seed: int, name: str) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8]))
