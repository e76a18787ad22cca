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
) -> None:
    """Say what is in a folder, what is wrong with it, and what a run would make of it."""
    from mmalign.inspecting import chosen, show
    from mmalign.plugins import discover

    dataset, recipe = chosen(path, discover(), use, settings or ())
    show(dataset.inspect(), dataset, recipe, make_console(), classes)


@app.command()
def new(
    path: Annotated[Path, typer.Argument(help="A folder that is not there yet.")],
    use: Use = None,
) -> None:
    """Write a small example of a folder of data, with a recipe: replace it by your own."""
    from mmalign.inspecting import begin
    from mmalign.plugins import discover

    for name in begin(path, discover(), use):
        print(path / name)
    print(f"\nIt works as it is: mmalign data check {quote(str(path))}")
    print(f"{'':19}mmalign run {quote(str(path / 'recipe.toml'))}")
