"""Lays the table: a model's data set is looked for, and what it offers besides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mmalign.errors import MmalignError
from mmalign.play.evidence import Words, words_of
from mmalign.play.samples import Samples, data_set_of, given, held_out
from mmalign.play.table import Table

if TYPE_CHECKING:
    from mmalign.model import Model


def laid(model: Model, path: str, samples: Sequence[str], device: str = "cpu") -> Table:
    """The table of a model, with the samples of these paths, or else those of its data set.

    Raises MmalignError for paths that cannot be read. A data set that is not at hand is no
    error: the page then says so.
    """
    shown = given(samples, model) if samples else None
    try:
        source = data_set_of(model)
    except MmalignError as error:
        absent = f"The model's data set is not at hand ({error}); --samples names other things."
        return Table(model, path, shown or Samples(absent), Words(), device=device)
    try:
        shown = shown or held_out(model, source)
    except MmalignError as error:
        shown = Samples(f"The test rows are not at hand ({error}); --samples names other things.")
    return Table(model, path, shown, words_of(source), source, device)
