"""A tracker that tells MLflow: a run of it for each run, and one below for each seed."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mmalign import hookimpl, need

if TYPE_CHECKING:
    from mmalign import Report


@hookimpl
def mmalign_tracker_ready() -> None:
    """Raises MmalignError without the extra "mlflow"."""
    need("mlflow", "mlflow")


@hookimpl
def mmalign_run_started(run: Mapping[str, Any]) -> None:
    """The run, with its recipe as parameters."""
    from mmalign_mlflow.client import run_started

    run_started(run)


@hookimpl
def mmalign_epoch_ended(run: Mapping[str, Any], epoch: int, losses: Mapping[str, float]) -> None:
    """A point of each loss term's curve."""
    from mmalign_mlflow.client import epoch_ended

    epoch_ended(run, epoch, losses)


@hookimpl
def mmalign_run_ended(run: Mapping[str, Any], report: "Report") -> None:
    """The metrics, and the files of the run but for its model."""
    from mmalign_mlflow.client import run_ended

    run_ended(run, report)
