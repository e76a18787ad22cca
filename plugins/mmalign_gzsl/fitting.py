"""Trains the softmax head's two classifiers, and chooses their epochs by validation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from mmalign import (
    Facts,
    Latents,
    Linear,
    LinearPair,
    MmalignError,
    Scorer,
    Session,
    draw_from,
    fit_linear,
)

if TYPE_CHECKING:
    from mmalign_gzsl.softmax import Part, Softmax


def fit(head: Softmax, latents: Latents, session: Session) -> LinearPair:
    """Train both classifiers for the epochs given."""
    if isinstance(head.epochs, str) or isinstance(head.epochs_unseen_only, str):
        raise MmalignError("the head's epochs are not chosen yet; call tuned() first")
    facts = {"epochs": head.epochs, "epochs_unseen_only": head.epochs_unseen_only}
    return LinearPair(
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
    epoch_ended: Callable[[int, float, Linear], None] | None = None,
) -> Linear:
    """Draw the training set of one classifier, once, and train on it.

    Where no class is unseen, the classifier of unseen ones has no columns. Raises
    MmalignError for a class from which no latent can be drawn.
    """
    purpose = f"head.{part}"
    z, labels, classes = draw_from(latents, head.sources(part, latents), purpose)
    if not classes:
        return Linear.nothing(latents.dim)

    return fit_linear(
        z,
        labels,
        classes,
        epochs=epochs,
        batch=head.batch,
        lr=head.lr,
        initialisation=session.generator(f"{purpose}.initialisation"),
        order=session.generator(f"{purpose}.order"),
        epoch_ended=epoch_ended or (lambda *_: None),
        # What listens must hear of every epoch, those before a checkpoint too.
        session=session if epoch_ended is None else replace(session, checkpoints=None),
        stage=purpose,
    )
