"""Reads the two MATLAB files of a data set and checks all that it takes from them."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from mmalign import Floats, Indices, MmalignError, Source, Splits, View, did_you_mean

if TYPE_CHECKING:
    from mmalign_xlsa17.datasets import Xlsa17

ORIGIN = "http://datasets.d2.mpi-inf.mpg.de/xian/xlsa17.zip"
LOCATIONS = ("trainval_loc", "test_seen_loc", "test_unseen_loc")


@dataclass(frozen=True)
class MatFile:
    """The wanted keys of a MATLAB file; every getter raises MmalignError, naming file and key."""

    path: Path
    values: Mapping[str, Any]
    digest: str

    def error(self, key: str, wrong: str) -> MmalignError:
        """The error that this key is wrong."""
        return MmalignError(f"{self.path}: '{key}' {wrong}")

    def get(self, key: str) -> np.ndarray:
        """The array of this key, which must be there and not be empty."""
        if key not in self.values:
            hint = did_you_mean(key, [k for k in self.values if not k.startswith("__")])
            raise self.error(key, f"is missing; {hint}")
        value = np.asarray(self.values[key])
        if value.size == 0:
            raise self.error(key, "is empty")
        return value

    def matrix(self, key: str) -> Floats:
        """A real matrix, transposed to one row a column of the file, float32."""
        value = self.get(key)
        if value.dtype.kind not in "fiub" or value.ndim != 2:
            raise self.error(key, f"is {value.dtype} {value.shape}, not a matrix of real numbers")
        wrong = ~np.isfinite(value)
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            raise self.error(
                key,
                f"holds {int(wrong.sum())} NaN or infinite numbers, the first in row {row + 1},"
                f" column {column + 1}",
            )
        # A float64 beyond float32's range becomes infinite, which View refuses.
        with np.errstate(over="ignore"):
            matrix: Floats = np.ascontiguousarray(value.T, dtype=np.float32)
        if not np.isfinite(matrix).all():
            raise self.error(key, "holds numbers beyond the range of float32")
        return matrix

    def indices(self, key: str, top: int, of: str) -> Indices:
        """Whole numbers from 1 to ``top``, as indices from 0."""
        value = self.get(key).ravel()
        if value.dtype.kind not in "fiu" or not np.equal(np.mod(value, 1), 0).all():
            raise self.error(key, "holds something other than whole numbers")
        if value.min() < 1 or value.max() > top:
            raise self.error(
                key,
                f"reaches from {int(value.min())} to {int(value.max())}, but there are {top} {of}"
                " (counted from 1)",
            )
        return value.astype(np.int64) - 1


def read(settings: Xlsa17) -> Source:
    """The data set as a Source; notes tell what is unusual. Raises MmalignError."""
    folder = settings.root.expanduser().absolute() / settings.folder
    names = (f"{settings.features}.mat", f"{settings.splits}.mat")
    _check_present(settings, folder, names)
    keys = [*LOCATIONS, "att", "original_att", "allclasses_names", "train_loc", "val_loc"]
    image = _open(folder / names[0], ["features", "labels"])
    split = _open(folder / names[1], keys)

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
    arrays = {"image": View(features, "sample"), "attributes": View(attributes, "class")}
    if "original_att" in split.values:
        original = split.matrix("original_att")
        if len(original) != len(classes):
            raise split.error(
                "original_att", f"has {len(original)} columns for {len(classes)} classes"
            )
        arrays["original_attributes"] = View(original, "class")
    notes += _differences(settings, classes, labels, splits)
    return Source(
        name=settings.name,
        classes=classes,
        labels=labels,
        arrays=arrays,
        splits=splits,
        hashes={f"{settings.folder}/{file.path.name}": file.digest for file in (image, split)},
        notes=tuple(notes),
    )


def _check_present(settings: Xlsa17, folder: Path, names: tuple[str, str]) -> None:
    missing = [name for name in names if not (folder / name).is_file()]
    if not missing:
        return
    message = (
        f"data set '{settings.name}': no {' and no '.join(missing)} in {folder}. It holds"
        f" {names[0]} (features, labels) and {names[1]} (attributes, splits) of the proposed"
        f" splits by Xian et al., published at {ORIGIN}; set dataset.root to the folder that"
        f" holds {settings.folder}/"
    )
    others = sorted(path.stem for path in folder.glob("*.mat") if path.stem != settings.splits)
    if missing == [names[0]] and others:
        message += f", or dataset.features to one that is there: {', '.join(others)}"
    raise MmalignError(f"{message}. A recipe that runs right now: mmalign run quickstart")


def _open(path: Path, keys: list[str]) -> MatFile:
    """Read these keys. scipy reads numbers, texts and cells, and unpickles nothing."""
    try:
        content = path.read_bytes()
        with warnings.catch_warnings():
            # scipy warns of doubled variables; what matters is checked key by key.
            warnings.simplefilter("ignore")
            values = loadmat(path, variable_names=keys)
    except NotImplementedError:
        raise MmalignError(
            f"{path}: a MATLAB v7.3 (HDF5) file; save it again in MATLAB with the option '-v7'"
        ) from None
    except OSError as error:
        raise MmalignError(f"{path}: cannot be read: {error.strerror or error}") from None
    # A damaged file makes scipy raise nearly anything; none of it is a bug of ours.
    except (MatReadError, MemoryError, Exception) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise MmalignError(f"{path}: damaged, or no MATLAB file: {said}") from None
    return MatFile(path, values, hashlib.sha256(content).hexdigest())


def _class_names(split: MatFile, count: int, notes: list[str]) -> tuple[str, ...]:
    """The names, in the order of the attributes' columns."""
    if "allclasses_names" not in split.values:
        notes.append(f"{split.path.name} has no 'allclasses_names'; classes are numbered")
        return tuple(f"class {place + 1}" for place in range(count))
    names = []
    for cell in split.get("allclasses_names").ravel():
        text = np.asarray(cell).ravel()
        if text.size != 1 or text.dtype.kind != "U":
            raise split.error("allclasses_names", "holds something other than one text a class")
        names.append(str(text[0]).strip())
    if len(names) != count:
        raise split.error("allclasses_names", f"has {len(names)} names, but 'att' {count} columns")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise split.error("allclasses_names", f"holds '{twice[0]}' twice")
    return tuple(names)


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
    """The classes of 'val_loc'; only training samples are looked at."""
    if "val_loc" not in split.values:
        notes.append(
            f"{split.path.name} has no 'val_loc'; the validation protocol draws its classes"
        )
        return None
    trained = rows["trainval_loc"]
    held = np.intersect1d(split.indices("val_loc", len(labels), "samples"), trained)
    classes: Indices = np.unique(labels[held])
    if len(classes) in (0, len(np.unique(labels[trained]))):
        raise split.error("val_loc", "leaves no class to train on, or none to validate")
    return classes


def _differences(
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
