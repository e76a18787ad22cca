"""The commands that look around: recipes, components, plugins."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from mmalign.errors import MmalignError
from mmalign.executors import Executor
from mmalign.terminal import GREEN, RED, coloured, make_console

app = typer.Typer()


def shipped_names(incomplete: str) -> list[str]:
    """The shipped recipes that begin so, for a shell that completes a word; it knows files."""
    from mmalign.shipped import shipped

    return [name for name in shipped() if name.startswith(incomplete)]


def component_names(incomplete: str) -> list[str]:
    """Kinds and components that begin so."""
    from mmalign.plugins import discover

    kinds = discover().components
    names = [*kinds, *(name for of_kind in kinds.values() for name in of_kind)]
    return [name for name in names if name.startswith(incomplete)]


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
        list[str] | None,
        typer.Argument(
            metavar="[RECIPE]...", help="All shipped ones by default.", autocompletion=shipped_names
        ),
    ] = None,
    settings: Settings = None,
) -> None:
    """Check recipes without loading any data.

    Every mistake is shown.
    """
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
            print(f"{coloured('ok', GREEN)}     {name}")
        except MmalignError as error:
            wrong += 1
            print(f"{coloured('wrong', RED)}  {error}")
    if wrong:
        raise MmalignError(f"{wrong} of {len(names)} recipes cannot run")


@app.command()
def ls(
    what: Annotated[
        str | None,
        typer.Argument(
            help="A kind (dataset, modality, loss, head, method, backbone), or a component.",
            autocompletion=component_names,
        ),
    ] = None,
) -> None:
    """List recipes and components.

    With a name, that component's fields.
    """
    from mmalign.listing import components, recipes
    from mmalign.plugins import discover
    from mmalign.shipped import shipped

    console = make_console()
    # To a pipe each thing is one line, however long.
    show = partial(console.print, soft_wrap=not console.is_terminal)
    found = components(discover(), what)
    if what is None:
        show(recipes(shipped()))
    show(found)
    if what is None and console.is_terminal:
        console.print("mmalign ls NAME    a component's fields", style="dim")
        console.print("mmalign cp RECIPE  a copy of a recipe, to edit", style="dim")


@app.command()
def cp(
    recipe: Annotated[
        str, typer.Argument(help="A shipped recipe's name.", autocompletion=shipped_names)
    ],
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
    """List plugins, and what each offers."""
    if trust:
        from mmalign.trust import show

        show(make_console())
        return
    from mmalign.listing import plugins as table
    from mmalign.plugins import discover

    console = make_console()
    console.print(table(discover()), soft_wrap=not console.is_terminal)
