"""The commands on runs that are finished."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmalign.executors import Executor, site
from mmalign.terminal import make_console

if TYPE_CHECKING:
    from rich.console import Console

    from mmalign.recipe import Recipe
    from mmalign.reproduce import Comparison

app = typer.Typer()


class Form(StrEnum):
    """How a comparison is written."""

    text = "text"
    markdown = "markdown"
    latex = "latex"
    csv = "csv"


@app.command()
def table(
    what: Annotated[
        list[str], typer.Argument(help="Recipes that were run, or folders of runs and sweeps.")
    ],
    form: Annotated[
        Form, typer.Option("--format", help="How it is written.", case_sensitive=False)
    ] = Form.text,
    by: Annotated[
        str | None, typer.Option(help="A key that a sweep varies: one table for each value.")
    ] = None,
    test: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="SYSTEM SYSTEM", help="A paired test of two over their seeds."),
    ] = None,
    metric: Annotated[str, typer.Option(help="What the test compares.")] = "H",
    runs: Annotated[Path, typer.Option(help="Folder where recipes were run.")] = Path("runs"),
    out: Annotated[Path | None, typer.Option(help="A file; standard output by default.")] = None,
) -> None:
    """Put finished runs side by side.

    Published next to reproduced, the best in bold.
    """
    from mmalign.comparison import gathered, paired
    from mmalign.comparison_text import deliver, sentence, written

    lines, console = gathered(what, runs), make_console()
    parts = written(lines, form.value, by, console.width)
    said = sentence(paired(lines, *test, metric)) if test is not None else ""
    deliver(parts, console, out)
    if said:  # it belongs into no table
        print(said, file=sys.stderr if form == "csv" and out is None else sys.stdout)


@app.command()
def reproduce(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run.")],
    out: Annotated[Path, typer.Option(help="Folder for the new run.")] = Path("runs"),
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Processes of several seeds; one per CPU by default."
        ),
    ] = None,
) -> None:
    """Run a finished run again, and compare.

    From nothing but its folder and the data. Exit status 1 if they differ.
    """
    from mmalign.plugins import discover
    from mmalign.reproduce import reproduce as reproduce_run

    registry, console = discover(), make_console()

    def again(recipe: Recipe, threads: int) -> Path:
        import torch

        from mmalign.run import run as run_recipe
        from mmalign.seeds import apart, run_seeds

        if apart(recipe, Executor.processes, None):
            with site(Executor.processes, None) as at:
                return run_seeds(recipe, registry, console, out, None, workers, at).folder
        torch.set_num_threads(threads)
        return run_recipe(recipe, registry, console, out).folder

    made, found = reproduce_run(run, registry, again)
    _tell(found, console)
    console.print(f"\n{run} again: {made}", soft_wrap=True)
    if not found.reproduced:
        raise typer.Exit(1)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="The folder of a finished run, or of a sweep.")],
) -> None:
    """Write report.html again, from a run's or a sweep's folder.

    Where an older mmalign ran it, the page says what the folder lacks.
    """
    from mmalign.pages.again import write_again

    make_console().print(f"report: {write_again(folder)}", soft_wrap=True)


def _tell(found: Comparison, console: Console) -> None:
    from rich.table import Table
    from rich.text import Text

    for line in found.basis:
        console.print(Text(line, style="yellow"), soft_wrap=True)
    for name, same in found.files.items():
        console.print(f"{name:25} {'the same, bit for bit' if same else 'another one'}")
    if not found.same:
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
        for title in ("%", "then", "now", "difference", "tolerance"):
            table.add_column(title, justify="left" if title == "%" else "right")
        for name, (then, now, most) in found.metrics.items():
            numbers = (100 * then, 100 * now, 100 * (now - then), 100 * most)
            shown = [
                f"{value:{sign}.2f}" for value, sign in zip(numbers, ("", "", "+", ""), strict=True)
            ]
            table.add_row(name, *shown)
        console.print(table)
    if found.same:
        said = "reproduced, bit for bit"
    elif found.reproduced:
        said = "reproduced within the tolerance: other versions or another machine round otherwise"
    elif found.basis:
        said = "not reproduced: see above for what is not as it was"
    else:
        said = "not reproduced, though data, versions, plugins and machine are the same"
    console.print(Text(said, style="bold green" if found.reproduced else "bold red"))
