"""Mean, spread and range of each dimension, in one pass over rows that come in parts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmalign.arrays import Floats


class Moments:
    """What the rows so far come to, by dimension, in float64; the range in float32.

    Parts are merged as in Chan, Golub & LeVeque (1983), so that no sum of squares of large
    numbers is ever taken.
    """

    def __init__(self, dim: int) -> None:
        self.count = 0
        self.mean: NDArray[np.float64] = np.zeros(dim)
        self.apart: NDArray[np.float64] = np.zeros(dim)  # sum of squares from the mean
        self.low: Floats = np.full(dim, np.inf, np.float32)
        self.high: Floats = np.full(dim, -np.inf, np.float32)

    def add(self, rows: Floats, spread: bool = True, span: bool = True) -> None:
        """Count these rows in, (rows, dim): mean and spread, the range, or both."""
        if not len(rows):
            return
        count = self.count + len(rows)
        if spread:
            wide = rows.astype(np.float64)
            mean = wide.mean(0)
            wide -= mean
            apart = np.einsum("ij,ij->j", wide, wide)
            step = mean - self.mean
            self.apart += apart + step * step * (self.count * len(rows) / count)
            self.mean += step * (len(rows) / count)
        if span:
            np.minimum(self.low, rows.min(0), out=self.low)
            np.maximum(self.high, rows.max(0), out=self.high)
        self.count = count

    @property
    def std(self) -> NDArray[np.float64]:
        """Standard deviation of the rows, by dimension."""
        deviation: NDArray[np.float64] = np.sqrt(self.apart / max(1, self.count))
        return deviation
