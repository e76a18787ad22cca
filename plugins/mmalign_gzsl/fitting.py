"""Trains the softmax head's two classifiers, and chooses their epochs by validation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from mmalign import Facts, Latents, MmalignError, Scorer, Session, Signature
from mmalign_gzsl.linear import Linear, fit_linear
from mmalign_gzsl.sources import Part

if TYPE_CHECKING:
    from mmalign_gzsl.softmax import Softmax


@dataclass(frozen=True)
class FittedSoftmax:
    """Two linear classifiers of latents: over all classes, and over unseen ones alone."""

    all: Linear
    unseen: Linear
    facts: Facts = field(default_factory=dict)

    def scores(
        self, z: Float[Tensor, "rows latent"], classes: Sequence[int]
    ) -> Float[Tensor, "rows wanted"]:
        """Scores over these classes; over unseen ones alone from their own classifier."""
        alone = set(classes) <= set(self.unseen.classes)
        return (self.unseen if alone else self.all).scores(z, classes)

    def state(self) -> Mapping[str, Tensor]:
        """The weights and biases."""
        return {
            "all.weight": self.all.weight.contiguous(),
            "all.bias": self.all.bias.contiguous(),
            "unseen.weight": self.unseen.weight.contiguous(),
            "unseen.bias": self.unseen.bias.contiguous(),
        }


def fit(head: Softmax, latents: Latents, session: Session) -> FittedSoftmax:
    """Train both classifiers for the epochs given."""
    if isinstance(head.epochs, str) or isinstance(head.epochs_unseen_only, str):
        raise MmalignError("the head's epochs are not chosen yet; call tuned() first")
    facts = {"epochs": head.epochs, "epochs_unseen_only": head.epochs_unseen_only}
    return FittedSoftmax(
        train_part(head, "all", latents, session, head.epochs),
        train_part(head, "unseen", latents, session, head.epochs_unseen_only),
        facts,
    )


def best_epochs(
    head: Softmax,
    latents: Latents,
    measure: Callable[[Scorer, Literal["H", "T1"]], float],
    session: Session,
) -> tuple[Softmax, Facts]:
    """Train on the validation protocol, measure after each epoch, and take the best one.

    The classifier of all classes is judged by H, that of unseen classes alone by T1.
    """

    def judge(part: Part, metric: Literal["H", "T1"]) -> tuple[int, list[float]]:
        curve: list[float] = []
        tell = lambda epoch, loss, now: curve.append(measure(now, metric))  # noqa: E731
        train_part(head, part, latents, session, head.most_epochs, tell)
        return curve.index(max(curve)) + 1, [round(value, 5) for value in curve]

    epochs, alone = head.epochs, head.epochs_unseen_only
    facts: dict[str, Any] = {}
    if epochs == "validation":
        epochs, facts["validation_H"] = judge("all", "H")
    if alone == "validation":
        alone, facts["validation_T1"] = judge("unseen", "T1")
    return replace(head, epochs=epochs, epochs_unseen_only=alone), facts


def train_part(
    head: Softmax,
    part: Part,
    latents: Latents,
    session: Session,
    epochs: int,
    epoch_ended: Callable[[int, float, Linear], None] = lambda *_: None,
) -> Linear:
    """Draw the training set of one classifier, once, and train on it.

    Raises MmalignError for a class from which no latent can be drawn.
    """
    purpose = f"head.{part}"
    sources = head.sources(part, latents)
    drawn = [
        latents.draw(each.modalities, each.classes, each.count, purpose, each.rows)
        for each in sources
    ]
    z, labels = torch.cat([z for z, _ in drawn]), torch.cat([of for _, of in drawn])
    classes = tuple(sorted({index for each in sources for index in each.classes}))
    missing = sorted(set(classes) - set(labels.tolist()))
    if missing:
        raise MmalignError(
            f"no latent can be drawn of {len(missing)} classes (the first has index"
            f" {missing[0]}): a seen class needs images, an unseen one a description"
        )

    def ended(epoch: int, loss: float, now: Linear) -> None:
        session.epoch_ended(purpose, epoch, epochs, {"cross-entropy": loss})
        epoch_ended(epoch, loss, now)

    return fit_linear(
        z,
        labels,
        classes,
        epochs=epochs,
        batch=head.batch,
        lr=head.lr,
        initialisation=session.generator(f"{purpose}.initialisation"),
        order=session.generator(f"{purpose}.order"),
        epoch_ended=ended,
    )


def restore(state: Mapping[str, Tensor], signature: Signature) -> FittedSoftmax:
    """Rebuild both classifiers. Raises MmalignError for tensors that do not fit."""
    everything = tuple(sorted((*signature.seen, *signature.unseen)))
    return FittedSoftmax(
        _linear(state, "all", everything), _linear(state, "unseen", signature.unseen)
    )


def _linear(state: Mapping[str, Tensor], part: Part, classes: tuple[int, ...]) -> Linear:
    weight, bias = state.get(f"{part}.weight"), state.get(f"{part}.bias")
    if weight is None or bias is None or not len(classes) == len(bias) == weight.shape[-1]:
        raise MmalignError(f"the head's tensors '{part}' do not fit {len(classes)} classes")
    return Linear(weight, bias, classes)
