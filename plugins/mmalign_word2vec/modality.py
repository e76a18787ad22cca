"""Class names as vectors: the mean of their words' vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import ClassVar, Literal, TypeAlias

from mmalign import Features, MmalignError, ScalerName, Source, View, Widths, component

Format: TypeAlias = Literal["auto", "text", "binary", "glove"]


@component
class Word2Vec(Features):
    """Class names as vectors: the mean of their words' vectors, one row a class.

    A word is looked up as it is written, then in lower case, with a capital, and without
    accents; a compound is looked up whole before its parts. Words without a vector are
    left out and named in the report; a class without any known word is an error. The
    widths are those published for attributes and sentences (Schonfeld et al. 2019).
    """

    name: ClassVar[str] = "word2vec"
    array: str = "word2vec"
    """The data set's own vectors of its classes, taken where no file is given."""
    file: Path | None = None
    """Word vectors: word2vec's text or binary format, or GloVe's text; also as .gz."""
    format: Format = "auto"
    """The file's format; "text" and "binary" begin with a line of two counts, "glove" without."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Words to look up in place of a word of a class's name."""
    compounds: bool = False
    """Read a word without a vector as two that have one; the report says which."""
    hidden: Widths = (1450, 665)
    scaler: ScalerName = "unit"

    def view(self, source: Source) -> View:
        """One vector a class, (classes, dim). Raises MmalignError."""
        if self.file is not None:
            from mmalign_word2vec.lookup import class_vectors

            return class_vectors(self, self.file.expanduser(), source)
        if self.array not in source.arrays:
            raise MmalignError(
                f"data set '{source.name}' has no array '{self.array}'; give a file of word"
                " vectors to the modality 'word2vec'"
            )
        return super().view(source)
