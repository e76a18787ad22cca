"""One value of a hyper-parameter, or several to choose from."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import Field

from mmalign import MmalignError

Positive: TypeAlias = Annotated[float, Field(gt=0)]
Grid: TypeAlias = Positive | Annotated[tuple[Positive, ...], Field(min_length=1)]


def one(value: Grid) -> float:
    """The one value of a candidate. Raises MmalignError where several are left."""
    if isinstance(value, tuple):
        raise MmalignError("several values are left to choose from; fit() chooses")
    return value
