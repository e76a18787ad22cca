"""The commands that bring a model to the Hugging Face Hub, and from there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()

Repository = Annotated[str, typer.Argument(metavar="REPO", help="Its name: OWNER/NAME.")]


@app.command()
def push(
    model: Annotated[Path, typer.Argument(help="A run's folder, or a model's.")],
    repository: Repository,
    private: Annotated[
        bool | None,
        typer.Option("--private/--public", help="Who sees a new repository; its owner's setting."),
    ] = None,
    revision: Annotated[str | None, typer.Option(help="A branch; main by default.")] = None,
) -> None:
    """Upload a model to the Hugging Face Hub.

    With HF_TOKEN, or the token of `hf auth login`.
    """
    from mmalign.hub import push_to_hub

    print(push_to_hub(model, repository, private=private, revision=revision))


@app.command()
def pull(
    repository: Repository,
    to: Annotated[Path, typer.Argument(help="A folder that is not there yet.")],
    revision: Annotated[str | None, typer.Option(help="A branch, a tag or a commit.")] = None,
) -> None:
    """Download a model from the Hugging Face Hub.

    Its weights, configuration and card alone.
    """
    from mmalign.hub import pull as fetch

    model = fetch(repository, to, revision)
    rows = ", ".join(model.sample_modalities)
    print(f"{to}: {len(model.known_classes)} classes, rows of {rows}")
