"""The command line; nothing heavy is imported before a command needs it."""

from __future__ import annotations

import atexit
import errno
import gc
import json
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmalign import cli_data, cli_hub, cli_latent, cli_model, cli_play, cli_recipes, cli_runs
from mmalign.cli_recipes import ExecutorName, RayAddress, Settings, shipped_names
from mmalign.errors import MmalignError
from mmalign.executors import Executor, site
from mmalign.terminal import make_console

if TYPE_CHECKING:
    from rich.console import Console

    from mmalign.run import Outcome

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Align any number of modalities in one latent space, and recognise classes that"
    " were never seen.",
)

RecipeName = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE",
        help="A recipe's path, or its shipped name.",
        autocompletion=shipped_names,
    ),
]


INTERRUPTED = 130
# A disk that is full or read-only, a file that may not be read: the user's to mend, not ours.
SURROUNDINGS = (
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO,
    errno.ENOMEM, errno.EMFILE, errno.ENAMETOOLONG,
)  # fmt: skip


class Form(StrEnum):
    """How a comparison is written."""

    text = "text"
    markdown = "markdown"
    latex = "latex"
    csv = "csv"


def main() -> None:
    """Run the command line: an MmalignError is one message and exit status 2."""
    atexit.register(gc.freeze)  # a last walk through what goes with the process took 40 ms
    try:
        app()
    except MmalignError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except SystemExit as stop:
        if stop.code == INTERRUPTED:  # typer turns Ctrl-C into this, and says nothing
            print("interrupted; what was written stays", file=sys.stderr)
        raise
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone, which is no error of anyone's
        sys.exit(0)
    except OSError as error:
        if error.errno not in SURROUNDINGS:
            raise
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{error.strerror}; what was written before stays", file=sys.stderr)
        sys.exit(2)


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
        if read_recipe.sweep is not None:
            raise MmalignError(
                f"--devices, --nodes: '{recipe}' is a sweep, whose runs go side by side: --workers"
            )
        from mmalign.processes import run_across

        done = run_across(read_recipe, registry, console, out, reuse, devices, nodes)
        if done is not None:  # else the first process tells
            _tell(done, console)
        return
    with site(executor, ray_address) as at:
        if read_recipe.sweep is not None:
            from mmalign.cells import expand
            from mmalign.sweep import sweep

            planned, many = expand(read_recipe, registry), workers or at.processors
            folder = sweep(read_recipe, planned, console, out, reuse, many, at.hire)
            console.print(f"\nresults: {folder}", soft_wrap=True)
            console.print(f"report: {folder / 'report.html'}", soft_wrap=True)
            return
        from mmalign.run import run as run_recipe
        from mmalign.seeds import apart, run_seeds

        if apart(read_recipe, executor, workers):
            outcome = run_seeds(read_recipe, registry, console, out, reuse, workers, at, begun)
        else:
            outcome = run_recipe(read_recipe, registry, console, out, reuse, resume=begun)
    _tell(outcome, console)


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
def extract(
    folder: Annotated[Path, typer.Argument(help="A folder of pictures, searched through.")],
    out: Annotated[Path, typer.Argument(help="The file of features, .safetensors.")],
    backbone: Annotated[str, typer.Option(help="Its name; `mmalign ls backbone` lists them.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="A backbone's field.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, metavar="N", help="Pictures at a time.")] = 32,
    device: Annotated[str, typer.Option(help="A torch device, such as cuda:0.")] = "cpu",
    workers: Annotated[
        int, typer.Option(min=1, metavar="N", help="Threads that read pictures.")
    ] = 2,
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Leave out pictures that cannot be read.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Write over a file of other features.")
    ] = False,
) -> None:
    """Write features of a folder of pictures.

    Goes on where a killed one stopped.
    """
    from mmalign.extract import chosen
    from mmalign.extract import extract as extract_features
    from mmalign.plugins import discover

    console = make_console()
    done = extract_features(
        folder, out, chosen(discover(), backbone, settings or ()), console,
        batch=batch, device=device, workers=workers, skip_broken=skip_broken, force=force,
    )  # fmt: skip
    if done.skipped:
        shown = ", ".join(done.skipped[:3]) + (", ..." if len(done.skipped) > 3 else "")
        console.print(f"left out, broken: {len(done.skipped)} ({shown})", soft_wrap=True)
    rows, dim = done.file.features.shape
    said = f"{out}: {rows} rows of {dim} numbers, {done.reused} of them there before"
    console.print(said, soft_wrap=True)


app.add_typer(cli_recipes.app)
app.add_typer(cli_runs.app)
app.add_typer(cli_model.app)
app.add_typer(cli_latent.app)
app.add_typer(cli_play.app)
app.add_typer(cli_data.app, name="data")
app.add_typer(cli_hub.app)
