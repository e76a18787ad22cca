"""The commands on runs that are finished."""

from __future__ import annotations

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
    """Write report.html again, from what lies in a folder; for runs of an older mmalign, too."""
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
