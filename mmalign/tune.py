"""Searches a recipe's [tune] with Optuna, on the validation protocol and nothing else."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from mmalign.board import Board
from mmalign.crew import Event, Hire
from mmalign.errors import MmalignError
from mmalign.job import Job
from mmalign.lock import locked
from mmalign.plugins import Registry
from mmalign.report import statistic
from mmalign.results import as_csv
from mmalign.search import RUNS, VALUES, WRONG, Attempt, Search
from mmalign.space import Space
from mmalign.workers import Workers
from mmalign.writing import write_whole

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

SHOWN = 5  # trials of the printed table


def tune(
    space: Space,
    registry: Registry,
    console: Console,
    trials: int,
    out: Path = Path("runs"),
    reuse: Path | None = None,
    workers: int = 1,
    timeout: float | None = None,
    hire: Hire = Workers,
) -> Path:
    """Search until there are so many trials, those of earlier calls included; the folder.

    ``hire(count)`` gives those who do the jobs. No trial is begun after ``timeout`` seconds.
    Raises MmalignError where no trial succeeds.
    """
    folder = out / space.base.name / "tune"
    with locked(folder, "search"):
        study = _study(folder, space)
        if reuse is None and all(key.startswith("head.") for key in space.keys):
            reuse = folder / "fits"
        ends = time.monotonic() + timeout if timeout is not None else float("inf")
        search = Search(space, registry, study, folder, trials, reuse, ends)
        try:
            _searched(search, console, workers, hire)
        finally:
            shutil.rmtree(folder / "trials", ignore_errors=True)
            write_whole(folder / "trials.csv", _csv(space, search.finished))
        good = _good(study)
        if not good:
            wrong = [t.user_attrs[WRONG] for t in search.finished]
            said = f"the first: {wrong[0]}" if wrong else "--timeout came before the first ended"
            raise MmalignError(f"no trial succeeded; {said}")
        write_best(search, good[0], len(good))
        console.print(_table(space, good))
        seeds = len(space.base.seeds)
        said = f"{len(good)} trials of {seeds} seed(s), on the validation protocol alone"
        console.print(Text(said, style="dim"), soft_wrap=True)
    return folder


def _study(folder: Path, space: Space) -> Study:
    """The study of this space, as far as earlier calls came."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = optuna.create_study(
            storage=f"sqlite:///{(folder / 'study.db').absolute()}",
            study_name=space.name, direction="maximize", load_if_exists=True,
        )  # fmt: skip
    except Exception as error:  # whatever the database says of a file that is none
        raise MmalignError(
            f"{folder / 'study.db'}: cannot be read ({type(error).__name__}); remove it"
        ) from None
    for trial in study.trials:
        if not trial.state.is_finished():  # its process was killed
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    return study


def _searched(search: Search, console: Console, workers: int, hire: Hire) -> None:
    seeds, done = len(search.space.base.seeds), len(search.finished)
    total, before = max(search.trials, done) * seeds, done * seeds
    workers = max(1, min(workers, total - before))
    running: dict[int, Attempt] = {}
    with Board(console, workers, total, before) as board, hire(workers) as crew:
        while True:
            for place in crew.idle:
                if (found := search.next(workers)) is not None:
                    running[place], job = found
                    number = running[place].trial.number
                    board.began_job(place, f"trial {number}  seed {job.seed}")
                    crew.give(place, job)
            if not running:
                return
            for place, job, event in crew.events(1.0):
                _happened(search, board, running, place, job, event)
            board.tick()


def _happened(
    search: Search, board: Board, running: dict[int, Attempt], place: int, job: Job, event: Event
) -> None:
    what, said = event
    if what == "said":
        board.epoch_ended(place, *said)
        return
    if what == "again":
        board.again(place, f"{said}; once more")
        return
    board.ended_job(place, search.ended(running.pop(place), job, said))
    # A trial's runs are kept as numbers only: there may be hundreds of them.
    shutil.rmtree(job.folder, ignore_errors=True)


def _good(study: Study) -> list[FrozenTrial]:
    """Trials with a value, the best first."""
    there = [trial for trial in study.trials if trial.value is not None]
    return sorted(there, key=lambda trial: (-(trial.value or 0.0), trial.number))


def write_best(search: Search, best: FrozenTrial, count: int) -> None:
    """Write best.toml: the whole recipe with the best values, on the split that it had."""
    space = search.space
    recipe = space.recipe(best.user_attrs[VALUES], search.registry, space.base.protocol.split)
    path = search.folder / "best.toml"
    said = (
        f"# mmalign run {path}\n#\n# The best of {count} trials on the validation protocol"
        f" ({space.metric} = {100 * (best.value or 0):.1f} %): {space.base.name} with\n"
    )
    said += "".join(f"# {k} = {json.dumps(v)}\n" for k, v in best.user_attrs[VALUES].items())
    write_whole(path, (said + tomli_w.dumps(dict(recipe.table))).encode())


def _lines(space: Space, trials: Sequence[FrozenTrial]) -> Iterator[dict[str, Any]]:
    for trial in trials:
        runs = trial.user_attrs.get(RUNS)
        over = statistic(runs) if runs else None
        yield {
            "trial": trial.number,
            **{key: trial.user_attrs[VALUES].get(key) for key in space.keys},
            f"{space.metric}_mean": over.mean if over else None,
            f"{space.metric}_std": over.std if over else None,
            "failed": trial.user_attrs.get(WRONG, ""),
        }


def _csv(space: Space, trials: Sequence[FrozenTrial]) -> bytes:
    lines = [
        {k: json.dumps(v) if isinstance(v, (list, dict)) else v for k, v in line.items()}
        for line in _lines(space, trials)
    ]
    return as_csv(lines, list(lines[0]) if lines else ["trial"])


def _table(space: Space, good: Sequence[FrozenTrial]) -> RenderableType:
    """The best trials."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("trial", justify="right")
    table.add_column(f"{space.metric} %", justify="right", no_wrap=True)
    for key in space.keys:
        table.add_column(key, overflow="fold")
    for line in _lines(space, good[:SHOWN]):
        mean, std = line[f"{space.metric}_mean"], line[f"{space.metric}_std"]
        said = f"{100 * mean:.1f}" + (f" ± {100 * std:.1f}" if std is not None else "")
        values = [line[key] for key in space.keys]
        shown = [f"{v:.4g}" if isinstance(v, float) else json.dumps(v) for v in values]
        table.add_row(str(line["trial"]), said, *map(Text, shown))
    return table
