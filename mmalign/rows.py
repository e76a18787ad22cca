"""Feature rows in, predictions out."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from mmalign.errors import MmalignError
from mmalign.types import Floats


def named_files(given: Sequence[str], modality: str | None = None) -> dict[Any, Path]:
    """Files by modality, from ``MODALITY=FILE``; a single file without one is under None.

    A lone file belongs to ``modality`` where that is given. Raises MmalignError for several
    files of which one names no modality, and for a modality that is named twice.
    """
    found: dict[Any, Path] = {}
    for each in given:
        name, equals, path = each.partition("=")
        if not equals or Path(each).is_file():
            name, path = modality or "", each
        if not name and len(given) > 1:
            raise MmalignError(f"'{each}': of several files each says its modality: NAME={each}")
        if name in found:
            raise MmalignError(f"'{each}': the modality '{name}' has a file already")
        found[name or None] = Path(path)
    return found


def read_rows(path: Path, lacking: bool = False) -> Floats:
    """Rows of an .npy file as (rows, dim) float32; never unpickles.

    With ``lacking``, NaN throughout a row says that it lacks the modality. Raises
    MmalignError for a file that is no such array, holds objects, or is not finite.
    """
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, MemoryError) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise MmalignError(f"{path}: not readable as .npy numbers: {said}") from None
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu":
        kind = getattr(values, "dtype", type(values).__name__)
        raise MmalignError(f"{path}: real numbers were expected, not {kind}")
    if values.ndim == 1:
        values = values[None]
    if values.ndim != 2 or len(values) == 0:
        raise MmalignError(f"{path}: (rows, dim) was expected; this is {values.shape}")
    with np.errstate(over="ignore"):  # what overflows is infinite, and refused below
        rows: Floats = values.astype(np.float32)
    wrong = ~np.isfinite(rows).all(axis=1)
    if lacking:
        wrong &= ~np.isnan(rows).all(axis=1)
    if wrong.any():
        raise MmalignError(
            f"{path}: row {int(np.argmax(wrong))} holds NaN or infinity"
            f" ({int(wrong.sum())} such rows in all)"
        )
    return rows


def write_predictions(best: Sequence[Sequence[tuple[str, float]]], path: Path | None) -> None:
    """Write ``row,rank,class,score`` as CSV to a file, or to standard output."""
    try:
        stream = (
            nullcontext(sys.stdout)
            if path is None
            else path.open("w", newline="", encoding="utf-8")
        )
    except OSError as error:
        raise MmalignError(f"cannot write {path}: {error.strerror}") from None
    with stream as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["row", "rank", "class", "score"])
        for row, classes in enumerate(best):
            for rank, (name, score) in enumerate(classes, start=1):
                writer.writerow([row, rank, name, f"{score:.6g}"])
