"""Puts each file's rows in the order of the samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmalign import FeatureFile, Indices, MmalignError, Problems, Stored, View, some_names
from mmalign_folder.arrays import Array
from mmalign_folder.samples import Samples

if TYPE_CHECKING:
    from mmalign_folder.dataset import Folder


def views_of(
    settings: Folder, arrays: Sequence[Array], samples: Samples, problems: Problems
) -> dict[str, View]:
    """Each file's rows in the order of the samples, under the file's name without its ending."""
    views = {}
    for array in arrays:
        stem = Path(array.name).stem
        try:
            views[stem] = _view(settings, array, samples)
        except MmalignError as error:
            problems.add(array.name, str(error))
    return views


def _view(settings: Folder, array: Array, samples: Samples) -> View:
    count = len(samples.classes)
    if not array.names:
        if len(array.values) != count:
            raise MmalignError(
                f"has {len(array.values)} rows for the {count} samples of {samples.file}; there"
                " is one row a sample, in the same order"
            )
        return _as_it_lies(array)
    if not samples.names:
        raise MmalignError(
            f"names its rows, but {samples.file} has no column 'sample' that says which of them"
            " is which; add one"
        )
    rows = _rows_of(array, samples)
    lacking = np.flatnonzero(rows < 0)
    if len(lacking) and (settings.missing == "error" or len(lacking) == count):
        raise MmalignError(
            f"has no row for {len(lacking)} of the {count} samples:"
            f" {some_names([samples.names[row] for row in lacking])}; add them, or set"
            ' dataset.missing = "mask"'
        )
    if np.array_equal(rows, np.arange(len(array.values))):
        return _as_it_lies(array)
    mask = array.mask[rows] & (rows >= 0)
    if isinstance(array.values, Stored):
        values = replace(array.values, rows=rows, lacking=not mask.all())
        return View(values, "sample", mask, backbone=array.backbone)
    return View(array.values[rows], "sample", mask, backbone=array.backbone)


def _rows_of(array: Array, samples: Samples) -> Indices:
    """The row of each sample by its name, -1 where it has none."""
    if array.names == samples.names:  # no need to look among millions
        return np.arange(len(array.names))
    return FeatureFile(np.zeros((0, 0), np.float32), array.names).rows_of(samples.names)


def _as_it_lies(array: Array) -> View:
    """The rows in the order of the file, uncopied."""
    values = array.values
    if isinstance(values, Stored):
        values = replace(values, lacking=not array.mask.all())
    return View(values, "sample", array.mask, backbone=array.backbone)
