"""Where people looked: a histogram of fixations for each sample."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from mmalign import ErrorName, Features, MmalignError, ScalerName, Source, View, component


@component
class Gaze(Features):
    """Where people looked: a histogram of fixations for each sample.

    Counts become shares of all fixations, and a sample that nobody looked at has no gaze:
    it is masked, and no loss term sees it.
    """

    name: ClassVar[str] = "gaze"
    array: str = "gaze"
    """Which of the data set's arrays: fixations by region, one row a sample."""
    least: float = Field(default=0.0, ge=0)
    """Counts up to this one are the tracker's noise, and no fixation."""
    root: bool = True
    """Take the root of each share, so that large shares do not drown the others."""
    hidden: tuple[int, int] = (64, 64)
    """Widths of the encoder's and the decoder's hidden layer."""
    reconstruction: ErrorName = "l1"
    """Reconstruction error, summed over dimensions."""
    scaler: ScalerName = "none"
    """Scaling, fitted on the training rows; shares are in [0, 1] already."""

    def view(self, source: Source) -> View:
        """Each sample's shares, (samples, regions)."""
        counts = super().view(source)  # raises MmalignError where the source has no such array
        if counts.level != "sample":
            raise MmalignError(
                f"modality 'gaze': '{self.array}' of data set '{source.name}' has one row a"
                " class; give fixations, one row a sample"
            )
        fixations = np.where(counts.mask[:, None], counts.values, 0)
        fixations = np.where(fixations > self.least, fixations, 0)
        total = fixations.sum(axis=1, keepdims=True)
        shares = fixations / np.where(total > 0, total, 1)
        if self.root:
            shares = np.sqrt(shares)
        return View(shares.astype(np.float32), "sample", counts.mask & (total[:, 0] > 0))
