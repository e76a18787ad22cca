"""Class attributes, one row per class."""

from __future__ import annotations

from typing import ClassVar

from mmalign import ErrorName, Features, ScalerName, component


@component
class Attributes(Features):
    """Class attributes, one row per class.

    The widths are the published ones (Schonfeld et al. 2019, section 4).
    """

    name: ClassVar[str] = "attributes"
    array: str = "attributes"
    """Which of the data set's arrays."""
    hidden: tuple[int, int] = (1450, 665)
    """Widths of the encoder's and the decoder's hidden layer."""
    reconstruction: ErrorName = "l1"
    """Reconstruction error, summed over dimensions."""
    scaler: ScalerName = "none"
    """Scaling, fitted on the training rows ("per-split" leaks, and the report says so)."""
