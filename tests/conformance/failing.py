"""What the kit says of wrong components."""

from typing import Any, ClassVar

from mmalign.testing import ConformanceError, checks


def failing(made: Any, **around: Any) -> dict[str, str]:
    """What each failing check says, by name."""
    said = {}
    for check in checks(made, **around):
        if str(check) == "is-imported-without-torch":  # this module imports torch
            continue
        try:
            check()
        except ConformanceError as error:
            said[str(check)] = str(error)
    return said


class Named:
    """What wrong components have right."""

    name: ClassVar[str] = "wrong"
