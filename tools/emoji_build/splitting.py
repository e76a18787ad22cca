"""Which classes are never shown, which validate, and which drawings are asked about.

Order comes from SHA-256 of a seed and a name, so that no library's random numbers decide.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from mmalign import Indices

SEED = "mmalign emoji 1"
UNSEEN = 0.2  # of each group's classes
VALIDATION = 0.2  # of each group's seen classes
TRAIN, TEST_SEEN, TEST_UNSEEN = 0, 1, 2


def drawn(names: Sequence[str], purpose: str) -> list[str]:
    """The names in an order that only the seed and the purpose decide."""
    return sorted(
        names, key=lambda name: hashlib.sha256(f"{SEED}/{purpose}/{name}".encode()).digest()
    )


def unseen_and_validation(codes: Sequence[str], groups: Sequence[int]) -> tuple[Indices, Indices]:
    """Unseen classes, and the seen ones that validate, each a fixed share of every group."""
    unseen: list[int] = []
    validation: list[int] = []
    place = {code: index for index, code in enumerate(codes)}
    for group in sorted(set(groups)):
        members = [code for code, its in zip(codes, groups, strict=True) if its == group]
        order = [place[code] for code in drawn(members, "classes")]
        first = round(UNSEEN * len(order))
        second = first + round(VALIDATION * (len(order) - first))
        unseen += order[:first]
        validation += order[first:second]
    return np.array(sorted(unseen), dtype=np.int64), np.array(sorted(validation), dtype=np.int64)


def splits(labels: Indices, samples: Sequence[str], unseen: Indices) -> Indices:
    """TRAIN, TEST_SEEN or TEST_UNSEEN for each sample: of a seen class one drawing is asked."""
    told = np.full(len(labels), TRAIN, dtype=np.int64)
    told[np.isin(labels, unseen)] = TEST_UNSEEN
    for index in np.setdiff1d(labels, unseen):
        rows = {samples[row]: row for row in np.flatnonzero(labels == index)}
        told[rows[drawn(list(rows), "drawings")[0]]] = TEST_SEEN
    return told
