"""Image features, one row per sample, such as a frozen backbone gives."""

from __future__ import annotations

from typing import ClassVar

from mmalign import Features, ScalerName, Widths, component


@component
class Image(Features):
    """Image features, one row per sample, such as a frozen backbone gives.

    The widths are the published ones (Schonfeld et al. 2019, section 4).
    """

    name: ClassVar[str] = "image"
    array: str = "image"
    hidden: Widths = (1560, 1660)
    scaler: ScalerName = "min-max"
