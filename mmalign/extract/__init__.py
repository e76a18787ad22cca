"""A folder of pictures in, one file of features out: batched, resumable, nothing twice."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import mmalign
from mmalign.asking import inside
from mmalign.component import plain
from mmalign.contracts import Backbone, Extractor
from mmalign.errors import MmalignError
from mmalign.extract.finding import Found, find_pictures
from mmalign.extract.kept import Parts, filed, wanted
from mmalign.extract.working import work
from mmalign.featurefile import FeatureFile, read_features, write_features
from mmalign.pictures import needs_pillow
from mmalign.plugins import Registry
from mmalign.progress import RunProgress
from mmalign.recipe import built

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Extraction", "Found", "chosen", "extract", "find_pictures"]

FORMAT = "1"
NAMED = 5  # pictures that a message names at most


@dataclass(frozen=True)
class Extraction:
    """What was done: the file, how many rows were there before, which pictures were left out."""

    file: FeatureFile
    reused: int
    skipped: tuple[str, ...]


def chosen(registry: Registry, name: str, settings: Sequence[str] = ()) -> Backbone:
    """The backbone of this name, with ``field=value`` settings.

    Raises RecipeError with every mistake at once.
    """
    made: Backbone = built(registry.find("backbone", name), settings, name, f"backbone {name}")
    return made


def extract(
    folder: Path,
    out: Path,
    backbone: Backbone,
    console: Console,
    *,
    batch: int = 32,
    device: str = "cpu",
    workers: int = 2,
    skip_broken: bool = False,
    force: bool = False,
) -> Extraction:
    """Write the features of every picture in a folder to one safetensors file.

    ``workers`` threads read and prepare pictures while the network works. Rows are kept
    beside the file as they come, and a process that follows one that was killed goes on
    where that one stopped. Raises MmalignError for pictures that cannot be read, after all
    others are done and kept, unless ``skip_broken`` leaves them out.
    """
    needs_pillow()
    found = find_pictures(folder)
    with inside(backbone, "extractor()"):
        extractor = backbone.extractor(device)
    about = described(backbone, extractor, device)
    there = opened(out, force)
    if there is not None:
        differs = difference(there, about, found, skip_broken)
        if not differs:
            return Extraction(there, len(there.names), skipped_in(there))
        if not force:
            raise MmalignError(
                f"{out} is there already, with features of {differs}; --force makes it anew, and"
                " keeps the rows of the same backbone and of unchanged pictures"
            )
    parts = Parts(out, about)
    rows = parts.rows(found)
    if there is not None and all(there.metadata.get(key) == about[key] for key in about):
        rows |= wanted(there, found)
    reused = len(rows)
    if parts.unread:
        console.print(f"{parts.unread} parts in {parts.folder} are not whole; made again")
    if reused:
        console.print(f"{reused} of {len(found)} pictures are there already")
    todo = [each for each in found if each not in rows]
    with RunProgress(console, "picture") as progress:
        broken = work(todo, rows, extractor, parts, progress, batch, workers)
    check_broken(broken, len(found), parts, skip_broken)
    ordered = {each: rows[each] for each in found if each in rows}
    made = filed(ordered, {**about, **extras(list(broken))})
    write_features(out, made)
    parts.remove()
    return Extraction(made, reused, skipped_in(made))


def described(backbone: Backbone, extractor: Extractor, device: str) -> dict[str, str]:
    """All that rows depend on besides their picture, as it stands in the file."""
    table = {"use": backbone.name, **plain(backbone)}
    return {
        "format": FORMAT,
        "backbone": json.dumps(table, sort_keys=True),
        "facts": json.dumps(plain(extractor.facts), sort_keys=True),
        "device": device,
    }


def extras(skipped: Sequence[Found]) -> dict[str, str]:
    """What else a file says of itself, and what may differ without any harm."""
    versions = {
        "mmalign": mmalign.__version__,
        "numpy": np.__version__,
        "pillow": version("pillow"),
    }
    return {
        "versions": json.dumps(versions),
        "skipped": json.dumps([[each.name, *each.stamp] for each in skipped]),
    }


def opened(out: Path, force: bool) -> FeatureFile | None:
    """The feature file that is there already, if any.

    Raises MmalignError for something else of this name, unless ``force`` gives it up.
    """
    if not out.exists():
        return None
    try:
        return read_features(out)
    except MmalignError as error:
        if force and out.is_file():
            return None
        raise MmalignError(f"{out} is there already, and holds no features: {error}") from None


def difference(
    there: FeatureFile, about: Mapping[str, str], found: Sequence[Found], skip_broken: bool
) -> str:
    """What a file is of that is not what was asked for; "" where it is just that."""
    others = [key for key in about if there.metadata.get(key) != about[key]]
    if others:
        return f"another {' and '.join(others)}"
    left_out = stamps_skipped(there) if skip_broken else set()
    expected = [each for each in found if (each.name, *each.stamp) not in left_out]
    same = len(wanted(there, expected))
    if same == len(expected) == len(there.names):
        return ""
    return (
        f"other pictures ({len(expected) - same} are new or changed,"
        f" {len(there.names) - same} are gone or changed)"
    )


def stamps_skipped(file: FeatureFile) -> set[tuple[str, int, int]]:
    """Name and stamp of the broken pictures that a file leaves out, if it says so."""
    try:
        return {(str(name), int(size), int(changed)) for name, size, changed in said_skipped(file)}
    except (TypeError, ValueError, OverflowError, RecursionError):  # written by other hands
        return set()


def said_skipped(file: FeatureFile) -> Any:
    """Whatever stands there."""
    return json.loads(file.metadata.get("skipped", "[]"))


def skipped_in(file: FeatureFile) -> tuple[str, ...]:
    """Their names."""
    return tuple(sorted(name for name, _, _ in stamps_skipped(file)))


def check_broken(
    broken: Mapping[Found, MmalignError], count: int, parts: Parts, skip_broken: bool
) -> None:
    """Raise MmalignError for pictures that could not be read, or where none is left."""
    if not broken or (skip_broken and len(broken) < count):
        return
    shown = [str(error) for error in broken.values()][:NAMED]
    more = [f"and {len(broken) - NAMED} more"] if len(broken) > NAMED else []
    lines = "\n  ".join([*shown, *more])
    raise MmalignError(
        f"{len(broken)} of {count} pictures cannot be read; the rows of all others are kept in"
        f" {parts.all}. Mend or remove these and run again, or leave them out by"
        f" --skip-broken:\n  {lines}"
    )
