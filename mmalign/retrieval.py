"""Cross-modal search in a latent space: what is nearest, and how well that finds what is meant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mmalign.arrays import Floats, Indices

PART = 2**24  # similarities held at a time: 64 MiB
RANKS = (1, 5, 10)


@dataclass(frozen=True)
class Retrieval:
    """How well queries find an item of their own class.

    ``recall`` is by k: the share of queries with such an item among the best k (R@k).
    ``mean_rank`` is the mean rank, from 1, of the best such item. Of equal similarities the
    wrong item counts as the nearer.
    """

    recall: Mapping[int, float]
    mean_rank: float
    queries: int
    items: int

    @property
    def facts(self) -> dict[str, float]:
        """As a report keeps it."""
        recall = {f"R@{k}": round(value, 5) for k, value in self.recall.items()}
        mean = round(self.mean_rank, 4)
        return {**recall, "mean_rank": mean, "queries": self.queries, "items": self.items}


def directions(z: Floats) -> Floats:
    """Rows at length 1, so that products of them are cosines; a row of zeros stays."""
    length = np.linalg.norm(z, axis=1, keepdims=True)
    unit: Floats = z / np.maximum(length, np.finfo(np.float32).tiny)
    return unit


def nearest(queries: Floats, items: Floats, top: int) -> tuple[Indices, Floats]:
    """The ``top`` items of the largest cosine with each query, best first.

    Both are (rows, latent). Gives their places and cosines, each (queries, top). Of equal
    ones the first item comes first.
    """
    across, top = directions(items).T, min(top, len(items))
    places = np.empty((len(queries), top), np.int64)
    cosines = np.empty((len(queries), top), np.float32)
    step = max(1, PART // max(1, len(items)))
    for start in range(0, len(queries), step):
        near = directions(queries[start : start + step]) @ across
        order = np.argsort(-near, axis=1, kind="stable")[:, :top]
        places[start : start + step] = order
        cosines[start : start + step] = np.take_along_axis(near, order, axis=1)
    return places, cosines


def measure_retrieval(
    queries: Floats, wanted: Indices, items: Floats, labels: Indices
) -> Retrieval | None:
    """Search ``items`` for those whose label is the one ``wanted`` by each query.

    Queries whose label no item has are left out; None where none is left.
    """
    kept = np.flatnonzero(np.isin(wanted, labels))
    if not len(kept):
        return None
    across = directions(items).T
    ranks = np.empty(len(kept), np.int64)
    step = max(1, PART // len(items))
    for start in range(0, len(kept), step):
        rows = kept[start : start + step]
        near = directions(queries[rows]) @ across
        right = wanted[rows][:, None] == labels[None]
        best = np.where(right, near, -np.inf).max(axis=1, keepdims=True)
        ranks[start : start + step] = ((near >= best) & ~right).sum(axis=1) + 1
    recall = {k: float((ranks <= k).mean()) for k in RANKS}
    return Retrieval(recall, float(ranks.mean()), len(kept), len(items))
