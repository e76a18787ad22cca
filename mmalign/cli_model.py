"""The commands for a finished model: copy it out, ask it, change its classes."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mmalign.errors import MmalignError

app = typer.Typer()

ModelPath = Annotated[Path, typer.Argument(help="A run's folder, or a model's.")]
NewFolder = Annotated[Path, typer.Argument(help="A folder that is not there yet.")]


class Form(StrEnum):
    """How answers are written."""

    table = "table"
    csv = "csv"
    jsonl = "jsonl"


@app.command()
def export(
    model: ModelPath,
    to: Annotated[
        Path, typer.Argument(help="A folder that is not there yet, or such a file, .onnx.")
    ],
    modality: Annotated[
        list[str] | None,
        typer.Option(help="An input of the .onnx file; all sample-level ones by default."),
    ] = None,
) -> None:
    """Copy a model out of a run, or write it as ONNX.

    onnxruntime then has to agree with it.
    """
    from mmalign.bundle import find, load
    from mmalign.bundlefiles import copy

    loaded = load(model)
    _refuse_existing(to)
    if to.suffix == ".onnx":
        from mmalign.onnxfile import TOLERANCE, export_onnx

        done = export_onnx(loaded, to, modality)
        print(
            f"{to}: {_classes(done.classes)}, rows of {', '.join(done.inputs)}; onnxruntime and"
            f" PyTorch differ by {done.difference:.0e} of a row's largest number"
            f" ({TOLERANCE:g} is allowed)"
        )
        return
    if modality:
        raise MmalignError(f"--modality: {to} is a folder, which takes the whole model")
    copy(find(model), to)
    print(f"{to}: {len(loaded.classes)} classes, rows of {', '.join(loaded.sample_modalities)}")


@app.command()
def predict(
    model: ModelPath,
    features: Annotated[
        list[str],
        typer.Argument(
            metavar="[MODALITY=]FILE...",
            help="Unscaled rows of features: .npy, .safetensors or .parquet; or a picture, or a"
            " folder of them. Several modalities of the same rows are fused, and NaN throughout"
            " a row says that it lacks one.",
        ),
    ],
    top: Annotated[int, typer.Option(help="Classes per row, best first.")] = 5,
    modality: Annotated[str | None, typer.Option(help="Which modality the rows are.")] = None,
    form: Annotated[
        Form | None,
        typer.Option("--format", help="A table for a terminal, else by --out's suffix, or CSV."),
    ] = None,
    among: Annotated[
        list[str] | None,
        typer.Option(help="A class to choose from, or a CSV file of such; all by default."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="A file; standard output by default.")] = None,
    device: Annotated[str, typer.Option(help="A torch device, for pictures.")] = "cpu",
) -> None:
    """Write the likeliest classes of each row.

    With scores and calibrated probabilities.
    """
    from mmalign.bundle import load
    from mmalign.inputs import named_classes, parts_of
    from mmalign.predictions import best_of, form_of, write_answers
    from mmalign.rows import named_files

    loaded = load(model)
    classes = named_classes(among) if among else None
    if loaded.temperature is None and classes is None:
        print("no probabilities: the model's scores are not calibrated", file=sys.stderr)
    asked = parts_of(named_files(features, modality), loaded, device)
    best = best_of(loaded, asked, top, classes)
    write_answers(best, form.value if form else form_of(out, sys.stdout.isatty()), out)


@app.command("add-classes")
def add_classes(
    model: ModelPath,
    classes: Annotated[
        Path,
        typer.Argument(
            metavar="CLASSES.CSV",
            help="A column 'class', and what describes them: columns of numbers, a column"
            " 'description', or nothing where names are enough.",
        ),
    ],
    to: NewFolder,
) -> None:
    """Give a model new classes by their descriptions.

    Without the data that it learnt from.
    """
    from mmalign.bundle import load, save_model
    from mmalign.newcomers import read_newcomers

    _refuse_existing(to)
    loaded = load(model)
    found = read_newcomers(classes, loaded)
    grown = loaded.with_classes(found.names, found.views)
    save_model(grown, to)
    for name, why in found.lacking.items():
        print(f"not described by '{name}': {why}")
    print(
        f"{to}: {_classes(len(found.names))} more, {len(grown.known_classes)} in all, described by"
        f" {', '.join(found.views)}"
    )


@app.command("remove-classes")
def remove_classes(
    model: ModelPath,
    classes: Annotated[list[str], typer.Argument(metavar="CLASS...", help="Their names.")],
    to: Annotated[Path, typer.Option(help="A folder that is not there yet.")],
) -> None:
    """Take classes out of a model.

    With all that it kept of them.
    """
    from mmalign.bundle import load, save_model

    _refuse_existing(to)
    less = load(model).without_classes(classes)
    save_model(less, to)
    print(f"{to}: {_classes(len(set(classes)))} less, {len(less.known_classes)} in all")


def _refuse_existing(to: Path) -> None:
    if to.exists():
        raise MmalignError(f"{to} is there already; choose a folder that is not")


def _classes(count: int) -> str:
    return f"{count} class" if count == 1 else f"{count} classes"
