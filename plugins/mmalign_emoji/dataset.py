"""Emoji as classes, and as their images how seven open icon sets draw them."""

from __future__ import annotations

from typing import ClassVar

from mmalign import Source, component


@component
class Emoji:
    """Emoji, drawn by seven open icon sets; comes with mmalign.

    1,588 classes, of which 318 are never shown, and 9,136 drawings. Arrays: "image" (features
    of EfficientNet-Lite0, 1280 numbers), "attributes" (group, subgroup and tags, 0 or 1),
    "sentences" (MiniLM's embedding of label and tags), "word2vec" (GloVe's vectors of the
    label's words). Texts: "descriptions" (label and tags, as they were embedded) and
    "characters" (the emoji). Samples are called SET/HEXCODE. How it was made, split and
    reduced, and whose the drawings are: docs/emoji.md, and NOTICE.md beside the data.
    """

    name: ClassVar[str] = "emoji"

    def load(self) -> Source:
        """Read the file that is part of the package. Raises MmalignError where it is damaged."""
        from mmalign_emoji.reading import read

        return read(self.name)
