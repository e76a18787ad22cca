"""Reads the MATLAB files of a data set and checks all that it takes from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmalign import AbsentError, Indices, MmalignError, Source, Splits, View
from mmalign_xlsa17.matfile import MatFile

if TYPE_CHECKING:
    from mmalign_xlsa17.datasets import Xlsa17

ORIGIN = (
    'the "proposed splits" of Xian et al., "Zero-Shot Learning - A Comprehensive Evaluation of the'
    ' Good, the Bad and the Ugly"'
)
LOCATIONS = ("trainval_loc", "test_seen_loc", "test_unseen_loc")


def read(settings: Xlsa17) -> Source:
    """The data set as a Source; notes tell what is unusual. Raises MmalignError."""
    image_path, split_path = _find(settings)
    keys = [*LOCATIONS, "att", "original_att", "allclasses_names", "train_loc", "val_loc"]
    image = MatFile.read(image_path, ["features", "labels", "image_files"])
    split = MatFile.read(split_path, keys)

    attributes = split.matrix("att")
    notes: list[str] = []
    classes = _class_names(split, len(attributes), notes)
    features = image.matrix("features")
    labels = image.indices("labels", len(classes), "classes")
    if len(labels) != len(features):
        raise image.error(
            "labels", f"has {len(labels)} entries, but 'features' has {len(features)} columns"
        )
    splits = _splits(split, labels, notes)
    arrays = {"image": View(features, "sample")}
    arrays |= {name: View(attributes, "class") for name in settings.att_names}
    if "original_att" in split.values:
        arrays["original_attributes"] = _by_class(split, "original_att", classes)
    sentences = _sentences(split_path.parent / f"{settings.sentences}.mat", split, classes, notes)
    if sentences is not None:
        arrays["sentences"] = _by_class(sentences, "att", classes)
    notes += _counted(settings, classes, labels, splits)
    files = [image, split, *([sentences] if sentences else [])]
    return Source(
        name=settings.name,
        classes=classes,
        labels=labels,
        arrays=arrays,
        splits=splits,
        hashes={f"{settings.folder}/{file.path.name}": file.digest for file in files},
        notes=tuple(notes),
        samples=_sample_names(image, len(labels)),
    )


def _find(settings: Xlsa17) -> tuple[Path, Path]:
    """The files of features and of splits, which must be there."""
    names = (f"{settings.features}.mat", f"{settings.splits}.mat")
    try:
        folder = settings.root.expanduser().resolve() / settings.folder
        missing = [name for name in names if not (folder / name).is_file()]
        if not missing:
            return folder / names[0], folder / names[1]
        others = sorted(path.stem for path in folder.glob("*.mat"))
    # RuntimeError: "~someone" without a home, or links in a circle.
    except (OSError, RuntimeError, ValueError) as error:
        raise MmalignError(
            f"data set '{settings.name}': dataset.root '{settings.root}' cannot be looked into:"
            f" {error}"
        ) from None
    message = (
        f"data set '{settings.name}': no {' and no '.join(missing)} in {folder}. It holds"
        f" {names[0]} (features, labels) and {names[1]} (attributes, splits) of {ORIGIN}:"
        f" `mmalign data fetch {settings.name}` gets them from {settings.published.url}; or set"
        f" dataset.root to the folder that holds {settings.folder}/"
    )
    # Files such as sent_splits.mat hold other side information, and no features.
    others = [stem for stem in others if stem != settings.splits and not stem.endswith("_splits")]
    if missing == [names[0]] and others:
        message += f", or dataset.features to one that is there: {', '.join(others)}"
    raise AbsentError(f"{message}. A recipe that runs right now: mmalign run quickstart")


def _class_names(split: MatFile, count: int, notes: list[str]) -> tuple[str, ...]:
    """The names, in the order of the attributes' columns."""
    if "allclasses_names" not in split.values:
        notes.append(f"{split.path.name} has no 'allclasses_names'; classes are numbered")
        return tuple(f"class {place + 1}" for place in range(count))
    names = split.texts("allclasses_names", "class")
    if len(names) != count:
        raise split.error("allclasses_names", f"has {len(names)} names, but 'att' {count} columns")
    twice = sorted(name for name, times in Counter(names).items() if times > 1)
    if twice:
        raise split.error("allclasses_names", f"holds '{twice[0]}' twice")
    return names


def _by_class(file: MatFile, key: str, classes: tuple[str, ...]) -> View:
    """A matrix with one column a class."""
    values = file.matrix(key)
    if len(values) != len(classes):
        raise file.error(key, f"has {len(values)} columns for {len(classes)} classes")
    return View(values, "class")


def _sentences(
    path: Path, split: MatFile, classes: tuple[str, ...], notes: list[str]
) -> MatFile | None:
    """The file of sentence embeddings, if it is there; its names must be the classes."""
    if not path.is_file():
        return None
    file = MatFile.read(path, ["att", "allclasses_names"])
    both = "allclasses_names" in file.values and "allclasses_names" in split.values
    if not both:
        notes.append(f"{path.name}: classes taken in the order of {split.path.name}, unnamed")
        return file
    names = file.texts("allclasses_names", "class")
    for place, (name, known) in enumerate(zip(names, classes, strict=False)):
        if name != known:
            raise file.error(
                "allclasses_names",
                f"has '{name}' in place {place + 1}, where {split.path.name} has '{known}'",
            )
    if len(names) != len(classes):
        raise file.error("allclasses_names", f"has {len(names)} names for {len(classes)} classes")
    return file


def _sample_names(image: MatFile, count: int) -> tuple[str, ...]:
    """The pictures' files, if the file of features has them."""
    if "image_files" not in image.values:
        return ()
    names = image.texts("image_files", "sample")
    if len(names) != count:
        raise image.error("image_files", f"has {len(names)} names for {count} samples")
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise image.error("image_files", f"holds '{twice[0]}' twice")
    return names


def _splits(split: MatFile, labels: Indices, notes: list[str]) -> Splits:
    """The three splits, which must be apart; unseen classes must not occur in training."""
    rows = {key: split.indices(key, len(labels), "samples") for key in LOCATIONS}
    for place, key in enumerate(LOCATIONS):
        if len(np.unique(rows[key])) != len(rows[key]):
            raise split.error(key, "holds a sample twice")
        for other in LOCATIONS[:place]:
            both = np.intersect1d(rows[key], rows[other])
            if len(both):
                raise split.error(
                    key, f"shares {len(both)} samples with '{other}', the first is {both[0] + 1}"
                )
    train, seen, unseen = (np.unique(labels[rows[key]]) for key in LOCATIONS)
    leaked = np.intersect1d(train, unseen)
    if len(leaked):
        raise split.error(
            "test_unseen_loc",
            f"holds {len(leaked)} classes that 'trainval_loc' trains on, the first is number"
            f" {leaked[0] + 1}",
        )
    strange = np.setdiff1d(seen, train)
    if len(strange):
        raise split.error(
            "test_seen_loc",
            f"holds {len(strange)} classes without a training sample, the first is number"
            f" {strange[0] + 1}",
        )
    return Splits(
        train=rows["trainval_loc"],
        test_seen=rows["test_seen_loc"],
        test_unseen=rows["test_unseen_loc"],
        validation_classes=_validation_classes(split, labels, rows, notes),
    )


def _validation_classes(
    split: MatFile, labels: Indices, rows: Mapping[str, Indices], notes: list[str]
) -> Indices | None:
    """The trained classes among those of 'val_loc'.

    Only the classes are taken from it: its rows, like those of 'train_loc', are partly the
    benchmark's test rows of seen classes.
    """
    if "val_loc" not in split.values:
        notes.append(
            f"{split.path.name} has no 'val_loc'; the validation protocol draws its classes"
        )
        return None
    trained = np.unique(labels[rows["trainval_loc"]])
    named = np.unique(labels[split.indices("val_loc", len(labels), "samples")])
    classes: Indices = np.intersect1d(named, trained)
    if len(classes) in (0, len(trained)):
        raise split.error("val_loc", "leaves no class to train on, or none to validate")
    if len(named) > len(classes):
        notes.append(
            f"'val_loc' of {split.path.name} holds {len(named) - len(classes)} classes without a"
            " training sample; they are no validation classes"
        )
    if "train_loc" in split.values:
        both = np.intersect1d(classes, labels[split.indices("train_loc", len(labels), "samples")])
        # No error: mmalign cuts the validation split by class, and reads no row of 'train_loc'.
        if len(both):
            notes.append(
                f"'val_loc' of {split.path.name} shares {len(both)} classes with 'train_loc';"
                " all of their samples validate, and none trains"
            )
    return classes


def _counted(
    settings: Xlsa17, classes: tuple[str, ...], labels: Indices, splits: Splits
) -> list[str]:
    """Where the counts are not those of the public data set."""
    found = {
        "classes": len(classes),
        "seen classes": len(np.unique(labels[splits.train])),
        "unseen classes": len(np.unique(labels[splits.test_unseen])),
        "training samples": len(splits.train),
        "test samples of seen classes": len(splits.test_seen),
        "test samples of unseen classes": len(splits.test_unseen),
    }
    return [
        f"data set '{settings.name}' has {found[what]} {what}; the public one has {known}"
        for what, known in settings.counts.items()
        if found[what] != known
    ]


def differences(settings: Xlsa17) -> tuple[str, ...]:
    """Where counts and widths are not those of the public data set."""
    source = read(settings)
    widths = [
        f"data set '{settings.name}' has {source.arrays[name].dim} numbers a row in '{name}'; the"
        f" public one has {known}"
        for name, known in settings.dims.items()
        if source.arrays[name].dim != known
    ]
    return (*_counted(settings, source.classes, source.labels, source.splits), *widths)
