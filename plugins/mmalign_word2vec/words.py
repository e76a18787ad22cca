"""A class's name as words, and the ways in which a word may be spelt in a file."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

# Letters, held together by hyphens and apostrophes; or a number.
PIECE = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*|\d+")
APOSTROPHE = "\N{RIGHT SINGLE QUOTATION MARK}"


def pieces(name: str) -> tuple[str, ...]:
    """What stands between a name's spaces, underscores, digits and other signs.

    Numbers count only in a name without letters: "001.Red_winged_Blackbird" is three
    words, "747-400" two.
    """
    found = PIECE.findall(unicodedata.normalize("NFC", name).replace(APOSTROPHE, "'"))
    lettered = [piece for piece in found if not piece.isdigit()]
    return tuple(lettered or found)


def readings(piece: str) -> tuple[tuple[str, ...], ...]:
    """The words that a piece may be, from the whole to its parts.

    "Lean-to" is "Lean-to", "Leanto", or "Lean" and "to"; "TennisCourt" is itself, or
    "Tennis" and "Court"; "Brewer's" is itself, "Brewers", or "Brewer".
    """
    bare = re.sub(r"'[sS]?$", "", piece).replace("'", "")
    parts = tuple(part for each in bare.split("-") for part in humps(each))
    made = [(piece,), (re.sub("['-]", "", piece),), (bare,), (bare.replace("-", ""),), parts]
    return tuple(dict.fromkeys(each for each in made if all(each)))


def humps(word: str) -> Iterator[str]:
    """The parts of CamelCase; a run of capitals stays together."""
    start = 0
    for at in range(1, len(word)):
        after_lower = word[at - 1].islower()
        before_lower = at + 1 < len(word) and word[at + 1].islower()
        if word[at].isupper() and (after_lower or before_lower):
            yield word[start:at]
            start = at
    yield word[start:]


def spellings(word: str) -> tuple[str, ...]:
    """How a file may spell a word: as it is, lower case, capitalised; then without accents."""
    cases = (word, word.lower(), word.capitalize())
    return tuple(dict.fromkeys([*cases, *(folded for each in cases if (folded := fold(each)))]))


def fold(word: str) -> str:
    """The word in ASCII, accents taken off; "" where nothing is left."""
    decomposed = unicodedata.normalize("NFKD", word)
    return decomposed.encode("ascii", "ignore").decode()


def halves(word: str) -> list[tuple[str, str]]:
    """Every way to cut a word in two, of two letters at least; the most even cut first."""
    cuts = sorted(range(2, len(word) - 1), key=lambda cut: -min(cut, len(word) - cut))
    return [(word[:cut].lower(), word[cut:].lower()) for cut in cuts]
