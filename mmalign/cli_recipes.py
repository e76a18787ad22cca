"""The commands that look around: recipes, components, plugins."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmalign.errors import MmalignError
from mmalign.executors import Executor
from mmalign.terminal import make_console

app = typer.Typer()

ExecutorName = Annotated[
    Executor, typer.Option(help="Who does the jobs: processes here, or a Ray cluster.")
]
RayAddress = Annotated[
    str | None,
    typer.Option(help="A Ray cluster; RAY_ADDRESS, or else this machine alone, by default."),
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="A.B=C", help="Lay a value over the recipe.")
]


@app.command()
def check(
    recipes: Annotated[
        list[str] | None, typer.Argument(metavar="[RECIPE]...", help="All shipped ones by default.")
    ] = None,
    settings: Settings = None,
) -> None:
    """Check recipes without loading any data; every mistake is shown."""
    from mmalign.cells import expand
    from mmalign.plugins import discover
    from mmalign.recipe import read
    from mmalign.shipped import shipped
    from mmalign.space import read_space

    registry, wrong = discover(), 0
    names = recipes or list(shipped())
    for name in names:
        try:
            checked = read(name, registry, settings or ())
            if checked.sweep is not None:
                expand(checked, registry)
            if checked.tune is not None:
                read_space(checked, registry)
            print(f"ok     {name}")
        except MmalignError as error:
            wrong += 1
            print(f"wrong  {error}")
    if wrong:
        raise MmalignError(f"{wrong} of {len(names)} recipes cannot run")


@app.command()
def ls(
    what: Annotated[
        str | None,
        typer.Argument(
            help="A kind (dataset, modality, loss, head, method, backbone), or a component."
        ),
    ] = None,
) -> None:
    """List recipes and components; with a name, a component's fields."""
    from mmalign.listing import components, recipes
    from mmalign.plugins import discover
    from mmalign.shipped import shipped

    console = make_console()
    if what is None:
        console.print(recipes(shipped()))
    console.print(components(discover(), what))


@app.command()
def cp(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe's name.")],
    to: Annotated[Path, typer.Argument(help="A file or folder.")] = Path(),
    force: Annotated[bool, typer.Option(help="Write over a file that is there.")] = False,
) -> None:
    """Copy a shipped recipe into the working folder."""
    from mmalign.errors import did_you_mean
    from mmalign.shipped import shipped

    known = shipped()
    if recipe not in known:
        raise MmalignError(f"no shipped recipe '{recipe}'; {did_you_mean(recipe, known)}")
    target = to / known[recipe].name if to.is_dir() else to
    if target.exists() and not force:
        raise MmalignError(f"{target} is there already; --force writes over it")
    try:
        target.write_text(known[recipe].read_text(encoding="utf-8"), encoding="utf-8")
    except OSError as error:
        raise MmalignError(f"cannot write {target}: {error.strerror}") from None
    print(target)


@app.command()
def plugins(
    trust: Annotated[
        bool, typer.Option("--trust", help="Import none: show what would be, and whose files.")
    ] = False,
) -> None:
    """List plugins: name, version, distribution and state."""
    if trust:
        from mmalign.trust import show

        show(make_console())
        return
    from mmalign.listing import plugins as table
    from mmalign.plugins import discover

    make_console().print(table(discover()))
