"""One job, such as a sweep's cell with one seed, as a worker does it."""

from __future__ import annotations

import json
import shutil
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmalign.errors import TRACEBACK, MmalignError
from mmalign.plugins import Registry
from mmalign.writing import write_whole

DONE = "done.json"
OFTEN = 0.2  # seconds between two messages about epochs


@dataclass(frozen=True)
class Job:
    """A recipe's resolved table with one seed, and where it is done.

    ``reuse`` is the folder of kept representations, None to keep none. ``model`` keeps the
    model in the job's folder.
    """

    name: str
    table: Mapping[str, Any]
    seed: int
    folder: Path
    reuse: Path | None = None
    model: bool = False

    @property
    def ended(self) -> bool:
        """Whether it has come to its end before, and its result is there."""
        return finished(self.folder) is not None

    def clear(self) -> None:
        """Take away what a killed worker left, unless its run can go on."""
        from mmalign.unfinished import latest

        if latest(self.folder / self.name) is None:
            shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / TRACEBACK).unlink(missing_ok=True)

    def work(self, registry: Registry, tell: Callable[..., None]) -> None:
        """Do it, telling of stage, epoch and number of epochs. Raises MmalignError."""
        from rich.console import Console

        import mmalign
        from mmalign.recipe import assemble
        from mmalign.run import run
        from mmalign.unfinished import ChangedError, latest

        began = time.perf_counter()
        table = {**self.table, "run": {**self.table.get("run", {}), "seeds": [self.seed]}}
        recipe = assemble(self.name, table, registry)
        begun, quiet = latest(self.folder / self.name), Console(quiet=True)
        try:
            outcome = run(
                recipe, registry, quiet, self.folder, self.reuse, Told(tell), resume=begun
            )
        except ChangedError:  # by another version, or of other data: not the same numbers
            shutil.rmtree(self.folder)
            outcome = run(recipe, registry, quiet, self.folder, self.reuse, Told(tell))
        if not self.model:
            shutil.rmtree(outcome.folder / "model", ignore_errors=True)
        done = {
            "run": outcome.folder.relative_to(self.folder).as_posix(),
            "seconds": round(time.perf_counter() - began, 1),
            "reuse": str(self.reuse or ""),
            "version": mmalign.__version__,
        }
        write_whole(self.folder / DONE, (json.dumps(done) + "\n").encode())


@dataclass(frozen=True)
class Done:
    """What a finished job left: its run's folder, its time in seconds, and who did it."""

    run: Path
    seconds: float
    reuse: str
    version: str


class Told:
    """Passes a run's epochs on, no more often than an eye can follow."""

    def __init__(self, tell: Callable[[str, int, int], None]) -> None:
        self.tell = tell
        self.last = 0.0

    def __enter__(self) -> Told:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def epoch_ended(self, title: str, epoch: int, epochs: int, terms: Mapping[str, float]) -> None:
        """Tell the stage, the epoch and their number; ``terms`` are in metrics.jsonl."""
        now = time.monotonic()
        if now - self.last >= OFTEN or epoch == epochs:
            self.last = now
            self.tell(title.rpartition("  ")[2], epoch, epochs)


def finished(folder: Path) -> Done | None:
    """What a finished job left, or None where it has not come to its end."""
    try:
        said = json.loads((folder / DONE).read_text(encoding="utf-8"))
        done = Done(
            folder / said["run"], float(said["seconds"]), str(said["reuse"]), str(said["version"])
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return None
    return done if (done.run / "report.json").is_file() else None


def do(job: Job, registry: Registry, tell: Callable[..., None]) -> str | None:
    """Do a job unless it has ended, from where it was left; what went wrong as one line, or None.

    A traceback goes to the job's folder: it is a bug of ours or of a plugin's, which must
    not stop the other jobs.
    """
    if job.ended:  # its worker was lost after the last file and before the last word
        return None
    try:
        job.clear()
        job.work(registry, tell)
    except MmalignError as error:
        return str(error)
    except Exception as error:
        job.folder.mkdir(parents=True, exist_ok=True)
        (job.folder / TRACEBACK).write_text(traceback.format_exc(), encoding="utf-8")
        return f"{type(error).__name__}: {error} (traceback: {job.folder / TRACEBACK})"
    return None
