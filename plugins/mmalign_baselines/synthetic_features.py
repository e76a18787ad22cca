"""The head of the generative systems: linear classifiers of features that are made up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeAlias, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mmalign import Asked, Linear, LinearPair, MmalignError, Rows, Session, fit_linear
from mmalign_baselines.grids import one

if TYPE_CHECKING:
    from mmalign_baselines.generative import Generative

Part: TypeAlias = Literal["all", "unseen"]
CHUNK = 4096  # features made up at a time: hidden layers are wider than the features


@runtime_checkable
class FeatureGenerator(Protocol):
    """Makes up features of classes from their descriptions."""

    def sample(
        self, a: Float[Tensor, "rows q"], noise: torch.Generator
    ) -> Float[Tensor, "rows dim"]:
        """One feature for each of these descriptions."""
        ...


@dataclass(frozen=True)
class SyntheticFeatureClassifier:
    """Two linear softmax classifiers: of all classes, and of unseen ones alone.

    What is learnt from a generator is in their weights; the generator is not kept.
    """

    pair: LinearPair
    by_description: ClassVar[bool] = False

    @staticmethod
    def train(
        settings: Generative, generator: FeatureGenerator, rows: Rows, session: Session
    ) -> SyntheticFeatureClassifier:
        """Make features up, and train both classifiers by their cross-entropy.

        Raises MmalignError for features that are not finite.
        """

        def part(name: Part) -> Linear:
            if name == "unseen" and not rows.unseen:
                return Linear.nothing(rows.x.shape[1])
            x, labels, classes = training_set(settings, name, generator, rows, session)
            purpose = f"{settings.name}.head.{name}"
            fit = fit_centred if settings.centre else fit_linear
            return fit(
                x,
                labels,
                classes,
                epochs=settings.epochs_cls,
                batch=settings.batch_cls or count(settings),
                lr=one(settings.lr_cls),
                initialisation=session.generator(f"{purpose}.initialisation"),
                order=session.generator(f"{purpose}.order"),
            )

        return SyntheticFeatureClassifier(LinearPair(part("all"), part("unseen")))

    def scores(self, x: Float[Tensor, "rows dim"], asked: Asked) -> Float[Tensor, "rows classes"]:
        """Scores over the classes asked; over unseen ones alone from their own classifier."""
        return self.pair.scores(x, asked.indices)

    def state(self) -> Mapping[str, Tensor]:
        """Weights, biases, and the classes that their columns stand for."""
        parts = {"all": self.pair.all, "unseen": self.pair.unseen}
        classes = {f"{n}.classes": torch.tensor(part.classes) for n, part in parts.items()}
        return {**self.pair.state(), **classes}

    @staticmethod
    def of(state: Mapping[str, Tensor]) -> SyntheticFeatureClassifier:
        """The classifiers of these tensors. Raises KeyError for one that is missing."""

        def part(name: Part) -> Linear:
            classes = tuple(state[f"{name}.classes"].tolist())
            return Linear(state[f"{name}.weight"], state[f"{name}.bias"], classes)

        return SyntheticFeatureClassifier(LinearPair(part("all"), part("unseen")))


def count(settings: Generative) -> int:
    """Features made up of a class, where one number is left."""
    assert isinstance(settings.n_syn, int), "a candidate has one value"
    return settings.n_syn


def fit_centred(
    x: Float[Tensor, "rows dim"], labels: Int[Tensor, " rows"], classes: tuple[int, ...], **how: Any
) -> Linear:
    """``fit_linear`` on features of mean 0, and variance 1 over all, in terms of those given.

    One scale for all dimensions: what is nearly constant among features that are made up
    need not be so among real ones.
    """
    mean, std = x.mean(0), x.var(0, correction=0).mean().sqrt()
    scale = torch.where(std > 0, std, torch.ones_like(std))
    found = fit_linear((x - mean) / scale, labels, classes, **how)
    weight = found.weight / scale
    return Linear(weight, found.bias - mean @ weight, classes)


def training_set(
    settings: Generative, part: Part, generator: FeatureGenerator, rows: Rows, session: Session
) -> tuple[Float[Tensor, "made dim"], Int[Tensor, " made"], tuple[int, ...]]:
    """Features made up and real rows, their classes, and which classes there are.

    Shots, the rows of classes asked as unseen, are always among them.
    """
    classes = tuple(sorted({*rows.known, *rows.unseen})) if part == "all" else rows.unseen
    real_known = part == "all" and settings.known_from == "real"
    alone = part == "unseen" and settings.n_syn_alone
    made, labels = synthesise(
        generator,
        rows.descriptions,
        rows.unseen if real_known else classes,
        alone or count(settings),
        session.generator(f"{settings.name}.head.{part}.noise", str(rows.x.device)),
    )
    real = rows.known if real_known else tuple({*rows.known} & {*rows.unseen})
    kept = torch.isin(rows.labels, torch.tensor(real, dtype=torch.int64, device=rows.labels.device))
    return torch.cat([rows.x[kept], made]), torch.cat([rows.labels[kept], labels]), classes


@torch.no_grad()
def synthesise(
    generator: FeatureGenerator,
    descriptions: Float[Tensor, "all q"],
    classes: Sequence[int],
    count: int,
    noise: torch.Generator,
) -> tuple[Float[Tensor, "made dim"], Int[Tensor, " made"]]:
    """``count`` features of each class, and their classes.

    Raises MmalignError where one is not finite.
    """
    labels = torch.tensor(list(classes), dtype=torch.int64, device=descriptions.device)
    labels = labels.repeat_interleave(count)
    x = torch.cat([generator.sample(descriptions[each], noise) for each in labels.split(CHUNK)])
    if not x.isfinite().all():
        raise MmalignError(
            "the generator has diverged: its features are not finite; try a smaller [method] lr,"
            " or check the scaling of the modalities"
        )
    return x, labels
