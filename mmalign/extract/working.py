"""The loop: pictures are read and prepared in threads while the network works."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from mmalign.arrays import Floats
from mmalign.contracts import Extractor
from mmalign.errors import MmalignError
from mmalign.extract.finding import Found
from mmalign.extract.kept import Parts, Rows
from mmalign.pictures import read_picture
from mmalign.progress import RunProgress

AHEAD = 2  # batches that are prepared while the network works on one


def work(
    todo: Sequence[Found],
    rows: Rows,
    extractor: Extractor,
    parts: Parts,
    progress: RunProgress,
    batch: int,
    workers: int,
) -> dict[Found, MmalignError]:
    """Add the row of every picture in ``todo``; returns those that are broken, with why."""
    broken: dict[Found, MmalignError] = {}
    progress.epoch_ended("extract", 0, len(todo), {})
    done = 0
    try:
        for whole, wrong in prepared(todo, extractor, batch, workers):
            if whole:
                made = checked(extractor(stacked(whole)), whole, rows)
                rows |= made
                parts.add(made)
            broken |= wrong
            done += len(whole) + len(wrong)
            progress.epoch_ended("extract", done, len(todo), {"broken": len(broken)})
    finally:  # of Ctrl-C and of errors too
        parts.flush()
    return broken


def prepared(
    todo: Sequence[Found], extractor: Extractor, batch: int, workers: int
) -> Iterator[tuple[Rows, dict[Found, MmalignError]]]:
    """Batches in order: the pictures prepared, and the broken ones, each with its error."""

    def prepare(each: Found) -> Floats:
        return extractor.prepare(read_picture(each.path))

    waiting: deque[dict[Found, Future[Floats]]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        # Pillow warns of what read_picture judges. It is silenced here, in one thread, since
        # filters belong to the process.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="PIL")
            for start in range(0, len(todo), batch):
                some = todo[start : start + batch]
                waiting.append({each: pool.submit(prepare, each) for each in some})
                if len(waiting) > AHEAD:
                    yield sorted_out(waiting.popleft())
            while waiting:
                yield sorted_out(waiting.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


def sorted_out(
    waiting: Mapping[Found, Future[Floats]],
) -> tuple[Rows, dict[Found, MmalignError]]:
    """Wait for a batch: whole pictures, and broken ones."""
    whole: Rows = {}
    broken: dict[Found, MmalignError] = {}
    for each, future in waiting.items():
        try:
            whole[each] = future.result()
        except MmalignError as error:
            broken[each] = error
    return whole, broken


def stacked(whole: Rows) -> Floats:
    """Prepared pictures as a batch. Raises MmalignError where their shapes differ."""
    shapes = {np.shape(each): found.name for found, each in whole.items()}
    if len(shapes) > 1:
        (one, a), (other, b) = list(shapes.items())[:2]
        raise MmalignError(
            f"the backbone prepares '{a}' as {one} and '{b}' as {other}; it must give one shape"
        )
    return np.stack(list(whole.values())).astype(np.float32, copy=False)


def checked(features: Floats, whole: Rows, rows: Rows) -> Rows:
    """A row for each picture. Raises MmalignError for anything else, naming the picture."""
    dim = len(next(iter(rows.values()))) if rows else np.shape(features)[-1]
    if np.shape(features) != (len(whole), dim):
        raise MmalignError(
            f"the backbone gives {np.shape(features)} for {len(whole)} pictures;"
            f" ({len(whole)}, {dim}) was expected"
        )
    for found, row in zip(whole, features, strict=True):
        if not np.isfinite(row).all():
            raise MmalignError(f"the backbone gives NaN or infinity for {found.path}")
    return dict(zip(whole, np.asarray(features, np.float32), strict=True))
