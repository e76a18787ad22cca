"""The command that turns pictures into features."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmalign.terminal import make_console

app = typer.Typer()


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
