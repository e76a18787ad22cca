"""Sentence embeddings, one row a class or one row a sample."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from mmalign import Features, MmalignError, ScalerName, Source, View, Widths, component

SUFFIXES = (".safetensors", ".npy")


@component
class Sentences(Features):
    """Sentence embeddings, one row a class or one row a sample.

    They are the data set's own array, or are read from ``file``, or are computed from
    ``texts``, whose embeddings are averaged where a row has several. The widths are the
    published ones (Schonfeld et al. 2019, section 4).
    """

    name: ClassVar[str] = "sentences"
    array: str = "sentences"
    """The data set's own embeddings, taken where neither file nor texts is given."""
    file: Path | None = None
    """Embeddings with names: .safetensors, or .npy with its names in a file beside it."""
    texts: str | None = None
    """Texts to embed: a CSV file (class,text or sample,text), or the data set's by name."""
    model: str = "sentence-transformers/all-MiniLM-L6-v2"
    """What embeds the texts: a sentence-transformers model by name, or its folder.

    The default is not downloaded where the extra 'minilm' is installed, which carries it.
    """
    missing: Literal["error", "mask"] = "error"
    """What a class or sample that file or CSV lacks is: a mistake, or one without sentences."""
    batch: int = Field(default=32, ge=1)
    """Texts embedded at once."""
    device: str = "cpu"
    """Where texts are embedded, as torch names it."""
    cache: Path | None = None
    """Folder where computed embeddings are kept; else MMALIGN_CACHE, or the user's cache."""
    hidden: Widths = (1450, 665)
    scaler: ScalerName = "unit"

    @model_validator(mode="after")
    def _one_origin(self) -> Sentences:
        if self.file is not None and self.texts is not None:
            raise ValueError("give file or texts, not both")
        if self.file is not None and self.file.suffix not in SUFFIXES:
            raise ValueError(f"file is '{self.file}'; it must end in {' or '.join(SUFFIXES)}")
        return self

    def view(self, source: Source) -> View:
        """The embeddings, (classes, dim) or (samples, dim). Raises MmalignError."""
        if self.file is not None:
            from mmalign_sentences.files import read_embeddings

            return read_embeddings(self.file, source, self.missing)
        if self.texts is not None:
            from mmalign_sentences.embedding import embedded

            return embedded(self, source)
        if self.array not in source.arrays:
            raise MmalignError(
                f"data set '{source.name}' has no array '{self.array}'; those in the layout of"
                " xlsa17 have it where a file sent_splits.mat lies beside att_splits.mat; else"
                " give file or texts to the modality 'sentences'"
            )
        return super().view(source)

    def view_of_newcomers(self, source: Source) -> View:
        """Embeddings of classes that come to a trained model: of their texts, or as given.

        Wherever the embeddings of the other classes came from, ``model`` must be what made
        them. Raises MmalignError.
        """
        if self.array in source.arrays:
            return super().view(source)
        if not source.texts:
            raise MmalignError("give each class a text, in a column 'description'")
        from mmalign_sentences.embedding import embedded

        return embedded(replace(self, file=None, texts=next(iter(source.texts))), source)
