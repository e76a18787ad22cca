"""Runs a sweep: what is not finished yet, in worker processes, into one table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console
from rich.text import Text

import mmalign
from mmalign import results
from mmalign.board import Board
from mmalign.cells import Cell, Sweep, digest
from mmalign.checked import loaded
from mmalign.crew import Event, Hire
from mmalign.errors import AbsentError, MmalignError
from mmalign.extras import need
from mmalign.job import Done, Job, finished
from mmalign.lock import locked
from mmalign.pages.sweepfolder import SAID
from mmalign.pages.sweeppage import write_sweep_page
from mmalign.recipe import Recipe
from mmalign.results import Row
from mmalign.workers import Workers
from mmalign.writing import write_whole


@dataclass(eq=False)
class Task:
    """One cell with one seed, and what is known of it."""

    cell: Cell
    job: Job
    done: Done | None = None
    wrong: str = ""

    @property
    def title(self) -> str:
        """What a reader calls it."""
        return f"{self.cell.name}  seed {self.job.seed}"

    @property
    def shares(self) -> tuple[str, int]:
        """The same for tasks of one representation."""
        return self.cell.representation, self.job.seed

    @property
    def validates(self) -> bool:
        """Whether the head is chosen on validation, which takes a second representation."""
        head = self.cell.recipe.parts.head
        return head is not None and head.needs_validation


@dataclass
class Queue:
    """The tasks that wait, and which of them may begin.

    Of the tasks that share a representation the first runs alone; the others find what it
    kept. A head that needs validation shares the representation of that too.
    """

    waiting: list[Task]
    running: dict[int, Task] = field(default_factory=dict)
    kept: set[tuple[str, int, bool]] = field(default_factory=set)

    def next(self) -> Task | None:
        """The first that may begin, taken out; None where none may."""
        busy = {task.shares for task in self.running.values()}
        for task in self.waiting:
            ready = {(*task.shares, task.validates), (*task.shares, True)} & self.kept
            if ready or task.shares not in busy or task.job.reuse is None:
                self.waiting.remove(task)
                return task
        return None

    def keep(self, task: Task) -> None:
        """A task has finished: its representation is there for others."""
        here = task.job.reuse
        if task.done is not None and here is not None and task.done.reuse == str(here):
            self.kept.add((*task.shares, task.validates))


def sweep(
    recipe: Recipe,
    planned: Sweep,
    console: Console,
    out: Path = Path("runs"),
    reuse: Path | None = None,
    workers: int = 1,
    hire: Hire = Workers,
) -> Path:
    """Run the jobs that are not finished; write the tables, figure and page; the folder.

    ``hire(count)`` gives those who do them. Raises MmalignError when a job failed, after all
    the others were done.
    """
    need("sweep", "pyarrow", *(["matplotlib"] if recipe.figure else []))
    planned, without = at_hand(planned) if planned.skips else (planned, {})
    for why, names in without.items():
        shown = ", ".join(f"'{name}'" for name in names[:3])
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        console.print(Text(f"left out: {shown}{more}\n  {why}", style="yellow"), soft_wrap=True)
    folder = out / recipe.name / "sweep"
    with locked(folder, "sweep"):
        tasks = planned_tasks(recipe, planned, folder, reuse)
        rows = _worked(planned, tasks, folder, console, workers, hire)
        if rows:
            console.print()
            console.print(results.as_text(planned, rows, console.width))
            drawn = any("draw" in row for row in rows)
            if drawn or len(planned.seeds) > 1:
                over = "the seeds and draws" if drawn else "the seeds"
                console.print(Text(f"mean ± standard deviation over {over}", style="dim"))
        try:
            if rows and recipe.figure is not None:
                from mmalign.drawing import draw

                for path in draw(recipe.figure, rows, folder):
                    console.print(f"figure: {path}", soft_wrap=True)
        finally:
            if rows:
                _write_page(recipe, tasks, without, folder)
        for note in notes(tasks):
            console.print(Text(f"warning: {note}", style="yellow"), soft_wrap=True)
        _refuse_failed(tasks)
    return folder


def _write_page(
    recipe: Recipe, tasks: Sequence[Task], without: Mapping[str, Sequence[str]], folder: Path
) -> None:
    """Write report.html, and beside it what the page says and the table does not."""
    left = [f"left out: {', '.join(names)}: {why}" for why, names in without.items()]
    said = {
        "recipe": recipe.name,
        "jobs": len(tasks),
        "done": sum(task.done is not None for task in tasks),
        "failed": [[task.title, task.wrong] for task in tasks if task.done is None],
        "notes": [*left, *notes(tasks)],
    }
    write_whole(folder / SAID, (json.dumps(said, indent=1) + "\n").encode())
    write_sweep_page(folder)


def at_hand(planned: Sweep) -> tuple[Sweep, dict[str, list[str]]]:
    """The cells whose data is here, and the names of the others by what they lack.

    Raises AbsentError where nothing is left.
    """
    kept: list[Cell] = []
    without: dict[str, list[str]] = {}
    said: dict[str, str | None] = {}
    for cell in planned.cells:
        data = digest({key: cell.table[key] for key in ("dataset", "modality")})
        if data not in said:
            said[data] = lacks(cell.recipe)
        if (why := said[data]) is None:
            kept.append(cell)
        else:
            without.setdefault(why, []).append(cell.name)
    if not kept:
        raise AbsentError("no cell of this sweep has its data here:\n  " + "\n  ".join(without))
    return replace(planned, cells=tuple(kept)), without


def lacks(recipe: Recipe) -> str | None:
    """What the data of a recipe lacks here, or None. Anything else that is wrong is raised."""
    try:
        loaded(recipe.dataset, recipe.parts.modalities)
    except AbsentError as absent:
        return str(absent)
    return None


def planned_tasks(recipe: Recipe, planned: Sweep, folder: Path, reuse: Path | None) -> list[Task]:
    """Every task, each with what an earlier call left of it, in the order to run them."""
    tasks = []
    names = [cell.representation for cell in planned.cells]
    for place_of_seed, seed in enumerate(planned.seeds):
        for cell in planned.cells:
            if cell.seeds is not None and place_of_seed >= cell.seeds:
                continue
            # A representation that no other cell asks for is not worth its room on the disk.
            shared = names.count(cell.representation) > 1
            fits = reuse or (folder / "fits" if shared else None)
            place = folder / "cells" / cell.folder / f"seed-{seed}"
            job = Job(recipe.name, cell.recipe.table, seed, place, fits, planned.models)
            tasks.append(Task(cell, job, finished(place)))
    # Of those that share, the one that leaves most to be found goes first.
    return sorted(tasks, key=lambda task: (planned.seeds.index(task.job.seed), not task.validates))


def _worked(
    planned: Sweep, tasks: Sequence[Task], folder: Path, console: Console, workers: int, hire: Hire
) -> list[Row]:
    """Do what is left to do, and the table after every job."""
    queue = Queue([task for task in tasks if task.done is None])
    for task in tasks:
        queue.keep(task)
    workers = max(1, min(workers, len(queue.waiting)))
    table = Results(planned, folder)
    table.add([task for task in tasks if task.done is not None])
    done = len(tasks) - len(queue.waiting)
    with Board(console, workers, len(tasks), done) as board, hire(workers) as crew:
        while queue.waiting or queue.running:
            for place in crew.idle:
                if (ready := queue.next()) is not None:
                    queue.running[place] = ready
                    board.began_job(place, ready.title)
                    crew.give(place, ready.job)
            for place, _, event in crew.events(1.0):
                _happened(place, event, queue, board, table)
            board.tick()
    return table.rows


class Results:
    """The table as far as it goes, written again after every job."""

    def __init__(self, planned: Sweep, folder: Path) -> None:
        self.planned, self.folder = planned, folder
        self.by_job: dict[tuple[str, int], list[Row]] = {}

    def add(self, tasks: Sequence[Task]) -> None:
        """Add finished tasks, and write."""
        for task in tasks:
            if task.done is not None:
                place = task.job.folder.relative_to(self.folder)
                self.by_job[task.cell.name, task.job.seed] = results.rows_of(
                    task.cell, self.planned.keys, task.job.seed, task.done, place
                )
        if self.by_job:
            results.write(self.rows, self.planned.keys, self.folder)

    @property
    def rows(self) -> list[Row]:
        """All rows in the order of cells and seeds, whichever finished first."""
        order = [(cell.name, seed) for cell in self.planned.cells for seed in self.planned.seeds]
        return [row for job in order for row in self.by_job.get(job, [])]


def _happened(place: int, event: Event, queue: Queue, board: Board, table: Results) -> None:
    """What a worker said, or what became of its job."""
    what, said = event
    if what == "said":
        board.epoch_ended(place, *said)
        return
    if what == "again":
        board.again(place, f"{said}; once more")
        return
    task = queue.running.pop(place)
    task.done = finished(task.job.folder) if said is None else None
    if task.done is None:
        task.wrong = said or f"no result in {task.job.folder}"
        board.ended_job(place, f"failed: {task.wrong}")
        return
    queue.keep(task)
    table.add([task])
    board.ended_job(place, _result(table.by_job[task.cell.name, task.job.seed]))


def _result(rows: Sequence[Row]) -> str:
    """A job's main number, and its time."""
    plain = [row for row in rows if not row["variant"]]
    seconds = f"({rows[0]['seconds']:.0f} s)"
    for main in ("H", "T1", *results.metrics_of(plain)):
        values = [row[main] for row in plain if isinstance(row.get(main), float)]
        if values:
            return f"{main} = {100 * sum(values) / len(values):.1f} %  {seconds}"
    return seconds


def notes(tasks: Sequence[Task]) -> list[str]:
    """What a reader must know of the table as a whole."""
    versions = sorted({task.done.version for task in tasks if task.done})
    if len(versions) > 1 or (versions and versions[0] != mmalign.__version__):
        return [
            f"results of mmalign {', '.join(versions)}, and this is {mmalign.__version__}; remove"
            " the folder 'cells' to run them all again"
        ]
    return []


def _refuse_failed(tasks: Sequence[Task]) -> None:
    failed = [task for task in tasks if task.done is None]
    if failed:
        titles: dict[str, list[str]] = {}  # one mistake may stop many jobs, and is said once
        for task in failed:
            titles.setdefault(task.wrong, []).append(task.title)
        lines = [f"{'; '.join(these)}: {wrong}" for wrong, these in titles.items()]
        raise MmalignError(
            "\n  ".join([f"{len(failed)} of {len(tasks)} jobs failed, the others are done", *lines])
        )
