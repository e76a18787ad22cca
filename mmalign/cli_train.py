"""The commands that train: run, and tune."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmalign.cli_recipes import ExecutorName, RayAddress, Settings, shipped_names
from mmalign.errors import MmalignError
from mmalign.executors import Executor, Site, site
from mmalign.terminal import make_console

if TYPE_CHECKING:
    from rich.console import Console

    from mmalign.plugins import Registry
    from mmalign.recipe import Recipe
    from mmalign.run import Outcome

app = typer.Typer()

RecipeName = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE",
        help="A recipe's path, or its shipped name.",
        autocompletion=shipped_names,
    ),
]


@app.command()
def run(
    recipe: RecipeName,
    settings: Settings = None,
    seeds: Annotated[int | None, typer.Option(help="Run seeds 0 to N-1.")] = None,
    device: Annotated[str | None, typer.Option(help="A torch device, such as cuda:0.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for runs.")] = Path("runs"),
    reuse: Annotated[
        Path | None, typer.Option(help="Keep fitted representations here, and find them again.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Processes of a sweep or of seeds; one per CPU by default."
        ),
    ] = None,
    executor: ExecutorName = Executor.processes,
    ray_address: RayAddress = None,
    devices: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Processes, or GPUs, that train one model together."),
    ] = None,
    nodes: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Hosts that do so; start it on each of them."),
    ] = None,
    track: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Tell this tracker of it: tensorboard, mlflow, or a plugin's name."
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on with this recipe's last run, or with RECIPE, a run's folder."
        ),
    ] = False,
) -> None:
    """Train, measure and report what a recipe says.

    A recipe with [sweep]: all its cells.
    """
    from mmalign.plugins import discover

    registry = discover()
    laid = list(settings or [])
    laid += [f"run.seeds={seeds}"] if seeds is not None else []
    laid += [f'run.device="{device}"'] if device is not None else []
    laid += [f"run.trackers={json.dumps(track)}"] if track else []
    from mmalign.recipe import read

    console, begun = make_console(), None
    if resume:
        from mmalign.unfinished import going_on

        read_recipe, begun = going_on(recipe, registry, laid, out)
        if begun is None and read_recipe.sweep is None:  # a sweep goes on by itself
            console.print("no run of it was left in the middle; this is a new one")
    else:
        read_recipe = read(recipe, registry, laid)
    if devices is not None or nodes is not None or "TORCHELASTIC_RUN_ID" in os.environ:
        if workers is not None or executor is not Executor.processes or resume:
            raise MmalignError(
                "--devices, --nodes: they train one model; leave out --workers, --executor and"
                " --resume, which is of processes that train alone"
            )
        from mmalign.processes import run_across

        _refuse_sweep(read_recipe)
        done = run_across(read_recipe, registry, console, out, reuse, devices, nodes)
        if done is not None:  # else the first process tells
            _tell(done, console)
        return
    with site(executor, ray_address) as at:
        if read_recipe.sweep is not None:
            _sweep(read_recipe, registry, console, out, reuse, workers, at)
            return
        from mmalign.run import run as run_recipe
        from mmalign.seeds import apart, run_seeds

        if apart(read_recipe, executor, workers):
            outcome = run_seeds(read_recipe, registry, console, out, reuse, workers, at, begun)
        else:
            outcome = run_recipe(read_recipe, registry, console, out, reuse, resume=begun)
    _tell(outcome, console)


def _refuse_sweep(recipe: Recipe) -> None:
    if recipe.sweep is not None:
        raise MmalignError(
            f"--devices, --nodes: '{recipe.name}' is a sweep, whose runs go side by side: --workers"
        )


def _sweep(
    recipe: Recipe,
    registry: Registry,
    console: Console,
    out: Path,
    reuse: Path | None,
    workers: int | None,
    at: Site,
) -> None:
    """Run all cells, and say where their results are."""
    from mmalign.cells import expand
    from mmalign.sweep import sweep

    planned, many = expand(recipe, registry), workers or at.processors
    folder = sweep(recipe, planned, console, out, reuse, many, at.hire)
    console.print(f"\nresults: {folder}", soft_wrap=True)
    console.print(f"report: {folder / 'report.html'}", soft_wrap=True)


def _tell(outcome: Outcome, console: Console) -> None:
    """Say what came of a run, and where it is."""
    from mmalign.summary import as_text

    console.print(as_text(outcome.report, console.width))
    console.print(f"\nreport and model: {outcome.folder}", soft_wrap=True)
    console.print(f"report: {outcome.folder / 'report.html'}", soft_wrap=True)


@app.command()
def tune(
    recipe: RecipeName,
    settings: Settings = None,
    trials: Annotated[
        int, typer.Option(min=1, metavar="N", help="How many in all, with those of earlier calls.")
    ] = 50,
    timeout: Annotated[
        float | None, typer.Option(min=0, metavar="N", help="Begin no trial after so many seconds.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Processes; one per CPU by default.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for runs.")] = Path("runs"),
    reuse: Annotated[
        Path | None, typer.Option(help="Keep fitted representations here, and find them again.")
    ] = None,
    executor: ExecutorName = Executor.processes,
    ray_address: RayAddress = None,
) -> None:
    """Search a recipe's [tune] on the validation protocol.

    Writes the best recipe.
    """
    from mmalign.plugins import discover
    from mmalign.recipe import read
    from mmalign.space import read_space

    registry = discover()
    space = read_space(read(recipe, registry, settings or ()), registry)
    from mmalign.extras import need
    from mmalign.tune import tune as search

    need("sweep", "optuna")
    console = make_console()
    with site(executor, ray_address) as at:
        many = workers or at.processors
        folder = search(space, registry, console, trials, out, reuse, many, timeout, at.hire)
    console.print(f"\nbest recipe: {folder / 'best.toml'}", soft_wrap=True)
