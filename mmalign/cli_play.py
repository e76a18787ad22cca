"""The command that opens a page on which a person asks a model."""

from __future__ import annotations

from typing import Annotated

import typer

from mmalign.cli_model import ModelPath

app = typer.Typer()


@app.command()
def play(
    model: ModelPath,
    samples: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[MODALITY=]PATH",
            help="What to ask about besides: a folder of pictures, or rows as `mmalign predict`"
            " reads them; the data set's test rows by default.",
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            metavar="PORT",
            help="On this machine; the first free one from 8008 on.",
        ),
    ] = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in the web browser.")
    ] = True,
    largest: Annotated[
        int, typer.Option(min=1, max=64, metavar="MIB", help="Size of a picture.")
    ] = 8,
    device: Annotated[str, typer.Option(help="A torch device, for pictures.")] = "cpu",
) -> None:
    """Open a page on which to ask a model.

    It names pictures, and learns a class from its description.
    """
    from mmalign.extras import need

    need("play", "fastapi", "uvicorn")
    from mmalign.bundle import load
    from mmalign.play.laying import laid
    from mmalign.play.limits import Limits
    from mmalign.play.serving import serve

    table = laid(load(model), str(model), samples or (), device)
    serve(table, port, browser, Limits(upload=largest * 2**20))
