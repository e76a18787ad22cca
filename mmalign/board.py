"""The one display of a sweep: jobs done, time left, and a line for each worker."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

EVERY = 30.0  # seconds between two signs of life where the output is no terminal


class Board:
    """Told of jobs and their epochs; a live display on a terminal, plain lines elsewhere."""

    def __init__(self, console: Console, workers: int, total: int, done: int) -> None:
        self.console = console
        self.total, self.done, self.before = total, done, done
        self.began = self.spoke = self.last = time.monotonic()
        self.doing: dict[int, str] = {}
        self.bar: Progress | None = None
        self.tasks: dict[int, TaskID] = {}
        self.workers = workers

    def __enter__(self) -> Board:
        if self.console.is_terminal:
            self.bar = Progress(
                BarColumn(bar_width=16),
                TextColumn("{task.description}", table_column=Column(ratio=1, no_wrap=True)),
                console=self.console, transient=True, expand=True,
            )  # fmt: skip
            self.whole = self.bar.add_task(self.standing(), total=self.total, completed=self.done)
            for place in range(self.workers):
                self.tasks[place] = self.bar.add_task("", total=1, visible=False)
            self.bar.start()
        elif self.before:
            self._print(f"{self.before} of {self.total} jobs are done already")
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def standing(self) -> str:
        """Jobs done, and how long the others will take at the speed so far."""
        now, left = self.done - self.before, self.total - self.done
        said = f"{self.done}/{self.total} jobs"
        if now and left:
            pace = (self.last - self.began) / now
            rest = pace * left - (time.monotonic() - self.last)
            said += f", {duration(max(0.0, rest))} left"
        return said

    def began_job(self, place: int, title: str) -> None:
        """A worker has got a job."""
        self.doing[place] = title
        if self.bar is not None:
            self.bar.reset(self.tasks[place], total=1, description=title, visible=True)

    def epoch_ended(self, place: int, stage: str, epoch: int, epochs: int) -> None:
        """A worker's job has come so far."""
        if self.bar is not None:
            said = f"{self.doing[place]}  {stage} {epoch}/{epochs}"
            self.bar.update(self.tasks[place], completed=epoch, total=epochs, description=said)

    def ended_job(self, place: int, said: str) -> None:
        """A worker's job has ended; ``said`` is how."""
        title = self.doing.pop(place)
        self.done += 1
        self.last = time.monotonic()
        if self.bar is not None:
            self.bar.update(self.tasks[place], visible=False)
            self.bar.update(self.whole, completed=self.done, description=self.standing())
            self.bar.print(Text(f"{title}  {said}"))
        else:
            self._print(f"[{self.done}/{self.total}] {title}  {said}")

    def again(self, place: int, said: str) -> None:
        """A worker's job begins again; ``said`` is why."""
        self._print(f"{self.doing[place]}  {said}")
        if self.bar is not None:
            self.bar.reset(self.tasks[place], total=1, description=self.doing[place])

    def tick(self) -> None:
        """Time has gone by: say that all is well, where nothing else said so."""
        if self.bar is not None:
            self.bar.update(self.whole, description=self.standing())
        elif time.monotonic() - self.spoke >= EVERY:
            self._print(f"{self.standing()}; at work: {'; '.join(self.doing.values())}")

    def _print(self, line: str) -> None:
        self.spoke = time.monotonic()
        self.console.print(Text(line), soft_wrap=True)


def duration(seconds: float) -> str:
    """Seconds as a reader wants them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
