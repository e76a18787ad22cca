"""Features in fewer bytes: four bits a number, finer where numbers are small.

The backbone's features are means of activations that are cut off at zero: half of them are zero,
and most others small. Sixteen steps whose widths grow with the number keep more of them than as
many bytes of principal components do (docs/emoji.md has both).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmalign import Floats, Indices

STEPS = 15
QUANTILE = 0.999  # of a feature over the training rows; the few beyond are cut off at it


@dataclass(frozen=True)
class Reduced:
    """``(code / 15) ** 2 * top`` are the features again, nearly.

    ``codes`` is (samples, dim) uint8 from 0 to 15, ``top`` (dim,).
    """

    codes: NDArray[np.uint8]
    top: Floats

    def packed(self) -> NDArray[np.uint8]:
        """Two codes a byte, (samples, dim / 2); the first one in the upper half."""
        packed: NDArray[np.uint8] = self.codes[:, ::2] << 4 | self.codes[:, 1::2]
        return packed


def reduced(features: Floats, train: Indices) -> Reduced:
    """The largest number of each feature is taken from the training rows alone."""
    top = np.quantile(features[train], QUANTILE, axis=0)
    top = np.maximum(top, np.finfo(np.float32).tiny).astype(np.float32)
    codes = np.clip(np.rint(STEPS * np.sqrt(features / top)), 0, STEPS)
    return Reduced(codes.astype(np.uint8), top)


def bytes_of(values: Floats) -> tuple[NDArray[np.int8], Floats]:
    """Numbers as eight bits and one width of a step for all, which is (1,)."""
    step = np.array([np.abs(values).max() / 127], dtype=np.float32)
    return np.rint(values / step).astype(np.int8), step
