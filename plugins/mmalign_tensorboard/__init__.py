"""A tracker that writes TensorBoard's event files, by torch's own writer."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mmalign import hookimpl, need

if TYPE_CHECKING:
    from mmalign import Report


@hookimpl
def mmalign_tracker_ready() -> None:
    """Raises MmalignError without the extra "tensorboard"."""
    need("tensorboard", "tensorboard")


@hookimpl
def mmalign_epoch_ended(run: Mapping[str, Any], epoch: int, losses: Mapping[str, float]) -> None:
    """A point of each loss term's curve."""
    from mmalign_tensorboard.events import epoch_ended

    epoch_ended(run, epoch, losses)


@hookimpl
def mmalign_run_ended(run: Mapping[str, Any], report: "Report") -> None:
    """The metrics, with the recipe that they belong to."""
    from mmalign_tensorboard.events import run_ended

    run_ended(run, report)
