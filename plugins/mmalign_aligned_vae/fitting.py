"""Fits the aligned VAE and its head, and brings both back from tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from mmalign import (
    Aligner,
    Facts,
    Head,
    MmalignError,
    Parts,
    Scorer,
    Session,
    Signature,
    Training,
    measure,
    scale,
    stacking_bias,
    top1,
    validation,
)
from mmalign_aligned_vae.fitted import FittedVAE, encode
from mmalign_aligned_vae.latents import Drawer
from mmalign_aligned_vae.representing import represent

if TYPE_CHECKING:
    from mmalign_aligned_vae.method import AlignedVAE


def fit(method: AlignedVAE, training: Training, parts: Parts, session: Session) -> FittedVAE:
    """Train the autoencoders and the head; what the head leaves open is chosen first.

    A head that needs validation gets an aligner of its own, trained on the validation
    protocol's share of the training rows.
    """
    head = _head(parts)
    choice: Facts = {}
    bias: float | None = None
    if head.needs_validation or method.stacking:
        head, choice, bias = _tune(method, head, training, parts, session)
    aligner = represent(method, training, parts, session, "representation")
    latents = Drawer(aligner, training, session, method.noise, method.scale)
    seen = training.signature.seen
    fitted = head.fit(latents, session)
    return FittedVAE(aligner, fitted, seen, method.fusion, bias, session.device, choice)


def _head(parts: Parts) -> Head:
    if parts.head is None:
        raise MmalignError("the method 'aligned-vae' classifies by a head; give one")
    return parts.head


def _tune(
    method: AlignedVAE, head: Head, training: Training, parts: Parts, session: Session
) -> tuple[Head, Facts, float | None]:
    """Make the head's choices, and that of the stacking bias, on the validation protocol."""
    problem = scale(validation(training, session.seed), parts.modalities)
    question = problem.question
    aligner = represent(method, problem.training, parts, session, "validation")
    latents = Drawer(aligner, problem.training, session, method.noise, method.scale)
    z = encode(aligner, question.views, session.device, method.fusion)
    asked = np.isin(question.labels, question.unseen)
    unseen = z[torch.from_numpy(asked).to(z.device)]

    def score(scorer: Scorer, metric: Literal["H", "T1"]) -> float:
        if metric == "T1":
            scores = scorer.scores(unseen, question.unseen.tolist())
            return top1(scores.cpu().numpy(), question)
        scores = scorer.scores(z, question.search.tolist())
        return measure(scores.cpu().numpy(), question).H

    choice: Facts = {}
    if head.needs_validation:
        head, choice = head.tuned(latents, score, session)
    if not method.stacking:
        return head, choice, None
    scores = head.fit(latents, session).scores(z, question.search.tolist())
    bias, best = stacking_bias(scores.cpu().numpy(), question)
    return head, {**choice, "stacking_bias": bias, "validation_H_stacked": best}, bias


def restore(
    method: AlignedVAE, state: Mapping[str, Tensor], signature: Signature, parts: Parts
) -> FittedVAE:
    """Rebuild aligner and head from their tensors; reads no data.

    Raises MmalignError for missing, surplus or misshapen tensors.
    """
    stacking = state.get("stacking.bias")
    own = ("aligner.", "head.") if stacking is None else ("aligner.", "head.", "stacking.bias")
    surplus = [name for name in state if not name.startswith(own)]
    if surplus:
        raise MmalignError(f"the model holds a surplus tensor '{surplus[0]}'")
    aligner = Aligner(parts.modalities, signature.dims, method.latent, Session(0).generator)
    prefix = "aligner."
    tensors = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    try:
        aligner.load_state_dict(tensors)
    except RuntimeError as error:
        raise MmalignError(f"the model's tensors do not fit its configuration: {error}") from None
    head = {k.removeprefix("head."): v for k, v in state.items() if k.startswith("head.")}
    if stacking is not None and stacking.numel() != 1:
        raise MmalignError("the model's 'stacking.bias' is not one number")
    bias = None if stacking is None else float(stacking)
    restored = _head(parts).restore(head, signature)
    return FittedVAE(aligner.eval(), restored, signature.seen, method.fusion, bias)
