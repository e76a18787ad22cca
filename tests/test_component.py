"""A component's class: what is built when, and what is said of its fields."""

from typing import ClassVar

import pytest
from pydantic import Field, ValidationError

from mmalign import component
from mmalign.component import complete, describe


@component
class Base:
    """Has fields."""

    name: ClassVar[str] = "base"
    """Is no field."""
    width: int = 3
    """How wide,
    in dots."""
    plain: float = 0.5
    explained: int = Field(default=1, ge=1, description="From pydantic.")


@component
class Derived(Base):
    """Has one more, and says one anew."""

    name: ClassVar[str] = "derived"
    height: int
    """How high."""
    plain: float = 0.25
    """Said here first."""


def test_a_field_is_described_by_the_string_below_it() -> None:
    assert describe(Base) == [
        ("width", "int", "3", "How wide,\nin dots."),
        ("plain", "float", "0.5", ""),
        ("explained", "int", "1", "From pydantic."),
    ]


def test_descriptions_come_from_bases_too() -> None:
    said = {name: meaning for name, _, _, meaning in describe(Derived)}
    assert said == {
        "width": "How wide,\nin dots.",
        "plain": "Said here first.",
        "explained": "From pydantic.",
        "height": "How high.",
    }


def test_class_without_a_source_has_fields_all_the_same() -> None:
    names = {"component": component, "__name__": __name__}
    exec("@component\nclass Typed:\n    width: int = 1\n    'lost'", names)
    assert describe(names["Typed"]) == [("width", "int", "1", "")]


def test_values_are_checked_from_the_first_on() -> None:
    @component
    class Local:
        width: int = Field(default=3, ge=1)

    assert not Local.__pydantic_complete__
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        Local(width=0)
    assert Local.__pydantic_complete__
    assert Local(width=2) == Local(width=2) != Local()


def test_complete_builds_the_checks() -> None:
    @component
    class Local:
        width: int = 3

    complete(Local)
    assert Local.__pydantic_complete__
    complete(int)  # nothing to do
