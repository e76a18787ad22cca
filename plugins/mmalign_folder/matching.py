"""Puts each file's rows in the order of the samples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmalign import FeatureFile, MmalignError, Problems, View, some_names
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
        return View(array.values, "sample", array.mask, backbone=array.backbone)
    if not samples.names:
        raise MmalignError(
            f"names its rows, but {samples.file} has no column 'sample' that says which of them"
            " is which; add one"
        )
    rows = FeatureFile(array.values, array.names).rows_of(samples.names)
    lacking = np.flatnonzero(rows < 0)
    if len(lacking) and (settings.missing == "error" or len(lacking) == count):
        raise MmalignError(
            f"has no row for {len(lacking)} of the {count} samples:"
            f" {some_names([samples.names[row] for row in lacking])}; add them, or set"
            ' dataset.missing = "mask"'
        )
    if np.array_equal(rows, np.arange(len(array.values))):
        # As they lie in the file, uncopied.
        return View(array.values, "sample", array.mask, backbone=array.backbone)
    mask = array.mask[rows] & (rows >= 0)
    return View(array.values[rows], "sample", mask, backbone=array.backbone)
