"""What a component is tried in: a tiny data set, tiny parts, and a guard of global state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from mmalign.component import component
from mmalign.contracts import ErrorName, Kind, Parts, ScalerName, Scorer
from mmalign.types import Level, Session, Signature, Source, Splits, Training, View

SEEN, UNSEEN, TRAINED, ASKED = (0, 1, 2, 3), (4, 5), 6, 3  # classes, and rows of each
LATENT = 4


class ConformanceError(AssertionError):
    """A component does not do what its kind must: one sentence, and what to do."""


def tiny_source(array: str | None = None, **arrays: View) -> Source:
    """A data set of 6 classes, 4 of them seen, and 48 samples.

    It has "image" (48, 5), "attributes" (6, 3), the views given, and ``array``: counts of
    one row a sample, (48, 5), where no other view has this name.
    """
    draw = np.random.default_rng(0)
    labels = np.repeat(np.arange(6), [TRAINED + ASKED] * len(SEEN) + [TRAINED] * len(UNSEEN))
    place = np.concatenate([np.arange((labels == index).sum()) for index in range(6)])
    points = draw.uniform(size=(6, 3))
    image = points[labels] @ draw.uniform(size=(3, 5)) + 0.05 * draw.normal(size=(48, 5))
    made = {
        "image": View(image.astype(np.float32), "sample"),
        "attributes": View(points.astype(np.float32), "class"),
    } | arrays
    if array is not None and array not in made:
        made[array] = View(draw.poisson(3, size=(48, 5)).astype(np.float32), "sample")
    seen = np.isin(labels, SEEN)
    return Source(
        name="tiny",
        classes=tuple(f"class {index}" for index in range(6)),
        labels=labels,
        arrays=made,
        splits=Splits(
            train=np.flatnonzero(seen & (place < TRAINED)),
            test_seen=np.flatnonzero(seen & (place >= TRAINED)),
            test_unseen=np.flatnonzero(~seen),
            validation_classes=np.array([2, 3]),
        ),
    )


@component
class Plain:
    """An array as it is, narrowly modelled: a method's parts, if none are handed in."""

    name: ClassVar[str] = "plain"
    array: str
    """Which of the data set's arrays."""
    hidden: tuple[int, int] = (6, 6)
    """Widths of the hidden layers."""
    reconstruction: ErrorName = "l1"
    """Reconstruction error."""
    scaler: ScalerName = "none"
    """Scaling."""

    def view(self, source: Source) -> View:
        """The array."""
        return source.arrays[self.array]


@dataclass(frozen=True)
class TinyLatents:
    """What a head trains on: latents around a point for each class."""

    session: Session
    seen: tuple[int, ...] = SEEN
    unseen: tuple[int, ...] = UNSEEN
    dim: int = LATENT
    shots: int = 2
    levels: ClassVar[Mapping[str, Level]] = {"image": "sample", "attributes": "class"}

    def draw(
        self,
        modalities: Sequence[str],
        classes: Sequence[int],
        count: int,
        purpose: str,
        rows: Literal["training", "shots"] = "training",
    ) -> tuple[Tensor, Tensor]:
        """``count`` latents of each class, and their classes."""
        generator = self.session.generator(f"{purpose}.{rows}.{'.'.join(sorted(modalities))}")
        points = torch.eye(max(*SEEN, *UNSEEN) + 1, self.dim)
        labels = torch.tensor(classes, dtype=torch.int64).repeat_interleave(count)
        noise = torch.randn(len(labels), self.dim, generator=generator)
        return points[labels] + 0.1 * noise, labels


@dataclass(frozen=True)
class Trial:
    """A component with its surroundings; what is costly is made once."""

    kind: Kind
    component: Any
    source: Source
    given: Parts | None = None

    def require(self, holds: bool, problem: str) -> None:
        """Raise ConformanceError, naming the component, where ``holds`` is False."""
        if not holds:
            name = getattr(self.component, "name", type(self.component).__name__)
            raise ConformanceError(f"{self.kind} '{name}': {problem}")

    @cached_property
    def parts(self) -> Parts:
        """What a method works with."""
        if self.given is not None:
            return self.given
        return Parts({name: Plain(array=name) for name in ("image", "attributes")})

    @cached_property
    def training(self) -> Training:
        """The training rows of the source, unscaled."""
        return self.training_of(self.source)

    def training_of(self, source: Source) -> Training:
        """The training rows of a source, unscaled; copies, which a method may spoil."""
        rows = source.splits.train
        views = {name: deepcopy(each.view(source)) for name, each in self.parts.modalities.items()}
        return Training(
            classes=source.classes,
            labels=source.labels[rows],
            views={n: v.take(rows) if v.level == "sample" else v for n, v in views.items()},
            seen=np.unique(source.labels[rows]),
            unseen=np.unique(source.labels[source.splits.test_unseen]),
            validation_classes=source.splits.validation_classes,
        )

    @cached_property
    def asked(self) -> dict[str, View]:
        """The rows that a fitted method is asked about, by modality."""
        rows = np.concatenate([self.source.splits.test_seen, self.source.splits.test_unseen])
        views = {name: each.view(self.source) for name, each in self.parts.modalities.items()}
        return {name: view.take(rows) for name, view in views.items() if view.level == "sample"}

    @cached_property
    def latents(self) -> Tensor:
        """The latents that a fitted head is asked about."""
        return TinyLatents(Session(1)).draw(("image",), (*SEEN, *UNSEEN), 2, "asked")[0]

    @property
    def signature(self) -> Signature:
        """What restoring knows of the data."""
        if self.kind == "method":
            return self.training.signature
        return Signature(self.source.classes, SEEN, UNSEEN, {}, {})

    @cached_property
    def head(self) -> tuple[Any, Any]:
        """A head with its choices made, and what is said of them."""
        if not self.component.needs_validation:
            return self.component, {}
        session = Session(0)
        return tuple(self.component.tuned(TinyLatents(session), accuracy, session))

    @property
    def fitted(self) -> Any:
        """The component, fitted with seed 0."""
        return self.first_fit[0]

    @cached_property
    def first_fit(self) -> tuple[Any, int]:
        """The component, fitted with seed 0, and of how many epochs it told."""
        heard: list[Any] = []
        made = self.fit(Session(0, epoch_ended=lambda *said: heard.append(said)))
        return made, len(heard)

    @cached_property
    def extractor(self) -> Any:
        """A backbone, loaded."""
        return self.component.extractor("cpu")

    def fit(self, session: Session | None = None) -> Any:
        """Fit anew, with seed 0 where no session is given."""
        session = session or Session(0)
        if self.kind == "head":
            return self.head[0].fit(TinyLatents(session), session)
        return self.component.fit(self.training, self.parts, session)

    def restore(self, state: Mapping[str, Tensor]) -> Any:
        """A fitted thing from tensors."""
        if self.kind == "head":
            return self.head[0].restore(state, self.signature)
        return self.component.restore(state, self.signature, self.parts)

    def ask(self, fitted: Any, classes: Sequence[int]) -> Any:
        """Scores of the asked rows over these classes."""
        return fitted.scores(self.latents if self.kind == "head" else self.asked, classes)


def accuracy(scorer: Scorer, metric: Literal["H", "T1"]) -> float:
    """What stands in for a validation question: accuracy on latents of the kit's own."""
    classes = UNSEEN if metric == "T1" else (*SEEN, *UNSEEN)
    z, labels = TinyLatents(Session(2)).draw(("image",), classes, 3, "validation")
    best = scorer.scores(z, classes).argmax(1)
    return float((torch.tensor(classes)[best] == labels).float().mean())


@contextmanager
def globals_kept(trial: Trial, doing: str) -> Iterator[None]:
    """Require that the process is as before; what was changed is put back in any case."""
    # Not random's generator: beartype, under which shapes are checked, draws from it.
    generators = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
    settings = torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled()
    try:
        yield
        now = torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled()
        moved = {
            "torch's global generator": not torch.equal(generators[0], torch.get_rng_state()),
            "numpy's global generator": repr(generators[1]) != repr(np.random.get_state()),  # noqa: NPY002
            "torch's default dtype": settings[0] != now[0],
            "torch's number of threads": settings[1] != now[1],
            "torch's gradient mode": settings[2] != now[2],
        }
        for what, has in moved.items():
            trial.require(
                not has, f"{doing} changes {what}; draw from session.generator(...), set nothing"
            )
    finally:
        torch.set_rng_state(generators[0])
        np.random.set_state(generators[1])  # noqa: NPY002
        torch.set_default_dtype(settings[0])
        if torch.get_num_threads() != settings[1]:
            torch.set_num_threads(settings[1])
        torch.set_grad_enabled(settings[2])
