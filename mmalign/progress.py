"""Progress of a run: a bar on a terminal, plain lines where the output is none."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

EVERY = 10.0  # seconds between two plain lines of one stage


class Progressing(Protocol):
    """Whoever is told of a run's epochs."""

    def __enter__(self) -> Progressing:
        """The run begins."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """The run has ended."""

    def epoch_ended(self, title: str, epoch: int, epochs: int, terms: Mapping[str, float]) -> None:
        """This epoch of ``epochs`` has ended."""


class RunProgress:
    """Told of each epoch; shows epoch, every loss term (mean per row) and the time left.

    ``unit`` is what is counted, where it is no epochs. Where ``several`` runs go on at once,
    each has a bar of its own until its last stage is over.
    """

    def __init__(self, console: Console, unit: str = "epoch", several: bool = False) -> None:
        self.console = console
        self.unit = unit
        self.several = several
        self.bar: Progress | None = None
        self.tasks: dict[str, TaskID] = {}
        self.began: dict[str, float] = {}
        self.spoke: dict[str, float] = {}

    def __enter__(self) -> RunProgress:
        if self.console.is_terminal:
            self.bar = Progress(
                BarColumn(bar_width=16),
                MofNCompleteColumn(table_column=Column(no_wrap=True, min_width=7)),
                TimeRemainingColumn(compact=True, table_column=Column(min_width=5)),
                # On two lines, and more on a narrow terminal: every term stays in sight.
                TextColumn(
                    "{task.description}\n[dim]{task.fields[terms]}", table_column=Column(ratio=1)
                ),
                console=self.console,
                transient=True,
                expand=True,
            )
            self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.bar is not None:
            self.bar.stop()

    def epoch_ended(self, title: str, epoch: int, epochs: int, terms: Mapping[str, float]) -> None:
        """Show that this epoch of ``epochs`` has ended."""
        shown = "  ".join(f"{name} {value:.3g}" for name, value in terms.items())
        if self.bar is None:
            self._line(title, epoch, epochs, shown)
            return
        if title not in self.tasks:
            for other, task in self.tasks.items():
                if not self.several or run_of(other) == run_of(title):
                    self.bar.update(task, visible=False)
            self.tasks[title] = self.bar.add_task(title, total=epochs, terms="")
        self.bar.update(self.tasks[title], completed=epoch, terms=shown)

    def run_ended(self, run: str) -> None:
        """This run is over, and its bar goes."""
        for title, task in self.tasks.items():
            if self.bar is not None and run_of(title) == run:
                self.bar.update(task, visible=False)

    def _line(self, title: str, epoch: int, epochs: int, shown: str) -> None:
        now = time.monotonic()
        began = self.began.setdefault(title, now)
        if epoch not in (1, epochs) and now - self.spoke.get(title, began) < EVERY:
            return
        self.spoke[title] = now
        left = (now - began) / max(1, epoch - 1) * (epochs - epoch)
        rest = f"  {left:.0f} s left" if 1 < epoch < epochs else ""
        line = Text(f"{title}  {self.unit} {epoch}/{epochs}  {shown}{rest}")
        self.console.print(line, soft_wrap=True)


def run_of(title: str) -> str:
    """The run that a title such as "seed 0, draw 1 (2/4)  representation" is of."""
    return re.split(r",|  | \(", title, maxsplit=1)[0]
