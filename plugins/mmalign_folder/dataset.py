"""The folder's settings: which files, and how splits are made where no file gives them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from mmalign import Inspection, Source, component


@component
class Folder:
    """A folder of your own: features, one row a sample, and classes as CSV files.

    Each file of features (.npy, .safetensors or .parquet) is an array of its name:
    ``image.npy`` is "image"; so is a folder ``image`` that ``save_to_disk`` of Hugging Face's
    datasets wrote. ``samples.csv`` says which class each row has, ``classes.csv``
    what describes a class: columns of numbers are the array "attributes", columns of text
    are texts. A row of features that is NaN throughout says that the sample has none. A class
    without samples is an unseen one. ``mmalign data new`` writes an example; docs/own-data.md.
    """

    name: ClassVar[str] = "folder"

    root: Path
    """The folder; nothing outside it is read."""
    features: tuple[str, ...] = ()
    """Files of features; all that are there by default."""
    memory: Literal["auto", "always", "never"] = "auto"
    """Features are read into memory, or stay on disk and are read batch by batch: "auto" leaves
    files of more than 2 GiB on disk."""
    samples: str = "samples.csv"
    """File of samples: columns "class", "sample", "split" (train, test), at least one of the
    first two. Without "class" it is the folder in a sample's name: Black Tern/001.jpg. Or an
    .npy file of whole numbers, which is fastest for millions of rows: the class of each sample
    as its place in the file of classes, from 0, and as a second column 1 where it is asked."""
    classes: str = "classes.csv"
    """File of classes: "class", numbers, texts, "split" (seen, unseen, validation)."""
    texts: tuple[str, ...] = ("description",)
    """Columns of text in the file of classes; all others but "class" and "split" are numbers."""
    missing: Literal["error", "mask"] = "error"
    """What a sample without a row in a file that names its rows is: a mistake, or one that
    lacks this modality."""
    split: Literal["files", "drawn"] = "files"
    """Take splits from the columns "split", as far as there are any, or draw them anyway."""
    unseen: float = Field(default=0.25, ge=0)
    """Drawn classes that are never trained on: a share if below 1, else a number. Classes
    without samples are unseen besides."""
    validation: float = Field(default=0.25, ge=0)
    """Drawn seen classes that the validation protocol treats as unseen; a share of the seen
    ones if below 1, else a number. With 0 the protocol draws them, anew for each seed."""
    test: float = Field(default=0.2, ge=0, lt=1)
    """Drawn share of each seen class's samples that are asked and not trained on."""
    seed: int = Field(default=0, ge=0)
    """Seed of what is drawn; the seeds of a run do not move it."""

    @field_validator("unseen", "validation")
    @classmethod
    def _share_or_number(cls, value: float) -> float:
        if value >= 1 and value != int(value):
            raise ValueError("is a share below 1, or a whole number of classes")
        return value

    def load(self) -> Source:
        """Read and check the files. Raises MmalignError with every mistake in them."""
        from mmalign_folder.reading import load

        return load(self)

    def inspect(self) -> Inspection:
        """What the folder holds, what is wrong with it, and what would be made of it."""
        from mmalign_folder.inspecting import inspect

        return inspect(self)

    @classmethod
    def template(cls, root: str) -> Mapping[str, bytes]:
        """A tiny folder that is valid, file by file, with a recipe that reads it from ``root``."""
        from mmalign_folder.template import template

        return template(root)
