"""What a data set must offer: labels, splits that keep apart, and hashes."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from mmalign.arrays import Indices
from mmalign.component import build
from mmalign.testing.trial import Trial, globals_kept
from mmalign.types import Source, Texts

SPLITS = ("train", "test_seen", "test_unseen")


def loads_a_source(trial: Trial) -> None:
    """``load`` gives a Source, and leaves the process as it was."""
    with globals_kept(trial, "load()"):
        source = trial.component.load()
    trial.require(
        isinstance(source, Source), f"load() must return a mmalign.Source, not {type(source)}"
    )
    trial.require(bool(source.arrays), "load() offers no array; give at least one View")


def labels_its_samples(trial: Trial) -> None:
    """Every label is the index of a class, and classes have names of their own."""
    source = trial.component.load()
    classes, labels = source.classes, source.labels
    trial.require(
        isinstance(classes, tuple) and len(set(classes)) == len(classes) > 0 and all(classes),
        "classes must be a tuple of names, none empty and none twice",
    )
    trial.require(
        labels.dtype == np.int64 and labels.ndim == 1,
        f"labels must be (samples,) int64; they are {labels.shape} {labels.dtype}",
    )
    trial.require(
        inside(labels, len(classes)), "a label is no index into classes; count them from 0"
    )


def gives_texts_in_tuples(trial: Trial) -> None:
    """A tuple of texts for each row: of a bare text, each letter would be taken for one."""
    for name, texts in trial.component.load().texts.items():
        trial.require(
            isinstance(texts, Texts)
            and all(
                isinstance(row, tuple) and all(isinstance(text, str) for text in row)
                for row in texts.values
            ),
            f"texts['{name}'] must be a mmalign.Texts with a tuple of texts for each row, empty"
            " where it has none",
        )


def keeps_its_splits_apart(trial: Trial) -> None:
    """No row is in two splits, and no unseen class has a training row."""
    source = trial.component.load()
    rows = {name: getattr(source.splits, name) for name in SPLITS}
    for name, split in rows.items():
        # Some protocols, as ImageNet's, ask of unseen classes only.
        trial.require(len(split) > 0 or name == "test_seen", f"the split '{name}' has no rows")
        trial.require(
            split.dtype == np.int64 and inside(split, len(source.labels)),
            f"the split '{name}' must hold int64 indices of samples, from 0",
        )
    together = np.concatenate(list(rows.values()))
    trial.require(
        len(np.unique(together)) == len(together), "a sample is in two splits, or in one twice"
    )
    trained = set(source.labels[rows["train"]].tolist())
    trial.require(
        not trained & set(source.labels[rows["test_unseen"]].tolist()),
        "a class of 'test_unseen' has training rows, so it is not unseen",
    )
    trial.require(
        set(source.labels[rows["test_seen"]].tolist()) <= trained,
        "a class of 'test_seen' has no training row, so it is not seen",
    )
    held_out = source.splits.validation_classes
    trial.require(
        held_out is None or set(held_out.tolist()) < trained,
        "validation_classes must be some of the training rows' classes, and not all of them",
    )


def loads_the_same_again(trial: Trial) -> None:
    """The same bits each time, and their hash, so that a report says what it is about."""
    one, other = trial.component.load(), trial.component.load()
    same = np.array_equal(one.labels, other.labels) and one.arrays.keys() == other.arrays.keys()
    same &= one.texts == other.texts and one.samples == other.samples
    for name in one.arrays if same else ():
        same &= np.array_equal(one.arrays[name].values, other.arrays[name].values, equal_nan=True)
    trial.require(same, "load() gives other data the second time; seed what it draws")
    trial.require(
        bool(one.hashes) and all(re.fullmatch("[0-9a-f]{64}", h) for h in one.hashes.values()),
        "hashes must give the SHA-256 of each file read (of the numbers, where none is)",
    )
    trial.require(one.hashes == other.hashes, "load() gives other hashes the second time")


def begins_with_a_valid_example(trial: Trial) -> None:
    """The folder that ``template`` writes has nothing wrong with it, and loads."""
    cls = type(trial.component)
    if not hasattr(cls, "template"):
        return
    with tempfile.TemporaryDirectory() as folder:
        files = cls.template(folder)
        trial.require(below(files), "template() names a file outside its folder")
        for name, content in files.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        made: Any
        made, wrong = build(cls, {"root": folder}, cls.__name__)
        trial.require(made is not None, f"it is not made from a root alone: {'; '.join(wrong)}")
        found = made.inspect()
        said = "; ".join(found.problems) or "nothing that loads"
        trial.require(
            found.source is not None and not found.problems,
            f"inspect() finds in the folder that template() writes: {said}",
        )
        made.load()


def publishes_files_below_its_root(trial: Trial) -> None:
    """An address on a web server, files that stay below the root, and a check of them."""
    published = getattr(type(trial.component), "published", None)
    if published is None:
        return
    trial.require(
        re.match("https?://[^/]", published.url) is not None,
        f"published.url is '{published.url}', where nothing can be fetched from; http(s)://...",
    )
    trial.require(
        bool(published.files) and below(published.files.values()),
        "published.files must give each wanted file a path below the root",
    )
    trial.require(
        callable(getattr(trial.component, "differences", None)),
        "what is published needs differences(), which says what of the files is not so",
    )


def below(names: Iterable[str]) -> bool:
    """Whether every name is a relative path that leads nowhere else."""
    paths = [PurePosixPath(name) for name in names]
    return all(path.name and not path.is_absolute() and ".." not in path.parts for path in paths)


def inside(indices: Indices, count: int) -> bool:
    """Whether every index is from 0 and below ``count``."""
    return bool(((indices >= 0) & (indices < count)).all())


CHECKS = (
    loads_a_source,
    labels_its_samples,
    gives_texts_in_tuples,
    keeps_its_splits_apart,
    loads_the_same_again,
    begins_with_a_valid_example,
    publishes_files_below_its_root,
)
