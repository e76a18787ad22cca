"""What a user can mend, said in one message, and the nearest known name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

LONGEST = 200  # letters of a name that are compared
MOST = 200  # names that a message lists
TRACEBACK = "error.txt"  # in a job's folder: of a bug, an error that is no MmalignError


class MmalignError(Exception):
    """Something that the user can put right: what is wrong, where, and what to do.

    The command line prints the message without a traceback and exits with status 2.
    Any other exception is a bug of ours and keeps its traceback.
    """


class AbsentError(MmalignError):
    """Data that is not here: a file of a data set, or an array that it does not offer.

    A sweep with ``absent = "skip"`` leaves out the cells that end so.
    """


class RecipeError(MmalignError):
    """A recipe with all of its mistakes at once.

    ``problems`` holds one line per mistake, each with its path in the file.
    """

    def __init__(self, where: str, problems: Sequence[str]) -> None:
        self.where = where
        self.problems = tuple(problems)
        count = "1 error" if len(problems) == 1 else f"{len(problems)} errors"
        super().__init__("\n  ".join([f"{where}: {count}", *problems]))


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like ``name``, or None where nothing is near."""
    # Two names of 100,000 letters would take for ever to compare, and no person wrote them.
    short = [each for each in known if len(each) <= LONGEST]
    found = difflib.get_close_matches(name.lower()[:LONGEST], short, n=1, cutoff=0.5)
    return found[0] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of an error sentence: the nearest known name, or all the known ones."""
    known = sorted(known)
    near = nearest(name, known)
    if near is not None:
        return f"did you mean '{near}'?"
    more = f" and {len(known) - MOST} more" if len(known) > MOST else ""
    return f"known: {', '.join(known[:MOST])}{more}" if known else "none is known"
