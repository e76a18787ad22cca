"""Which row of a file belongs to which class or sample."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from mmalign import Indices, Level, MmalignError, Source, did_you_mean

PLURAL = {"class": "classes", "sample": "samples"}


def level_of(names: Sequence[str], source: Source, where: Path) -> Level:
    """The level that most names belong to. Raises MmalignError where none belongs to any."""
    given = set(names)
    classes, samples = len(given & set(source.classes)), len(given & set(source.samples))
    if classes == samples == 0:
        nameless = "" if source.samples else " (the data set has no names of samples)"
        raise MmalignError(
            f"{where}: none of its {len(given)} names is a class or a sample of data set"
            f" '{source.name}'{nameless}; the first is '{names[0]}', where the first class is"
            f" '{source.classes[0]}'"
        )
    return "class" if classes >= samples else "sample"


def matched(
    names: Sequence[str],
    level: Level,
    source: Source,
    where: Path,
    missing: Literal["error", "mask"],
) -> tuple[Indices, tuple[str, ...]]:
    """For each class or sample the place of its name, -1 for none; and notes.

    Raises MmalignError for a name that is there twice, and where a class or sample is
    missing and that is a mistake.
    """
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise MmalignError(f"{where}: the name '{twice[0]}' is there twice")
    wanted = source.classes if level == "class" else source.samples
    if not wanted:
        raise MmalignError(
            f"{where}: it goes by sample, but data set '{source.name}' has no names of samples"
        )
    places = {name: place for place, name in enumerate(names)}
    rows = np.array([places.get(name, -1) for name in wanted], dtype=np.int64)
    lacking = [name for name, row in zip(wanted, rows, strict=True) if row < 0]
    strange = sorted(places.keys() - set(wanted))
    if lacking and missing == "error":
        hint = did_you_mean(lacking[0], strange)
        hint = f"; {hint}" if hint.startswith("did") else ""  # a list of all names helps nobody
        raise MmalignError(
            f"{where}: nothing for the {level} '{lacking[0]}' of data set '{source.name}'"
            f" ({len(lacking)} {PLURAL[level]} in all lack a row){hint}; to go"
            ' without them set missing = "mask"'
        )
    notes = []
    if lacking:
        notes.append(
            f"{where.name} has nothing for {len(lacking)} {PLURAL[level]}: {some(lacking)}"
        )
    if strange:
        notes.append(
            f"{where.name} has {len(strange)} names that are no {PLURAL[level]}: {some(strange)}"
        )
    return rows, tuple(notes)


def some(names: Sequence[str], most: int = 5) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def names_from_json(text: str, where: str) -> tuple[str, ...]:
    """A JSON list of texts. Raises MmalignError for anything else."""
    try:
        names = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MmalignError(f"{where}: the names are no JSON: {error}") from None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise MmalignError(f"{where}: the names are no JSON list of texts")
    return tuple(names)
