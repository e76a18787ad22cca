"""Image features, one row per sample, such as a frozen backbone gives."""

from __future__ import annotations

from typing import ClassVar

from mmalign import ErrorName, Features, ScalerName, component


@component
class Image(Features):
    """Image features, one row per sample, such as a frozen backbone gives.

    The widths are the published ones (Schonfeld et al. 2019, section 4).
    """

    name: ClassVar[str] = "image"
    array: str = "image"
    """Which of the data set's arrays."""
    hidden: tuple[int, int] = (1560, 1660)
    """Widths of the encoder's and the decoder's hidden layer."""
    reconstruction: ErrorName = "l1"
    """Reconstruction error, summed over dimensions."""
    scaler: ScalerName = "min-max"
    """Scaling, fitted on the training rows ("per-split" leaks, and the report says so)."""
