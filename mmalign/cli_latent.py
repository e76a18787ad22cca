"""The commands for a model's latent space: look into it, search it, come out elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmalign.cli_model import Form, ModelPath

if TYPE_CHECKING:
    from mmalign.model import Model
    from mmalign.rows import Part

app = typer.Typer()

Things = Annotated[
    list[str],
    typer.Argument(
        metavar="[MODALITY=]FILE...",
        help="Unscaled rows, .npy, .safetensors or .parquet; pictures; or descriptions, .csv.",
    ),
]
Device = Annotated[str, typer.Option(help="A torch device, for pictures.")]
RowsFile = Annotated[Path, typer.Option(help="A file: .npy, .safetensors or .parquet.")]


@app.command()
def embed(model: ModelPath, things: Things, out: RowsFile, device: Device = "cpu") -> None:
    """Write the latents of rows of any modality.

    Or of several, fused.
    """
    from mmalign.bundle import load
    from mmalign.latentfiles import check_suffix, write_rows

    check_suffix(out)
    loaded = load(model)
    done = write_rows(_latents(loaded, things, device), out)
    print(f"{out}: {done.rows} rows of {done.dim} latent numbers")


@app.command()
def translate(
    model: ModelPath,
    things: Things,
    to: Annotated[str, typer.Option(help="The modality that is wanted.")],
    out: RowsFile,
    device: Device = "cpu",
) -> None:
    """Write what rows of one modality are in another.

    Its numbers, decoded from their latents.
    """
    from mmalign.bundle import load
    from mmalign.latentfiles import check_suffix, write_rows
    from mmalign.rows import Part, named_files

    check_suffix(out)
    loaded = load(model)
    from mmalign.inputs import parts_of

    asked = parts_of(named_files(things), loaded, device)
    done = write_rows((Part(loaded.translate(a.features, to), a.names) for a in asked), out)
    print(f"{out}: {done.rows} rows of {done.dim} numbers of '{to}'")


@app.command()
def retrieve(
    model: ModelPath,
    queries: Annotated[
        str,
        typer.Argument(
            metavar="[MODALITY=]QUERIES",
            help="What is searched for: rows, pictures, or descriptions as a CSV file.",
        ),
    ],
    items: Annotated[
        str, typer.Argument(metavar="[MODALITY=]ITEMS", help="What is searched through.")
    ],
    top: Annotated[int, typer.Option(min=1, metavar="N", help="Items a query, nearest first.")] = 5,
    form: Annotated[
        Form | None,
        typer.Option("--format", help="A table for a terminal, else by --out's suffix, or CSV."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="A file; standard output by default.")] = None,
    device: Device = "cpu",
) -> None:
    """Find the items nearest to each query.

    Whatever modality each is of.
    """
    from mmalign.bundle import load
    from mmalign.latentfiles import together
    from mmalign.predictions import Best, Titles, form_of, write_answers
    from mmalign.retrieval import nearest

    loaded = load(model)
    through = together(_latents(loaded, [items], device))
    names = through.names or tuple(map(str, range(len(through.values))))

    def found() -> Iterator[Best]:
        row = 0
        for part in _latents(loaded, [queries], device):
            places, cosines = nearest(part.values, through.values, top)
            for place, (order, near) in enumerate(zip(places, cosines, strict=True)):
                best = [(names[i], float(c), None) for i, c in zip(order, near, strict=True)]
                yield Best(row, part.names[place] if part.names else "", tuple(best))
                row += 1

    titles = Titles(found="item", score="cosine", chance="")
    written = form.value if form else form_of(out, sys.stdout.isatty())
    write_answers(found(), written, out, titles)


def _latents(model: Model, things: list[str], device: str) -> Iterator[Part]:
    from mmalign.inputs import parts_of
    from mmalign.rows import Part, named_files

    for asked in parts_of(named_files(things), model, device):
        yield Part(model.embed(asked.features), asked.names)
