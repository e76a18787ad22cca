"""What a modality must do: one finite row a sample or a class, from the source alone."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import get_args

import numpy as np

from mmalign.contracts import ErrorName, ScalerName
from mmalign.errors import MmalignError
from mmalign.testing.trial import Trial
from mmalign.types import Level, Source, View


def says_how_it_is_modelled(trial: Trial) -> None:
    """Widths, reconstruction error and scaler are ones that there are."""
    made = trial.component
    widths = made.hidden
    trial.require(
        isinstance(widths, tuple)
        and len(widths) == 2
        and all(isinstance(width, int) and width > 0 for width in widths),
        f"hidden must be two widths from 1, (encoder, decoder); it is {widths!r}",
    )
    for field, known in (("reconstruction", ErrorName), ("scaler", ScalerName)):
        names = get_args(known)
        trial.require(
            getattr(made, field) in names,
            f"{field} must be one of {', '.join(names)}; it is {getattr(made, field)!r}",
        )


def gives_one_row_each(trial: Trial) -> None:
    """A View with a row for every sample, or for every class."""
    source = deepcopy(trial.source)  # a view that spoils its source is another check's to find
    fits(trial, trial.component.view(source), source)


def fits(trial: Trial, view: View, source: Source) -> None:
    """Require a view of this source."""
    trial.require(
        isinstance(view, View), f"view() must return a mmalign.View, not {type(view).__name__}"
    )
    trial.require(
        view.level in get_args(Level), f"a view's level is sample or class, not {view.level!r}"
    )
    count = len(source.labels) if view.level == "sample" else len(source.classes)
    trial.require(
        len(view) == count,
        f"view() gives {len(view)} rows for {count} {view.level} rows; keep every row, in the"
        " source's order, and mask those that have none",
    )
    trial.require(view.dim > 0, "view() gives rows of no numbers")
    trial.require(
        view.values.dtype == np.float32,
        f"view() gives {view.values.dtype}; end with .astype(np.float32)",
    )


def gives_the_same_again(trial: Trial) -> None:
    """The same source gives the same bits, and is left as it was."""
    source = deepcopy(trial.source)
    first = trial.component.view(source)
    for name, view in trial.source.arrays.items():
        trial.require(
            np.array_equal(view.values, source.arrays[name].values, equal_nan=True)
            and np.array_equal(view.mask, source.arrays[name].mask),
            f"view() changes the source's '{name}' in place; work on a copy",
        )
    again = trial.component.view(source)
    trial.require(
        np.array_equal(first.values, again.values, equal_nan=True)
        and np.array_equal(first.mask, again.mask),
        "view() gives other numbers the second time; it must draw nothing",
    )


def says_what_the_source_lacks(trial: Trial) -> None:
    """A source that offers nothing is the user's mistake, and is said in one message."""
    nothing = replace(trial.source, arrays={}, texts={})
    try:
        view = trial.component.view(nothing)
    except MmalignError:
        return
    except Exception as error:
        trial.require(
            False,
            f"view() raises {type(error).__name__} for a source without its array; raise"
            " MmalignError that says what is missing and what there is",
        )
    fits(trial, view, nothing)


CHECKS = (
    says_how_it_is_modelled,
    gives_one_row_each,
    gives_the_same_again,
    says_what_the_source_lacks,
)
