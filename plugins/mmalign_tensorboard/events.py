"""Event files in the folder ``tensorboard`` of a run: one of each seed's stages, one of results."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

    from mmalign import Report

FOLDER = "tensorboard"


@dataclass
class Curve:
    """A stage's curves, while they are written, and how far they have come."""

    writer: SummaryWriter
    epoch: int


# By their folder. A run that was killed leaves none behind.
_OPEN: dict[Path, Curve] = {}


def epoch_ended(run: Mapping[str, Any], epoch: int, losses: Mapping[str, float]) -> None:
    """Add each term's mean per row at this epoch, and bring it to the disk.

    A stage that begins again (a head is fitted on validation, and then for good) gets a number.
    Of an epoch that is done again, after a run was killed, the later numbers count.
    """
    which = [f"{key}-{run[key]}" for key in ("seed", "draw") if key in run]
    home, stage = Path(run["folder"], FOLDER, *which), str(run["stage"])
    places = (home / (stage if n == 1 else f"{stage}-{n}") for n in count(1))
    place = next(each for each in places if each not in _OPEN or _OPEN[each].epoch < epoch)
    if place not in _OPEN:
        _OPEN[place] = Curve(_writer(place, purge_step=epoch), epoch)
    curve = _OPEN[place]
    for term, value in losses.items():
        curve.writer.add_scalar(f"loss/{term}", value, epoch)
    curve.writer.flush()
    curve.epoch = epoch


def run_ended(run: Mapping[str, Any], report: Report) -> None:
    """Close the curves; add the metrics, in [0, 1] with the seed as the step, and the recipe."""
    home = Path(run["folder"], FOLDER)
    for place in [each for each in _OPEN if each.is_relative_to(home)]:
        _OPEN.pop(place).writer.close()
    with _closing(_writer(home / "result")) as writer:
        for name, each in report.summary.items():
            writer.add_scalar(f"mean/{name}", each.mean, 0)
            if len(report.seeds) > 1:
                for step, value in enumerate(each.runs):
                    writer.add_scalar(f"run/{name}", value, step)
        recipe = json.dumps(run["recipe"], indent=2, default=str)
        writer.add_text("recipe", "".join(f"    {line}\n" for line in recipe.splitlines()))
        for step, note in enumerate(report.notes):
            writer.add_text("notes", note, step)


@contextmanager
def _closing(writer: SummaryWriter) -> Iterator[SummaryWriter]:
    try:
        yield writer
    finally:
        writer.close()


def _writer(folder: Path, purge_step: int | None = None) -> SummaryWriter:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=purge_step)
