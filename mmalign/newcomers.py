"""Reads the file that describes classes which come to a trained model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmalign.checked import viewed
from mmalign.classfile import read_class_file
from mmalign.errors import MmalignError
from mmalign.types import Source, Splits, View

if TYPE_CHECKING:
    from mmalign.model import Model


@dataclass(frozen=True)
class Newcomers:
    """New classes, their unscaled views by modality, and why others do not describe them."""

    names: tuple[str, ...]
    views: Mapping[str, View]
    lacking: Mapping[str, str]


def read_newcomers(path: Path, model: Model) -> Newcomers:
    """Read a CSV file of classes, as the model's own modalities understand it.

    Numbers belong to the modality that takes as many. Raises MmalignError for a file that is
    no such table, and where nothing in it describes classes to this model.
    """
    table = read_class_file(path)
    modalities = {
        name: model.modalities[name]
        for name, level in model.signature.levels.items()
        if level == "class"
    }
    arrays = {}
    if table.attributes is not None:
        width = table.attributes.dim
        taking = [name for name in modalities if model.signature.dims[name] == width]
        if not taking:
            wanted = ", ".join(f"{model.signature.dims[n]} of '{n}'" for n in modalities)
            raise MmalignError(
                f"{path}: {width} columns of numbers; the model takes {wanted or 'none'}"
            )
        named = [getattr(modalities[name], "array", name) for name in taking]
        arrays[named[0] if "attributes" not in named else "attributes"] = table.attributes
    nothing = np.empty(0, dtype=np.int64)
    splits = Splits(nothing, nothing, nothing)
    source = Source(str(path), table.names, nothing, arrays, splits, table.texts)
    views, lacking = {}, {}
    for name, modality in modalities.items():
        view = getattr(modality, "view_of_newcomers", modality.view)
        try:
            views[name] = viewed(modality, source, view)
        except MmalignError as error:
            lacking[name] = str(error)
    if not views:
        said = [f"'{name}': {why}" for name, why in lacking.items()]
        raise MmalignError(
            "\n  ".join([f"{path}: nothing in it describes classes to this model", *said])
        )
    return Newcomers(table.names, views, lacking)
