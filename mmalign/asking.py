"""Components are asked here: what they raise is named, and wrong answers are one sentence.

A component is somebody else's program as often as not. An exception keeps its traceback, at whose
end stands which component raised it, of which plugin and distribution. Importing this needs
neither torch nor numpy; ``checked`` looks at arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mmalign.errors import MmalignError
from mmalign.guard import guarded, named, of_ours

if TYPE_CHECKING:
    from torch import Tensor

    from mmalign.contracts import FittedHead, Head, Latents, Loss, Scorer
    from mmalign.types import Facts, Session


@contextmanager
def inside(component: Any, doing: str) -> Iterator[None]:
    """A component's own code runs; ``doing`` is what was called, such as "load()".

    Raises MmalignError where it would end the program. Any other exception is marked with its
    name and goes on.
    """
    try:
        with guarded(named(component), f"in {doing}"):
            yield
    except MmalignError:
        raise
    except SystemExit as stop:
        if of_ours(stop):
            raise
        raise MmalignError(
            f"{named(component)}: {doing} would end the program (sys.exit({stop.code!r}))"
        ) from stop
    except Exception as error:
        mark(error, component, doing)
        raise


def mark(error: Exception, component: Any, doing: str) -> None:
    """Let an exception's traceback end with who raised it."""
    error.add_note(f"raised in {doing} of {named(component)}")


def wrong(component: Any, doing: str, got: str, expected: str) -> MmalignError:
    """The error for a wrong answer, in one sentence."""
    return MmalignError(f"{named(component)}: {doing} gave {got}; {expected} was expected")


def fit_head(head: Head, latents: Latents, session: Session) -> FittedHead:
    """Fit a head for a method. Raises MmalignError for a result that is no fitted head."""
    with inside(head, "fit()"):
        fitted = head.fit(latents, session)
    if not callable(getattr(fitted, "scores", None)) or not callable(
        getattr(fitted, "state", None)
    ):
        raise wrong(head, "fit()", kind_of(fitted), "a fitted head, with scores() and state(),")
    return fitted


def tune_head(
    head: Head, latents: Latents, measure: Callable[..., float], session: Session
) -> tuple[Head, Facts]:
    """Have a head make its choices. Raises MmalignError for anything but a head and facts."""
    with inside(head, "tuned()"):
        found: Any = head.tuned(latents, measure, session)
    sound = isinstance(found, tuple) and len(found) == 2 and isinstance(found[1], Mapping)
    if not sound or not callable(getattr(found[0], "fit", None)):
        raise wrong(head, "tuned()", kind_of(found), "a head and facts, as a tuple,")
    return found[0], found[1]


def head_scores(head: Head | None, fitted: Scorer, z: Tensor, classes: Sequence[int]) -> Tensor:
    """A fitted head's scores of latents, (rows, classes). Raises MmalignError for another shape.

    ``head`` is the component that it was fitted by, by which it is named.
    """
    import torch

    home = fitted if head is None else head
    try:
        found: Any = fitted.scores(z, classes)
    except Exception as error:
        mark(error, home, "scores()")
        raise
    if not isinstance(found, torch.Tensor):
        raise wrong(home, "scores()", kind_of(found), "a tensor")
    check_shape(home, "scores()", found, (len(z), len(classes)))
    return found


def loss_value(loss: Loss, rows: int, *given: Any) -> Tensor:
    """A loss of rows, (rows,), or of batches, (). Raises MmalignError for another shape."""
    import torch

    try:
        found: Any = loss(*given)
    except Exception as error:
        mark(error, loss, "a call")
        raise
    if not isinstance(found, torch.Tensor):
        raise wrong(loss, "a call", kind_of(found), "a tensor")
    check_shape(loss, "a call", found, () if loss.over == "batches" else (rows,))
    return found


def check_shape(component: Any, doing: str, found: Any, shape: tuple[int, ...]) -> None:
    """Raise MmalignError, naming the component, for another shape."""
    if tuple(found.shape) != shape:
        raise wrong(component, doing, f"the shape {tuple(found.shape)}", f"the shape {shape}")


def kind_of(found: Any) -> str:
    """What was found, in a sentence about a wrong type."""
    return "nothing (None)" if found is None else f"an object of type {type(found).__name__}"
