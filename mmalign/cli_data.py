"""The commands for data: look through a folder, begin one, fetch what is published."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from mmalign.terminal import make_console

app = typer.Typer(no_args_is_help=True, help="Your own data, and the public sets.")

Use = Annotated[
    str | None, typer.Option(help="The data set that reads the folder, where there are several.")
]


@app.command()
def check(
    path: Annotated[Path, typer.Argument(help="A folder of data, or a recipe that reads one.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="A data set's field.")
    ] = None,
    use: Use = None,
    classes: Annotated[bool, typer.Option("--classes", help="List every class.")] = False,
    recipe: Annotated[
        Path | None, typer.Option(help="Write a recipe for the data to this file.")
    ] = None,
) -> None:
    """Say what is in a folder, and what is wrong with it.

    And what a run would make of it.
    """
    from mmalign.inspecting import chosen, keep, look
    from mmalign.inspection_text import show
    from mmalign.plugins import discover

    what = chosen(path, discover(), use, settings or ())
    found = look(what)
    show(found, what, make_console(), classes)
    if recipe is not None:
        keep(found, recipe)
        print(f"\n{recipe}: mmalign run {quote(str(recipe))}")


@app.command()
def new(
    path: Annotated[Path, typer.Argument(help="A folder that is not there yet.")],
    use: Use = None,
) -> None:
    """Write a small example of a folder of data.

    With a recipe. Replace it by your own.
    """
    from mmalign.inspecting import begin
    from mmalign.plugins import discover

    for name in begin(path, discover(), use):
        print(path / name)
    print(f"\nIt works as it is: mmalign data check {quote(str(path))}")
    print(f"{'':19}mmalign run {quote(str(path / 'recipe.toml'))}")


@app.command()
def fetch(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[DATASET]...", help="None lists what there is.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option(help="Folder of the data sets; where recipes look by default.")
    ] = None,
    mirror: Annotated[
        str | None, typer.Option(help="Another address of the archive, or its file.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace files that are there and differ.")
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the archive, for others of its data sets.")
    ] = False,
) -> None:
    """Download public data sets from their authors.

    Goes on where it broke off. Counts and shapes are checked before anything is put in place.
    """
    from mmalign.fetching import fetch as fetch_sets
    from mmalign.fetching import listing
    from mmalign.plugins import discover

    registry, console = discover(), make_console()
    if not names:
        console.print(listing(registry))
        return
    fetch_sets(names, registry, console, to, mirror, force, keep)
