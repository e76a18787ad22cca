"""The base of the generative systems: the settings of their epochs and of their head."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import Field

from mmalign import Epoch, Session, System, component
from mmalign_baselines.grids import Grid

if TYPE_CHECKING:
    from typing import Self

    from torch import Tensor

    from mmalign import Rows, Scoring
    from mmalign_baselines.synthetic_features import FeatureGenerator

KnownFrom: TypeAlias = Literal["real", "synthetic"]
Count: TypeAlias = Annotated[int, Field(ge=1)]
Counts: TypeAlias = Count | Annotated[tuple[Count, ...], Field(min_length=1)]


@component
class Generative(System):
    """Base of a system that makes up features of classes, and trains a classifier on them.

    A system adds its fields and ``generators``. A class of which there are rows and that is
    asked as unseen (by few shots) is represented by its rows and by what is made up of it.

    Candidates that differ in the classifiers alone share one training of the generator.
    """

    open: ClassVar[tuple[str, ...]] = ("n_syn", "lr_cls")
    epochs: int = Field(default=25, ge=1)
    """Times that training goes through the rows."""
    every: int = Field(default=5, ge=1)
    """Epochs from one that may be chosen to the next; the last one always may.

    Each of them costs the training of two classifiers.
    """
    batch: int = Field(default=64, ge=1)
    """Rows of a step."""
    lr: float = Field(default=1e-3, gt=0)
    """Learning rate of Adam."""
    known_from: KnownFrom = "real"
    """What the classifier sees of classes with rows: these, or as many made up as of the others."""
    n_syn: Counts = 300
    """Features made up of each class, for the classifier of all classes."""
    n_syn_alone: Count | None = None
    """The same for the classifier of unseen classes alone; ``n_syn`` by default."""
    epochs_cls: int = Field(default=25, ge=1)
    """Epochs of the classifiers."""
    lr_cls: Grid = (1e-4, 1e-3)
    """Learning rate of the classifiers' Adam, with betas (0.5, 0.999)."""
    batch_cls: Count | None = None
    """Features of a classifier's step; ``n_syn`` by default."""
    centre: bool = True
    """Whether the classifiers are trained on features of mean 0, and variance 1 over all.

    They are linear in the features either way. What features have in common, most of their
    size where they lie in [0, 1], otherwise takes up much of a few epochs of Adam. Published
    code trains on features as they are, with ``lr_cls = 1e-3``.
    """

    def generators(
        self, rows: Rows, session: Session
    ) -> Iterator[tuple[FeatureGenerator, Mapping[str, float]]]:
        """Train the generator; after each epoch, the generator and the mean of each loss term."""
        raise NotImplementedError

    def classifier_of(self, generator: FeatureGenerator, rows: Rows, session: Session) -> Scoring:
        """The classifier that a generator leads to."""
        from mmalign_baselines.synthetic_features import SyntheticFeatureClassifier

        return SyntheticFeatureClassifier.train(self, generator, rows, session)

    def train(self, rows: Rows, session: Session) -> Iterator[Epoch]:
        """Train the generator, and at some of the epochs offer the classifier it leads to."""
        for _, epoch in self.explore([self], rows, session):
            yield epoch

    def explore(
        self, candidates: Sequence[Self], rows: Rows, session: Session
    ) -> Iterator[tuple[Self, Epoch]]:
        """Train one generator for all candidates that have it in common."""
        groups: dict[Generative, list[Self]] = {}
        for each in candidates:
            same: dict[str, Any] = {"epochs": 1, **dict.fromkeys(Generative.open, 1)}
            alike = replace(each, **same)
            groups.setdefault(alike, []).append(each)
        for group in groups.values():
            longest = max(group, key=lambda each: each.epochs)
            trained = enumerate(longest.generators(rows, session), start=1)
            for number, (generator, terms) in trained:
                for each in group:
                    if number == each.epochs or (number < each.epochs and number % each.every == 0):
                        model = partial(each.classifier_of, generator, rows, session)
                        yield each, Epoch(number, model, terms)

    def model(self, state: Mapping[str, Tensor]) -> Scoring:
        """The classifier of these tensors."""
        from mmalign_baselines.synthetic_features import SyntheticFeatureClassifier

        return SyntheticFeatureClassifier.of(state)
