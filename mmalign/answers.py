"""Scores become answers, a part of the rows at a time: what a metric asks of each row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np

from mmalign.arrays import Floats, Indices
from mmalign.errors import MmalignError

PART = 2**24  # scores held at a time: 64 MiB of float32


@dataclass(frozen=True)
class Answers:
    """What each row's scores come to; every array is (rows,).

    ``said`` is the class with the largest score, ``seen`` and ``unseen`` are the seen and
    the unseen class with the largest, ``margin`` is how much larger that seen class's score
    is than that unseen class's. Where no seen or no unseen class is searched, they are -1
    and NaN. ``rank`` counts the classes before the true one, which has 0 when it is what is
    said. Of equal scores the class that is searched first counts as the larger.
    """

    said: Indices
    seen: Indices
    unseen: Indices
    margin: Floats
    rank: Indices


def read(scores: Floats, labels: Indices, search: Indices, seen: Indices) -> Answers:
    """Read scores over the classes ``search``, (rows, search), of rows with these labels.

    A label that is not searched has the rank ``len(search)``. Raises MmalignError for
    scores of another shape, NaN and infinity.
    """
    if scores.shape != (len(labels), len(search)):
        raise MmalignError(
            f"a method gave scores of shape {scores.shape} for {len(labels)} rows and"
            f" {len(search)} classes"
        )
    if not np.isfinite(scores).all():
        raise MmalignError("a method gave NaN or infinity as a score")
    of_seen = np.isin(search, seen)
    best_seen, score_seen = _best(scores, search, of_seen)
    best_unseen, score_unseen = _best(scores, search, ~of_seen)
    return Answers(
        said=search[scores.argmax(1)],
        seen=best_seen,
        unseen=best_unseen,
        margin=score_seen - score_unseen,
        rank=_rank(scores, labels, search),
    )


def read_parts(
    scores: Callable[[Indices], Floats],
    labels: Indices,
    search: Indices,
    seen: Indices,
    most: int = PART,
) -> Answers:
    """The same, with ``scores(rows)`` called for at most ``most`` scores at a time.

    Rows times classes may so exceed the memory: 20,842 classes take 83 KB a row.
    """
    size = max(1, most // max(1, len(search)))
    starts = range(0, max(1, len(labels)), size)
    parts = []
    for start in starts:
        rows = np.arange(start, min(start + size, len(labels)))
        parts.append(read(scores(rows), labels[rows], search, seen))
    return Answers(
        **{
            f.name: np.concatenate([getattr(part, f.name) for part in parts])
            for f in fields(Answers)
        }
    )


def _best(scores: Floats, search: Indices, side: np.ndarray) -> tuple[Indices, Floats]:
    """The best class of one side and its score, in each row."""
    if not side.any():
        none = np.full(len(scores), -1, dtype=np.int64)
        return none, np.full(len(scores), np.nan, dtype=np.float32)
    of_side = scores if side.all() else scores[:, side]
    place = of_side.argmax(1)
    return search[side][place], np.take_along_axis(of_side, place[:, None], axis=1)[:, 0]


def _rank(scores: Floats, labels: Indices, search: Indices) -> Indices:
    """How many classes stand before the true one; equal scores stand in the order of search."""
    order = np.argsort(search)
    found = np.minimum(np.searchsorted(search[order], labels), len(search) - 1)
    place = order[found]
    own = np.take_along_axis(scores, place[:, None], axis=1)
    before = np.arange(len(search)) < place[:, None]
    rank: Indices = ((scores > own) | ((scores == own) & before)).sum(1)
    rank[search[place] != labels] = len(search)
    return rank
