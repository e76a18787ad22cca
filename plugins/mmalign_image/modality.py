"""Image features, one row per sample, such as a frozen backbone gives."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from mmalign import Features, MmalignError, ScalerName, Source, View, Widths, component

NAMED = 3  # samples that a message names at most


@component
class Image(Features):
    """Image features, one row per sample, such as a frozen backbone gives.

    They are the data set's own, or those of a file that `mmalign extract` wrote. The widths
    are the published ones (Schonfeld et al. 2019, section 4).
    """

    name: ClassVar[str] = "image"
    array: str = "image"
    hidden: Widths = (1560, 1660)
    scaler: ScalerName = "min-max"
    file: Path | None = None
    """Features to take instead of the data set's array: a file of `mmalign extract`."""
    missing: Literal["error", "mask"] = "error"
    """What a sample without a row in the file is: a mistake, or one that has no picture."""

    def view(self, source: Source) -> View:
        """The data set's array, or the file's rows by the samples' names."""
        if self.file is None:
            return Features.view(self, source)
        import numpy as np

        from mmalign import read_features

        try:
            path = self.file.expanduser()
        except RuntimeError as error:  # a home of nobody
            raise MmalignError(f"{self.file}: {error}") from None
        if not source.samples:
            raise MmalignError(
                f"data set '{source.name}' names no samples, so that no row of {path} can be"
                " matched with one; leave out file, or take a data set that names them"
            )
        read = read_features(path)
        try:
            rows = read.rows_of(source.samples)
        except MmalignError as error:
            raise MmalignError(f"{path}: {error}") from None
        mask = rows >= 0
        lacking = [name for name, there in zip(source.samples, mask, strict=True) if not there]
        if lacking and (self.missing == "error" or not mask.any()):
            shown = ", ".join(f"'{name}'" for name in lacking[:NAMED])
            raise MmalignError(
                f"{path} has no row for {len(lacking)} of the {len(mask)} samples of data set"
                f" '{source.name}': {shown}{', ...' if len(lacking) > NAMED else ''}. Extract"
                ' from the folder that holds their pictures, or say missing = "mask"'
            )
        values = np.where(mask[:, None], read.features[rows], 0).astype(np.float32)
        hashes = {path.name: read.digest}
        return View(values, "sample", mask, hashes=hashes, backbone=read.backbone)
