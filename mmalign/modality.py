"""The fields that every feature modality shares, and the view they give."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import Field

from mmalign.component import component
from mmalign.contracts import ErrorName, ScalerName
from mmalign.errors import AbsentError, did_you_mean
from mmalign.types import Source, View

Widths: TypeAlias = tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]


@component
class Features:
    """A modality whose numbers the data set holds already. Subclass it and give a name."""

    array: str
    """Which of the data set's arrays."""
    hidden: Widths = (512, 512)
    """Widths of the encoder's and the decoder's hidden layer."""
    reconstruction: ErrorName = "l1"
    """Reconstruction error, summed over dimensions."""
    scaler: ScalerName = "none"
    """Scaling, fitted on the training rows ("per-split" leaks, and the report says so)."""

    def view(self, source: Source) -> View:
        """The data set's array of this name."""
        if self.array not in source.arrays:
            raise AbsentError(
                f"data set '{source.name}' has no array '{self.array}';"
                f" {did_you_mean(self.array, source.arrays)}"
            )
        return source.arrays[self.array]
