"""Looks up the words of every class's name and averages what is found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmalign import Floats, MmalignError, Source, View, did_you_mean
from mmalign_word2vec.vectors import read_vectors
from mmalign_word2vec.words import halves, pieces, readings, spellings

if TYPE_CHECKING:
    from mmalign_word2vec.modality import Word2Vec

NAMED = 40  # words or classes that a message names; the rest is counted


@dataclass(frozen=True)
class Found:
    """What came of a name: words of the file, words that it lacks, and compounds cut in two."""

    words: tuple[str, ...]
    unknown: tuple[str, ...]
    cut: tuple[str, ...]


def class_vectors(settings: Word2Vec, file: Path, source: Source) -> View:
    """The mean vector of the known words of each class's name, (classes, dim).

    Raises MmalignError for a class without any known word, and for an alias of a word
    that no class's name has.
    """
    names = [aliased(name, settings.aliases) for name in source.classes]
    check_aliases(settings.aliases, source.classes)
    vectors, notes, digest = read_vectors(file, settings.format, needed(names))
    found = [look_up(each, vectors, settings.compounds) for each in names]
    lacking = [place for place, each in enumerate(found) if not each.words]
    if lacking:
        raise nothing_known(file, [source.classes[i] for i in lacking], [names[i] for i in lacking],
                            vectors)  # fmt: skip
    values = np.stack([np.mean([vectors[word] for word in each.words], axis=0) for each in found])
    return View(
        values.astype(np.float32),
        "class",
        notes=(*notes, *told(source.classes, found)),
        hashes={file.name: digest},
    )


def aliased(name: str, aliases: Mapping[str, str]) -> tuple[str, ...]:
    """The pieces of a name, those that have an alias replaced by its pieces."""
    other = {key.lower(): pieces(value) for key, value in aliases.items()}
    return tuple(part for piece in pieces(name) for part in other.get(piece.lower(), (piece,)))


def check_aliases(aliases: Mapping[str, str], classes: Sequence[str]) -> None:
    """Raise MmalignError for an alias of a word that is nowhere, or that has no word itself."""
    there = {piece.lower() for name in classes for piece in pieces(name)}
    for word, other in aliases.items():
        if word.lower() not in there:
            near = did_you_mean(word, there) if len(there) < 10_000 else ""
            raise MmalignError(
                f"modality 'word2vec': no class's name has '{word}' (aliases); {near}"
            )
        if not pieces(other):
            raise MmalignError(f"modality 'word2vec': the alias of '{word}' has no word: '{other}'")


def needed(names: Sequence[Sequence[str]]) -> set[str]:
    """Every word that may be looked up, so that nothing else need be read."""
    words = {word for name in names for piece in name for each in readings(piece) for word in each}
    cut = {half for word in words for pair in halves(word) for half in pair}
    return {spelt for word in words for spelt in spellings(word)} | cut


def look_up(name: Sequence[str], vectors: Mapping[str, Floats], compounds: bool) -> Found:
    """The first reading of each piece that is known throughout; else its parts, where known."""
    words: list[str] = []
    unknown: list[str] = []
    cut: list[str] = []
    for piece in name:
        ways = [[known(word, vectors) for word in each] for each in readings(piece)]
        whole = next((way for way in ways if None not in way), None)
        if whole is not None:
            words += [word for word in whole if word is not None]
            continue
        for part, spelt in zip(readings(piece)[-1], ways[-1], strict=True):
            pair = compound(part, vectors) if spelt is None and compounds else None
            if spelt is not None:
                words.append(spelt)
            elif pair is not None:
                words += pair
                cut.append(f"{part} as {' '.join(pair)}")
            else:
                unknown.append(part)
    return Found(tuple(words), tuple(unknown), tuple(cut))


def known(word: str, vectors: Mapping[str, Floats]) -> str | None:
    """The first spelling of a word that has a vector."""
    return next((spelt for spelt in spellings(word) if spelt in vectors), None)


def compound(word: str, vectors: Mapping[str, Floats]) -> tuple[str, str] | None:
    """The most even cut of a word into two that have a vector."""
    return next((pair for pair in halves(word) if pair[0] in vectors and pair[1] in vectors), None)


def nothing_known(
    file: Path,
    classes: Sequence[str],
    names: Sequence[Sequence[str]],
    vectors: Mapping[str, Floats],
) -> MmalignError:
    """The error that these classes have no word with a vector, and what to do."""
    tried = []
    for label, name in zip(classes, names, strict=True):
        words = dict.fromkeys(word for piece in name for way in readings(piece) for word in way)
        tried.append(f"'{label}' (tried {', '.join(words) or 'nothing'})")
    parts = [part for name in names for piece in name for part in readings(piece)[-1]]
    pairs = {part: compound(part, vectors) for part in parts}
    cuttable = [f"{part} as {' '.join(pair)}" for part, pair in pairs.items() if pair]
    hint = f"; compounds = true would read {listed(cuttable)}" if cuttable else ""
    example = (
        f'aliases = {{ {parts[0].lower()} = "..." }}' if parts else "another name of the class"
    )
    return MmalignError(
        f"{file}: no word of {len(classes)} classes has a vector: {listed(tried, 10)}; give other"
        f" words for them, as in {example}{hint}"
    )


def told(classes: Sequence[str], found: Sequence[Found]) -> tuple[str, ...]:
    """What a report must say of words without a vector and of words cut in two."""
    unknown = [f"{w} ({c})" for c, each in zip(classes, found, strict=True) for w in each.unknown]
    cut = sorted({each for one in found for each in one.cut})
    total = sum(len(each.words) + len(each.unknown) for each in found)
    notes = []
    if unknown:
        notes.append(f"{len(unknown)} of {total} words have no vector: {listed(unknown)}")
    if cut:
        notes.append(f"{len(cut)} words were cut in two: {listed(cut)}")
    return tuple(notes)


def listed(names: Sequence[str], most: int = NAMED) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
