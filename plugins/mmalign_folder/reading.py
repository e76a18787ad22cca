"""Reads a folder whole, and gathers all that is wrong with it before anything is said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmalign import (
    AbsentError,
    Classes,
    Mask,
    MmalignError,
    Problems,
    Source,
    Texts,
    View,
    did_you_mean,
    file_inside,
    read_classes,
)
from mmalign_folder.arrays import SUFFIXES, Array, digest, is_saved, read_array
from mmalign_folder.matching import views_of
from mmalign_folder.samples import Samples, read_samples
from mmalign_folder.splitting import Known, split

if TYPE_CHECKING:
    from mmalign_folder.dataset import Folder

MOST = 5  # mistakes of a kind that are said
CLASSES = "classes.csv"  # which may be missing, where it goes by no name of the user's own


@dataclass
class Look:
    """What is in a folder; ``source`` is there when nothing is wrong."""

    root: Path
    files: tuple[str, ...]
    problems: Problems = field(default_factory=Problems)
    arrays: tuple[Array, ...] = ()
    classes: Classes | None = None
    samples: Samples | None = None
    plan: tuple[str, ...] = ()
    source: Source | None = None


def load(settings: Folder) -> Source:
    """The data set as a Source. Raises MmalignError with every mistake."""
    look = look_through(settings)
    if look.source is None:
        lines = look.problems.lines
        count = "1 mistake" if len(lines) == 1 else f"{len(lines)} mistakes"
        raise MmalignError("\n  ".join([f"{look.root}: {count}", *lines]))
    return look.source


def look_through(settings: Folder) -> Look:
    """Read everything that can be read. Raises AbsentError where there is no folder."""
    root = _root(settings)
    look = Look(root, tuple(sorted(path.name for path in root.iterdir())))
    problems = look.problems
    look.arrays = _arrays(settings, look)
    look.classes = _classes(settings, look)
    others = [
        name for name in look.files if name.lower().endswith(".csv") and name != settings.classes
    ]
    known = look.classes.names if look.classes else ()
    look.samples = read_samples(root, settings.samples, look.arrays, others, known, problems)
    if look.samples is None or (look.classes is None and problems.lines):
        return look
    names = look.classes.names if look.classes else tuple(dict.fromkeys(look.samples.classes))
    _refuse_strangers(look.samples, names, settings.classes, problems)
    views = views_of(settings, look.arrays, look.samples, problems)
    if problems.lines:
        return look
    look.source, look.plan = _source(settings, look, names, views)
    return look


def _root(settings: Folder) -> Path:
    try:
        root = settings.root.expanduser().resolve()
        there, folder = root.exists(), root.is_dir()
        if folder:
            next(iter(root.iterdir()), None)
    # RuntimeError: "~someone" without a home, or links in a circle.
    except (OSError, RuntimeError, ValueError) as error:
        raise MmalignError(
            f"data set 'folder': dataset.root '{settings.root}' cannot be looked into: {error}"
        ) from None
    if not folder:
        said = "is no folder" if there else "is not there"
        raise AbsentError(
            f"data set 'folder': {root} {said}; `mmalign data new {settings.root}` writes an"
            " example into a new one"
        )
    return root


def _arrays(settings: Folder, look: Look) -> tuple[Array, ...]:
    """Every file of features that can be read."""
    names = settings.features or [
        name
        for name in look.files
        if name[0] != "."
        and name != settings.samples
        and (Path(name).suffix in SUFFIXES or is_saved(look.root / name))
    ]
    stems = Counter(Path(name).stem for name in names)
    found = []
    for name in names:
        saved = Path(name).name == name and is_saved(look.root / name)
        if Path(name).suffix not in SUFFIXES and not saved:
            look.problems.add(name, f"features are in files that end in {', '.join(SUFFIXES)}")
            continue
        if stems[Path(name).stem] > 1:
            look.problems.add(
                name, f"another file of features is called '{Path(name).stem}' too; keep one of"
                " them, or name in dataset.features those to read",
            )  # fmt: skip
        try:
            if saved and not (look.root / name).resolve().is_relative_to(look.root):
                look.problems.add(name, "a link to a folder outside, which is not read; copy it")
                continue
            path = (look.root / name) if saved else file_inside(look.root, name)
            if path is None:
                hint = "a folder, or a link to nothing" if name in look.files else "not there"
                look.problems.add(name, f"is no file of features: it is {hint}")
                continue
            found.append(read_array(path, settings.memory))
        except OSError as error:
            look.problems.add(name, f"cannot be read: {error.strerror}")
        except MmalignError as error:
            look.problems.lines.append(str(error))
    if not names:
        look.problems.add(
            "features",
            f"there is no file of them; save rows of numbers as image{SUFFIXES[0]}, or let"
            " `mmalign extract` write image.safetensors",
        )
    return tuple(found)


def _classes(settings: Folder, look: Look) -> Classes | None:
    """The file of classes; a folder without one knows its classes by their names alone."""
    if settings.classes not in look.files and settings.classes == CLASSES:
        return None
    return read_classes(
        look.root, settings.texts, look.problems, settings.classes, words=("split",)
    )


def _refuse_strangers(
    samples: Samples, names: Sequence[str], file: str, problems: Problems
) -> None:
    """Refuse samples of a class that the file of classes does not have."""
    rows: dict[str, list[int]] = {}
    known = set(names)
    for row, name in enumerate(samples.classes):
        if name not in known:
            rows.setdefault(name, []).append(row)
    # Looking for a like name takes its time, and few are said.
    problems.several([
        f"{samples.where(own[0])}: the class '{name}' ({_counted(len(own))}) is not in {file};"
        f" {_hint(name, names) if place < MOST else ''}"
        for place, (name, own) in enumerate(rows.items())
    ])  # fmt: skip


def _counted(samples: int) -> str:
    """So many samples, in words."""
    return "1 sample" if samples == 1 else f"{samples:,} samples"


def _hint(name: str, names: Sequence[str]) -> str:
    hint = did_you_mean(name, names)
    return hint if hint.startswith("did") else "add a line for it, or take the samples out"


def _source(
    settings: Folder, look: Look, names: tuple[str, ...], views: Mapping[str, View]
) -> tuple[Source | None, tuple[str, ...]]:
    samples, classes = look.samples, look.classes
    assert samples is not None, "whoever calls has looked"
    places = {name: place for place, name in enumerate(names)}
    labels = np.array([places[name] for name in samples.classes], dtype=np.int64)
    arrays, texts = dict(views), dict(classes.texts) if classes else {}
    if classes and classes.attributes is not None:
        if "attributes" in arrays:
            look.problems.add(
                f"{settings.classes}, line 1",
                "its numbers are the array 'attributes', and so is a file of features; rename it",
            )
        arrays["attributes"] = classes.attributes
    known = Known(
        file=settings.classes if classes else samples.file,
        classes=names,
        roles=classes.words.get("split", ()) if classes else (),
        lines=classes.lines if classes else (),
        described=_described(len(names), arrays, texts),
        samples=samples,
        labels=labels,
    )
    made = split(settings, known, look.problems)
    if made is None or look.problems.lines:
        return None, ()
    splits, plan = made
    hashes = {array.name: array.digest for array in look.arrays}
    for name in (settings.samples, settings.classes):
        if (look.root / name).is_file():
            hashes[name] = digest(look.root / name)
    source = Source(
        settings.name, names, labels, arrays, splits, texts, hashes, samples=samples.names
    )
    return source, plan


def _described(count: int, arrays: Mapping[str, View], texts: Mapping[str, Texts]) -> Mask:
    """Which classes anything but their name tells of."""
    found = np.zeros(count, dtype=np.bool_)
    for view in arrays.values():
        if view.level == "class":
            found |= view.mask
    for text in texts.values():
        found |= np.array([bool(row) for row in text.values])
    return found
