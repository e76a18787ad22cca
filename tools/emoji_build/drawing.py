"""Icons as pictures: SVG from iconify's JSON, rendered on white with a margin."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from emoji_build.naming import Names, chosen, names_of, wanted

# In the order in which a copy counts as one: what comes later is left out.
SETS = ("noto", "noto-v1", "fxemoji", "fluent-emoji", "fluent-emoji-flat", "twemoji", "emojione")
# The backbone looks at the middle 7/8 of a picture: with this margin at the whole drawing.
MARGIN = 0.08
SIDE = 256
LEAST = 4  # drawings of a class


def svg(icons: Mapping[str, Any], name: str) -> str:
    """One icon as a document of its own, with a margin around it."""
    alias = icons.get("aliases", {}).get(name, {})
    icon = icons["icons"][alias.get("parent", name)]
    left, top = icon.get("left", 0), icon.get("top", 0)
    width = icon.get("width", icons.get("width", 16))
    height = icon.get("height", icons.get("height", 16))
    body = icon["body"]
    if alias.get("hFlip"):
        body = f'<g transform="translate({2 * left + width} 0) scale(-1 1)">{body}</g>'
    if alias.get("vFlip"):
        body = f'<g transform="translate(0 {2 * top + height}) scale(1 -1)">{body}</g>'
    side = max(width, height) * (1 + 2 * MARGIN)
    box = (left + (width - side) / 2, top + (height - side) / 2, side, side)
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
        f' width="{SIDE}" height="{SIDE}" viewBox="{" ".join(f"{each:g}" for each in box)}">'
        f"{body}</svg>"
    )


def render(document: str) -> bytes:
    """A PNG on white. Needs resvg_py, which renders alike on every machine."""
    from resvg_py import svg_to_bytes

    png = svg_to_bytes(
        svg_string=document, width=SIDE, height=SIDE, background="white", skip_system_fonts=True
    )
    return bytes(png)


def read(path: Path) -> Any:
    """A JSON file; {} where a package has none of that name."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def emoji(packages: Path) -> dict[str, Mapping[str, Any]]:
    """Emojibase's entries that become classes, by bare hexcode."""
    return wanted(read(packages / "emojibase-data" / "en" / "data.json"))


def icon_sets(packages: Path) -> dict[str, tuple[Any, Any]]:
    """Each set's icons.json and chars.json, in the order of SETS."""
    folders = {name: packages / "@iconify-json" / name for name in SETS}
    return {n: (read(at / "icons.json"), read(at / "chars.json")) for n, at in folders.items()}


def draw(packages: Path, pictures: Path) -> dict[str, int]:
    """Write pictures/SET/HEXCODE.png for every drawing that counts; says how many there are.

    Two drawings of a set that are the same picture tell nothing of their classes, and of two
    of a class one is enough.
    """
    entries, sets = emoji(packages), icon_sets(packages)
    unicode_names = read(packages / "emojibase-data" / "meta" / "unicode-names.json")
    names = names_of(entries, unicode_names, sets.values())
    labels = {code: entry["label"] for code, entry in entries.items()}
    made = {name: dict(drawings(icons, names, labels)) for name, (icons, _) in sets.items()}
    counts, kept = {"mapped": sum(map(len, made.values()))}, distinct(made)
    counts["distinct"] = sum(map(len, kept.values()))
    several = Counter(code for of_set in kept.values() for code in of_set)
    for name, of_set in kept.items():
        (pictures / name).mkdir(parents=True, exist_ok=True)
        for code, png in of_set.items():
            if several[code] >= LEAST:
                (pictures / name / f"{code}.png").write_bytes(png)
    enough = [count for count in several.values() if count >= LEAST]
    return counts | {"classes": len(enough), "drawings": sum(enough)}


def drawings(
    icons: Mapping[str, Any], names: Names, labels: Mapping[str, str]
) -> Iterator[tuple[str, bytes]]:
    """Each emoji that a set draws, by bare hexcode, with its picture."""
    for code, name in chosen(icons, names, labels).items():
        yield code, render(svg(icons, name))


def distinct(made: Mapping[str, Mapping[str, bytes]]) -> dict[str, dict[str, bytes]]:
    """The drawings without those that another class of the set, or an earlier set, has too."""
    kept: dict[str, dict[str, bytes]] = {}
    there: set[tuple[str, bytes]] = set()
    for name, of_set in made.items():
        digests = {code: hashlib.sha256(png).digest() for code, png in of_set.items()}
        times = Counter(digests.values())
        kept[name] = {
            code: of_set[code]
            for code, digest in digests.items()
            if times[digest] == 1 and (code, digest) not in there
        }
        there |= set(digests.items())
    return kept
