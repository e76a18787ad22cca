"""What MLflow is told, by its client: nothing of MLflow's own state in the process is changed.

Where it goes is MLflow's to say (``MLFLOW_TRACKING_URI``, ``MLFLOW_EXPERIMENT_NAME``); else to the
folder ``mlruns`` here, under the recipe's name.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from mmalign import Report

LONGEST = 500  # characters of a parameter, which all of MLflow's stores take
AT_ONCE = 100  # parameters


@dataclass
class Tracked:
    """One run and its seeds, in MLflow: found again where a run goes on that was killed."""

    client: MlflowClient
    experiment: str
    folder: str
    seeds: dict[str, str] = field(default_factory=dict)
    epochs: dict[tuple[str, str], int] = field(default_factory=dict)

    @cached_property
    def whole(self) -> str:
        """The identifier of what stands for all seeds."""
        return self.found("all", {"mlflow.runName": Path(self.folder).name})

    def seed(self, which: Mapping[str, Any]) -> str:
        """The identifier of a seed's, or a draw's, which lies below."""
        name = " ".join(f"{key} {value}" for key, value in which.items())
        if name not in self.seeds:
            tags = {"mlflow.runName": name, "mlflow.parentRunId": self.whole}
            self.seeds[name] = self.found(name, tags)
        return self.seeds[name]

    def found(self, part: str, tags: dict[str, str]) -> str:
        """The identifier of a part, of this process or of one before; else it is made."""
        tags = {**tags, "mmalign.folder": self.folder, "mmalign.part": part}
        mine = [f"tags.`mmalign.{key}` = '{tags[f'mmalign.{key}']}'" for key in ("folder", "part")]
        if "'" not in self.folder:  # else no filter of MLflow's can say it
            before = self.client.search_runs([self.experiment], " and ".join(mine), max_results=1)
            if before:
                self.client.update_run(before[0].info.run_id, status="RUNNING")
                return str(before[0].info.run_id)
        return str(self.client.create_run(self.experiment, tags=tags).info.run_id)

    def stage(self, run: str, stage: str, epoch: int) -> str:
        """What this epoch's stage is called: anew where it has come as far already."""
        names = (stage if n == 1 else f"{stage}-{n}" for n in count(1))
        name = next(each for each in names if self.epochs.get((run, each), 0) < epoch)
        self.epochs[run, name] = epoch
        return name

    def metrics(self, run: str, values: Mapping[str, float], step: int) -> None:
        """Add these at a step."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self.client.log_batch(
            run, metrics=[Metric(name, value, now, step) for name, value in values.items()]
        )


_OPEN: dict[str, Tracked] = {}


def tracked(run: Mapping[str, Any]) -> Tracked:
    """A run, as MLflow knows it."""
    folder = str(Path(run["folder"]).absolute())
    if folder not in _OPEN:
        client = _client()
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or str(run["name"])
        there = client.get_experiment_by_name(name)
        experiment = client.create_experiment(name) if there is None else there.experiment_id
        _OPEN[folder] = Tracked(client, str(experiment), folder)
    return _OPEN[folder]


def _client() -> MlflowClient:
    # A recipe is nobody's business; and MLflow wants to hear that its files are wanted still.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    address = os.environ.get("MLFLOW_TRACKING_URI")
    if address is None:
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        address = Path("mlruns").absolute().as_uri()
    from mlflow import MlflowClient

    return MlflowClient(address)


def run_started(run: Mapping[str, Any]) -> None:
    """Begin, or go on; the recipe's keys are parameters."""
    from mlflow.entities import Param

    at = tracked(run)
    told = [Param(key, value) for key, value in parameters(run["recipe"])]
    for place in range(0, len(told), AT_ONCE):
        at.client.log_batch(at.whole, params=told[place : place + AT_ONCE])


def parameters(table: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """A recipe's values by their dotted keys, as MLflow takes them."""
    for key, value in table.items():
        name = f"{path}{key}"
        if isinstance(value, Mapping) and value:
            yield from parameters(value, f"{name}.")
        else:
            yield re.sub(r"[^\w\-. :/]", "_", name), str(value)[:LONGEST]


def epoch_ended(run: Mapping[str, Any], epoch: int, losses: Mapping[str, float]) -> None:
    """Add each term's mean per row at this epoch to the seed's.

    A stage that begins again (a head is fitted on validation, and then for good) gets a number.
    """
    at, which = tracked(run), {key: run[key] for key in ("seed", "draw") if key in run}
    mine = at.seed(which)
    stage = at.stage(mine, str(run["stage"]), epoch)
    at.metrics(mine, {f"{stage}/{term}": value for term, value in losses.items()}, epoch)


def run_ended(run: Mapping[str, Any], report: Report) -> None:
    """Add the metrics, in [0, 1], and the files beside the model; all of it is finished."""
    at, summary = tracked(run), report.summary
    for place, (seed, draw) in enumerate(zip(report.seeds, report.draws, strict=True)):
        which = {"seed": seed} if draw is None else {"seed": seed, "draw": draw}
        values = {name: each.runs[place] for name, each in summary.items()}
        at.metrics(at.seed(which), values, 0)
    means = {name: each.mean for name, each in summary.items()}
    spread = {f"{name}_std": each.std for name, each in summary.items() if each.std is not None}
    at.metrics(at.whole, {**means, **spread}, 0)
    for file in sorted(Path(run["folder"]).iterdir()):
        if file.is_file():
            at.client.log_artifact(at.whole, str(file))
    at.client.set_tag(at.whole, "mlflow.note.content", "\n".join(report.notes) or "no warning")
    for each in (*at.seeds.values(), at.whole):
        at.client.set_terminated(each)
    del _OPEN[at.folder]
