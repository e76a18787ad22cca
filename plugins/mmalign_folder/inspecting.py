"""Says what a folder holds, what is wrong with it, and what would be made of it."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from mmalign import Classes, Inspection, MmalignError, Source, Stored
from mmalign_folder.arrays import Array
from mmalign_folder.reading import Look, look_through
from mmalign_folder.samples import Samples
from mmalign_folder.suggesting import quoted, recipe

if TYPE_CHECKING:
    from mmalign_folder.dataset import Folder


def inspect(settings: Folder) -> Inspection:
    """Look through the folder, whatever is wrong with it."""
    try:
        look = look_through(settings)
    except MmalignError as error:
        return Inspection((), (str(error),))
    found = [(array.name, _array(array)) for array in look.arrays]
    if look.samples is not None and look.samples.lines:
        found.append((look.samples.file, _samples(look.samples)))
    if look.classes is not None:
        found.append((settings.classes, _classes(look.classes)))
    return Inspection(
        found=tuple(found),
        problems=tuple(look.problems.lines),
        plan=(*look.plan, *_asides(settings, look)) if look.source else (),
        source=look.source,
        recipe=_recipe(settings, look.source) if look.source else "",
    )


def _array(array: Array) -> str:
    rows, dim = array.values.shape
    lacking = int((~array.mask).sum())
    said = f"{rows:,} rows of {dim:,} numbers ({array.kind})"
    said += ", which stay on disk" if isinstance(array.values, Stored) else ""
    said += ", with the names of their samples" if array.names else ""
    return said + (f"; {lacking:,} rows are NaN: none there" if lacking else "")


def _samples(samples: Samples) -> str:
    counts = np.unique(np.array(samples.classes), return_counts=True)[1]
    low, high = counts.min(), counts.max()
    each = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    said = f"{len(samples.classes):,} samples of {len(counts):,} classes, {each} of each"
    if samples.splits:
        parts = (f"{samples.splits.count(word):,} {word}" for word in ("train", "test"))
        said += f"; split: {', '.join(parts)}"
    return said


def _classes(classes: Classes) -> str:
    parts = [f"{len(classes.names):,} classes"]
    if classes.attributes is not None:
        view = classes.attributes
        parts.append(f"{view.dim} attributes of {int(view.mask.sum()):,}")
    for name, texts in classes.texts.items():
        parts.append(f"{name} of {sum(bool(row) for row in texts.values):,}")
    words = classes.words.get("split", ())
    said = [f"{words.count(word):,} {word}" for word in dict.fromkeys(words) if word]
    return ", ".join(parts) + (f"; split: {', '.join(said)}" if said else "")


def _asides(settings: Folder, look: Look) -> tuple[str, ...]:
    """What is no mistake, but may be none of the user's intentions either."""
    said = []
    if look.classes is None:
        said.append(f"there is no {settings.classes}: classes are known by their names alone")
    if look.samples is not None and look.samples.unused:
        said.append(f"columns of {look.samples.file} not read: {', '.join(look.samples.unused)}")
    assert look.source is not None, "asides are of what can be read"
    if len(look.source.splits.test_unseen) == 0:
        said.append("no unseen class has samples, so that nothing measures how they are recognised")
    if len(look.source.splits.test_seen) == 0:
        said.append("no sample of a seen class is asked")
    for array in look.arrays:
        more = len(array.values) - len(look.source.labels) if array.names else 0
        if more > 0:
            said.append(f"{array.name} has {more:,} rows of no sample; they are not read")
    return tuple(said)


def _recipe(settings: Folder, source: Source) -> str:
    arrays = source.arrays.items()
    usual = type(settings)(root=settings.root)
    given = {field.name: getattr(settings, field.name) for field in fields(usual)}
    lines = [f"root = {quoted(str(settings.root))}"]
    lines += [
        f"{name} = {quoted(value)}"
        for name, value in given.items()
        if value != getattr(usual, name)
    ]
    rows = len(source.splits.train)
    return recipe(
        lines,
        [name for name, view in arrays if view.level == "sample"],
        [name for name, view in arrays if view.level == "class"],
        [name for name, texts in source.texts.items() if any(texts.values)],
        batch=16 if rows < 500 else 32 if rows < 2000 else 64,
    )
