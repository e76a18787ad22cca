"""What passes from room to room: Source, View, Problem, Gaussian; and the axes' names.

The axes of every array in mmalign are called ``rows samples classes latent dim shots
runs``. ``samples`` counts what the data set holds, ``rows`` any selection of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from mmalign.errors import MmalignError

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float
    from torch import Tensor

    from mmalign.arrays import Floats, Indices, Mask
    from mmalign.checkpoints import Checkpoints
    from mmalign.group import Group
    from mmalign.stored import Stored

Level: TypeAlias = Literal["sample", "class"]


def _all_there() -> Mask:
    """A mask that is to be made in the length of the view; here, since numpy takes a while."""
    import numpy as np

    return np.ones(0, dtype=np.bool_)


@dataclass(frozen=True)
class View:
    """Numbers of one modality, and which rows have them.

    ``values`` is (rows, dim) float32: an array, or ``Stored`` rows, which stay in their file
    and are read when they are asked for; ``values[rows]`` gives an array either way, and
    ``array`` all of them. At level "sample" a row is a sample, at level "class" it is a class;
    class-level views are expanded by label inside a batch and are never copied to sample size.
    A row whose ``mask`` is False has no such modality, and its values are never read. ``notes``
    are what a report must say of where the numbers come from, ``hashes`` the SHA-256 of each
    file that the modality itself read. ``backbone`` is the frozen network that the numbers are
    features of, as a table: ``use``, its name, and its fields; a model keeps it, so as to take
    pictures. Raises MmalignError for shapes that disagree and for numbers that are not finite
    in a row that the mask says is there; of stored rows that is found when they are read.
    """

    values: Floats | Stored
    level: Level
    mask: Mask = field(default_factory=_all_there)
    notes: tuple[str, ...] = ()
    hashes: Mapping[str, str] = field(default_factory=dict)
    backbone: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        import numpy as np

        from mmalign.stored import Stored

        if not isinstance(self.values, (np.ndarray, Stored)):
            kind = type(self.values).__name__
            raise MmalignError(f"a view's values are a numpy array or Stored rows, not {kind}")
        if not isinstance(self.mask, np.ndarray) or (
            self.mask.size and self.mask.dtype != np.bool_
        ):
            kind = getattr(self.mask, "dtype", type(self.mask).__name__)
            raise MmalignError(f"a view's mask is an array of bool, not {kind}")
        if self.values.ndim != 2:
            raise MmalignError(f"a view has two axes, rows and dim; this has {self.values.shape}")
        if self.mask.size == 0 and len(self.values) > 0:
            object.__setattr__(self, "mask", np.ones(len(self.values), dtype=np.bool_))
        if self.mask.shape != self.values.shape[:1]:
            raise MmalignError(
                f"a view of {len(self.values)} rows has a mask of shape {self.mask.shape}"
            )
        if isinstance(self.values, Stored):
            return
        wrong = ~np.isfinite(self.values).all(axis=1) & self.mask
        if wrong.any():
            raise MmalignError(
                f"row {int(np.argmax(wrong))} of a view holds NaN or infinity"
                f" ({int(wrong.sum())} such rows in all); mask them out, or mend the numbers"
            )

    @property
    def dim(self) -> int:
        """How many numbers a row has."""
        return int(self.values.shape[1])

    @property
    def array(self) -> Floats:
        """All numbers in memory, (rows, dim).

        Raises MmalignError for stored rows that would fill more than half of what is at hand.
        """
        import numpy as np

        values: Floats = np.asarray(self.values)
        return values

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: Indices) -> View:
        """The same view of these rows only; of stored ones none is read."""
        from mmalign.stored import Stored

        values = self.values.take(rows) if isinstance(self.values, Stored) else self.values[rows]
        return replace(self, values=values, mask=self.mask[rows])


@dataclass(frozen=True)
class Texts:
    """Any number of texts for each sample or each class.

    ``values`` has one tuple a row, (rows,), empty where a row has no text.
    """

    values: tuple[tuple[str, ...], ...]
    level: Level

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class Splits:
    """Which samples train, and which are asked; indices from 0.

    ``train`` are samples of seen classes; ``test_seen`` and ``test_unseen`` are the
    questions. ``validation_classes`` are the seen classes that the validation protocol
    treats as unseen; None where the data set names none. ``unseen_classes`` are those that
    are to be recognised besides, of which there is no sample at all.
    """

    train: Indices
    test_seen: Indices
    test_unseen: Indices
    validation_classes: Indices | None = None
    unseen_classes: Indices | None = None


@dataclass(frozen=True)
class Source:
    """What a data set offers: arrays, texts, names and splits.

    ``labels`` is (samples,), an index into ``classes``. ``arrays`` are found by the name
    that a modality asks for, and so are ``texts``. ``samples`` are names of the samples, of
    which none is there twice; empty where the data set has none. ``hashes`` gives the
    SHA-256 of each file read. ``notes`` are warnings that belong into the report.
    ``backbones`` is by modality, once its views are there. Raises MmalignError where lengths
    disagree.
    """

    name: str
    classes: tuple[str, ...]
    labels: Indices
    arrays: Mapping[str, View]
    splits: Splits
    texts: Mapping[str, Texts] = field(default_factory=dict)
    hashes: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    samples: tuple[str, ...] = ()
    backbones: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        offered: dict[str, View | Texts] = {**self.texts, **self.arrays}
        for name, each in offered.items():
            rows = len(self.labels) if each.level == "sample" else len(self.classes)
            if len(each) != rows:
                raise MmalignError(
                    f"data set '{self.name}': '{name}' has {len(each)} rows for {rows}"
                    f" {'samples' if each.level == 'sample' else 'classes'}"
                )
        if self.samples and len(self.samples) != len(self.labels):
            raise MmalignError(
                f"data set '{self.name}': {len(self.samples)} names for {len(self.labels)} samples"
            )
        if len(set(self.samples)) < len(self.samples):
            twice = next(name for name, count in Counter(self.samples).items() if count > 1)
            raise MmalignError(f"data set '{self.name}': two samples are called '{twice}'")

    def with_word_of(self, views: Mapping[str, View]) -> Source:
        """The same with each view's notes, hashes and backbone, by the name of its modality."""
        notes = [f"{name}: {note}" for name, view in views.items() for note in view.notes]
        hashes = {
            f"{n}/{file}": sha for n, view in views.items() for file, sha in view.hashes.items()
        }
        backbones = {n: view.backbone for n, view in views.items() if view.backbone is not None}
        return replace(
            self,
            notes=(*self.notes, *notes),
            hashes={**self.hashes, **hashes},
            backbones=backbones,
        )


@dataclass(frozen=True)
class Signature:
    """What a fitted thing must know to be rebuilt without data: names and shapes.

    ``seen`` and ``unseen`` are indices into ``classes``; ``dims`` and ``levels`` are by
    modality.
    """

    classes: tuple[str, ...]
    seen: tuple[int, ...]
    unseen: tuple[int, ...]
    dims: Mapping[str, int]
    levels: Mapping[str, Level]


@dataclass(frozen=True)
class Shots:
    """The few samples of unseen classes that a few-shot problem gives away.

    ``count`` of each class, ``labels`` is (rows,), ``views`` are the sample-level views of
    these rows. ``draw`` says which draw they are: it alone decides, so that every method
    gets the same ones. With ``in_representation`` they are among the training rows too.
    """

    count: int
    draw: int
    labels: Indices
    views: Mapping[str, View]
    in_representation: bool = False


@dataclass(frozen=True)
class Training:
    """What may be learnt from: nothing here stems from a row that is asked.

    ``labels`` is (rows,), an index into ``classes``. Sample-level views hold the training
    rows alone, class-level views every class. ``seen`` are the classes that the data set
    trains on, ``unseen`` those known from class-level views, and from ``shots`` where the
    problem is a few-shot one.
    """

    classes: tuple[str, ...]
    labels: Indices
    views: Mapping[str, View]
    seen: Indices
    unseen: Indices
    validation_classes: Indices | None = None
    shots: Shots | None = None

    @property
    def signature(self) -> Signature:
        """Names and shapes, as a bundle keeps them."""
        return Signature(
            classes=self.classes,
            seen=tuple(self.seen.tolist()),
            unseen=tuple(self.unseen.tolist()),
            dims={name: view.dim for name, view in self.views.items()},
            levels={name: view.level for name, view in self.views.items()},
        )


@dataclass(frozen=True)
class Question:
    """What is asked: rows, and the classes that an answer may name.

    ``labels`` is (rows,), an index into the classes of the Training. ``views`` are the
    sample-level views of these rows. ``search`` are the classes to choose from.
    """

    labels: Indices
    views: Mapping[str, View]
    seen: Indices
    unseen: Indices
    search: Indices


@dataclass(frozen=True)
class Scaling:
    """An affine map fitted on training rows: ``(x - offset) * factor``, by dimension.

    ``unit`` rescales each row to Euclidean length 1 afterwards.
    """

    offset: Floats
    factor: Floats
    unit: bool = False

    def __call__(self, view: View) -> View:
        """The scaled view; a masked row becomes zeros. Stored rows are scaled as they are read."""
        if view.dim != len(self.offset):
            raise MmalignError(
                f"{view.dim} numbers a row, but the model was trained on {len(self.offset)}"
            )
        import numpy as np

        from mmalign.stored import Stored

        if isinstance(view.values, Stored):
            return View(view.values.scaled(self), view.level, view.mask)
        values = np.array(view.values)
        self.put_on(values)
        values[~view.mask] = 0
        return View(values, view.level, view.mask)

    def put_on(self, values: Floats) -> None:
        """Scale these numbers in place, (rows, dim).

        A large data set has no room for one array a step.
        """
        import numpy as np

        values -= self.offset
        values *= self.factor
        if self.unit:
            length = np.linalg.norm(values, axis=1, keepdims=True)
            values /= np.maximum(length, np.finfo(np.float32).tiny)

    def tobytes(self) -> bytes:
        """Its numbers, by which two scalings are told apart."""
        return self.offset.tobytes() + self.factor.tobytes() + bytes([self.unit])

    def undone(self, values: Floats) -> Floats:
        """The unscaled numbers of scaled ones, (rows, dim).

        What ``unit`` took, a row's length, is lost: such rows come back at length 1.
        """
        unscaled: Floats = values / self.factor + self.offset
        return unscaled


@dataclass(frozen=True)
class Problem:
    """A posed problem: what may be learnt from, what is asked, and how views were scaled.

    ``notes`` are what a report must say of it, a leak above all.
    """

    training: Training
    question: Question
    scalings: Mapping[str, Scaling]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Gaussian:
    """Diagonal Gaussians, one per row: ``mean`` and ``logvar`` are (rows, latent)."""

    mean: Float[Tensor, "rows latent"]
    logvar: Float[Tensor, "rows latent"]

    @property
    def std(self) -> Float[Tensor, "rows latent"]:
        """Standard deviations, ``exp(logvar / 2)``."""
        return (self.logvar / 2).exp()

    def __getitem__(self, rows: Tensor) -> Gaussian:
        return Gaussian(self.mean[rows], self.logvar[rows])


def _nobody(*_: Any) -> None:
    """Whom a session tells that nobody listens to; a function of a module can be pickled."""


@dataclass(frozen=True)
class Session:
    """One fit's surroundings: its seed, its device, and whom to tell of each epoch.

    ``epoch_ended(stage, epoch, epochs, terms)`` is told the mean of each loss term per
    row. ``reuse`` is a folder where fitted representations are kept and found again.
    ``oracle`` measures a fitted thing on the rows that are asked; it is there only where the
    recipe says ``select = "test-oracle"``, and the report then says so first. ``group`` are
    the processes that fit together, each of which has a session like this one.
    ``checkpoints`` is where training loops are kept (``Loop``), so that they can go on.
    """

    seed: int
    device: str = "cpu"
    epoch_ended: Callable[[str, int, int, Mapping[str, float]], None] = _nobody
    reuse: Path | None = None
    oracle: Callable[[Any], Any] | None = None
    group: Group | None = None
    checkpoints: Checkpoints | None = None

    def generator(self, name: str, device: str = "cpu") -> torch.Generator:
        """The random generator of this name: another draw moves none of its numbers."""
        import hashlib

        import torch

        digest = hashlib.sha256(f"{self.seed}/{name}".encode()).digest()
        return torch.Generator(device).manual_seed(int.from_bytes(digest[:8]) >> 1)


Facts: TypeAlias = Mapping[str, Any]
