"""Class attributes, one row per class."""

from __future__ import annotations

from typing import ClassVar

from mmalign import Features, ScalerName, Widths, component


@component
class Attributes(Features):
    """Class attributes, one row per class.

    The widths are the published ones (Schonfeld et al. 2019, section 4).
    """

    name: ClassVar[str] = "attributes"
    array: str = "attributes"
    hidden: Widths = (1450, 665)
    scaler: ScalerName = "none"
