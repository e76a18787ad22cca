"""Which emoji an icon's name means.

Icon sets name their icons after the Unicode names of several years, or in ways of their own.
A name is looked up as the label of today, then among the names that sets with code points give
to a character, then as the Unicode name written without spaces. One that means two emoji, or
none, is left out: a wrong drawing is worse than a missing one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

COMPONENTS, FLAGS = 2, 9  # groups of emojibase
SELECTORS = {"FE0E", "FE0F"}


def bare(hexcode: str) -> str:
    """A sequence of code points without the selectors of text or picture style."""
    return "-".join(part for part in hexcode.upper().split("-") if part not in SELECTORS)


def slug(label: str) -> str:
    """A label as icon sets write it: ``o-button-blood-type``."""
    folded = unicodedata.normalize("NFKD", label).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", folded.replace("'", "")).strip("-")


def squashed(name: str) -> str:
    """A name's letters and digits alone, as Firefox OS Emoji writes it: ``bactriancamel``."""
    return slug(name).replace("-", "")


def wanted(entries: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The entries of emojibase that become classes, by bare hexcode.

    Flags, components (hair, skin) and regional indicators, which have no group, are left
    out; skin tones stand below their entry, and are never looked at.
    """
    return {
        bare(entry["hexcode"]): entry
        for entry in entries
        if entry.get("group") not in (None, COMPONENTS, FLAGS)
    }


@dataclass(frozen=True)
class Names:
    """Tables from a name to the bare hexcodes that it may mean, the surest first."""

    labels: Mapping[str, set[str]]
    of_characters: Mapping[str, set[str]] = field(default_factory=dict)
    unicode: Mapping[str, set[str]] = field(default_factory=dict)

    def meaning(self, name: str) -> str | None:
        """The one emoji that a name means, or None."""
        for found in (
            self.labels.get(name),
            self.of_characters.get(name),
            self.unicode.get(squashed(name)),
        ):
            if found:
                return next(iter(found)) if len(found) == 1 else None
        return None


def names_of(
    entries: Mapping[str, Mapping[str, Any]],
    unicode_names: Mapping[str, str],
    sets: Iterable[tuple[Mapping[str, Any], Mapping[str, str]]],
) -> Names:
    """The tables, from emojibase and from the sets' (icons.json, chars.json).

    Where a label gives the same short name as another's, neither counts.
    """
    labels: dict[str, set[str]] = {}
    of_unicode: dict[str, set[str]] = {}
    of_characters: dict[str, set[str]] = {}
    for code, entry in entries.items():
        labels.setdefault(slug(entry["label"]), set()).add(code)
    for code, name in unicode_names.items():
        if bare(code) in entries:
            of_unicode.setdefault(squashed(name), set()).add(bare(code))
    for code, entry in entries.items():  # older names have spaces where labels have hyphens
        of_unicode.setdefault(squashed(entry["label"]), set()).add(code)
    for icons, characters in sets:
        others: dict[str, list[str]] = {}
        for alias, told in icons.get("aliases", {}).items():
            if told.keys() == {"parent"}:  # one that is turned over is another drawing
                others.setdefault(told["parent"], []).append(alias)
        for code, name in characters.items():
            if bare(code) in entries:
                for each in (name, *others.get(name, ())):
                    of_characters.setdefault(each, set()).add(bare(code))
    return Names(labels, of_characters, of_unicode)


def chosen(icons: Mapping[str, Any], names: Names, labels: Mapping[str, str]) -> dict[str, str]:
    """The icon of each emoji that a set draws: bare hexcode to the icon's name.

    ``labels`` are the emoji's own. Of several icons the one that is called like the label is
    taken, else the first by name. What a set hides, as withdrawn, is left out.
    """
    found: dict[str, list[str]] = {}
    for name in sorted({*icons["icons"], *icons.get("aliases", {})}):
        code = names.meaning(name)
        if code is not None and not hidden(icons, name):
            found.setdefault(code, []).append(name)
    return {
        code: slug(labels[code]) if slug(labels[code]) in several else several[0]
        for code, several in sorted(found.items())
    }


def hidden(icons: Mapping[str, Any], name: str) -> bool:
    """Whether a set has withdrawn an icon, or the one that it is another name of."""
    alias = icons.get("aliases", {}).get(name)
    if alias is not None:
        return bool(alias.get("hidden")) or hidden(icons, alias["parent"])
    return bool(icons["icons"][name].get("hidden"))
