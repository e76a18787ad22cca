"""Fits the aligned VAE and its head, and brings both back from tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from mmalign import (
    Aligner,
    Facts,
    FittedHead,
    Head,
    MmalignError,
    Parts,
    Question,
    Scorer,
    Session,
    Signature,
    Training,
    fit_head,
    fit_temperature,
    measure,
    scale,
    stacking_bias,
    top1,
    tune_head,
    validation,
    why_apart,
)
from mmalign_aligned_vae.fitted import FittedVAE, encode
from mmalign_aligned_vae.latents import Drawer
from mmalign_aligned_vae.noting import Noted
from mmalign_aligned_vae.representing import represent, represent_together
from mmalign_aligned_vae.statistics import LatentStatistics, restored

if TYPE_CHECKING:
    from mmalign_aligned_vae.method import AlignedVAE

MOST = 2**26  # scores that a choice on the validation protocol looks at: 256 MiB


def fit(method: AlignedVAE, training: Training, parts: Parts, session: Session) -> FittedVAE:
    """Train the autoencoders and the head; what the head leaves open is chosen first.

    A head that needs validation gets an aligner of its own, trained on the validation
    protocol's share of the training rows.
    """
    head = _head(parts)
    choice: Facts = {}
    bias: float | None = None
    temperature: float | None = None
    if head.needs_validation or method.stacking:
        head, choice, bias, temperature = _tune(method, head, training, parts, session)
    aligner = represent(method, training, parts, session, "representation")
    latents = Noted(session, method.noise, method.scale, aligner, training)
    seen = training.signature.seen
    fitted = fit_head(head, latents, session)
    device, kept = session.device, latents.statistics()
    return FittedVAE(
        aligner, fitted, seen, method.fusion, bias, temperature, device, choice, head, kept
    )


def train_together(
    method: AlignedVAE, trainings: Sequence[Training], parts: Parts, sessions: Sequence[Session]
) -> str | None:
    """Train and keep every representation that ``fit`` will ask for; why not, if it cannot be."""
    stages = {"representation": list(trainings)}
    if _head(parts).needs_validation or method.stacking:
        each = zip(trainings, sessions, strict=True)
        posed = (scale(validation(own, s.seed), parts.modalities) for own, s in each)
        stages["validation"] = [problem.training for problem in posed]
    for apart in filter(None, map(why_apart, stages.values())):
        return apart
    for stage, each_training in stages.items():
        represent_together(method, each_training, parts, sessions, stage)
    return None


def _head(parts: Parts) -> Head:
    if parts.head is None:
        raise MmalignError("the method 'aligned-vae' classifies by a head; give one")
    return parts.head


def _tune(
    method: AlignedVAE, head: Head, training: Training, parts: Parts, session: Session
) -> tuple[Head, Facts, float | None, float]:
    """The head's choices, the stacking bias and the temperature, by the validation protocol."""
    problem = scale(validation(training, session.seed), parts.modalities)
    question = thinned(problem.question)
    aligner = represent(method, problem.training, parts, session, "validation")
    latents = Drawer(session, method.noise, method.scale, aligner, problem.training)
    z = encode(aligner, question.views, session.device, method.fusion)
    asked = np.isin(question.labels, question.unseen)
    unseen = z[torch.from_numpy(asked).to(z.device)]

    best, chosen = -1.0, np.empty(0, dtype=np.float32)

    def score(scorer: Scorer, metric: Literal["H", "T1"]) -> float:
        nonlocal best, chosen
        if metric == "T1":
            scores = scorer.scores(unseen, question.unseen.tolist())
            return top1(scores.cpu().numpy(), question)
        answers = scorer.scores(z, question.search.tolist()).cpu().numpy()
        if (value := measure(answers, question).H) > best:
            best, chosen = value, answers
        return value

    choice: Facts = {}
    if head.needs_validation:
        head, choice = tune_head(head, latents, score, session)
    if len(question.labels) < len(problem.question.labels):
        choice = {**choice, "validation_rows": len(question.labels)}
    if method.stacking or not chosen.size:
        fitted = fit_head(head, latents, session)
        chosen = fitted.scores(z, question.search.tolist()).cpu().numpy()
    temperature = fit_temperature(chosen, question.labels, question.search)
    if not method.stacking:
        return head, choice, None, temperature
    bias, stacked = stacking_bias(chosen, question)
    choice = {**choice, "stacking_bias": bias, "validation_H_stacked": stacked}
    return head, choice, bias, temperature


def thinned(question: Question, most: int = MOST) -> Question:
    """The question with so few rows that at most so many scores answer it.

    As large a share of every class stays. A choice among epochs asks all rows again and again,
    and a million rows over a thousand classes are 4 GB of scores.
    """
    step = -(-len(question.labels) * len(question.search) // most)
    if step <= 1:
        return question
    kept = np.sort(np.argsort(question.labels, kind="stable")[::step])
    views = {name: view.take(kept) for name, view in question.views.items()}
    return replace(question, labels=question.labels[kept], views=views)


def restore(
    method: AlignedVAE, state: Mapping[str, Tensor], signature: Signature, parts: Parts
) -> FittedVAE:
    """Rebuild aligner and head from their tensors; reads no data.

    Raises MmalignError for missing, surplus or misshapen tensors.
    """
    own = ("aligner.", "head.", "statistics.", "stacking.bias", "temperature")
    surplus = [name for name in state if not name.startswith(own)]
    if surplus:
        raise MmalignError(f"the model holds a surplus tensor '{surplus[0]}'")
    own_tensors = _part(state, "aligner.")
    _check_sizes(own_tensors, method, signature, parts)
    aligner = Aligner(parts.modalities, signature.dims, method.latent, Session(0).generator)
    try:
        aligner.load_state_dict(own_tensors)
    except RuntimeError as error:
        raise MmalignError(f"the model's tensors do not fit its configuration: {error}") from None
    head = _head(parts)
    fitted = FittedVAE(
        aligner.eval(),
        head.restore(_part(state, "head."), signature),
        signature.seen,
        method.fusion,
        _number(state, "stacking.bias"),
        _number(state, "temperature"),
        chosen_head=head,
    )
    _try_head(fitted.head, method.latent, signature)
    kept = _part(state, "statistics.")
    if not kept:
        return fitted
    empty = LatentStatistics(
        Session(0), method.noise, method.scale, signature, method.latent, 0, {}, {}
    )
    return replace(fitted, statistics=restored(kept, empty))


def _number(state: Mapping[str, Tensor], name: str) -> float | None:
    """A tensor of one number; None where it is not there."""
    tensor = state.get(name)
    if tensor is not None and tensor.numel() != 1:
        raise MmalignError(f"the model's '{name}' is not one number")
    return None if tensor is None else float(tensor)


def _check_sizes(
    state: Mapping[str, Tensor], method: AlignedVAE, signature: Signature, parts: Parts
) -> None:
    """Raises MmalignError where widths and tensors disagree.

    Before anything is made of such widths: a number in a file may ask for all memory.
    """
    for name, modality in parts.modalities.items():
        (encoder, decoder), dim = modality.hidden, signature.dims[name]
        wanted = {
            f"encoders.{name}.hidden": (encoder, dim),
            f"encoders.{name}.moments": (2 * method.latent, encoder),
            f"decoders.{name}.hidden": (decoder, method.latent),
            f"decoders.{name}.output": (dim, decoder),
        }
        for part, shape in wanted.items():
            tensor = state.get(f"{part}.weight")
            if tensor is None or tensor.shape != shape or tensor.dtype != torch.float32:
                found = "missing" if tensor is None else f"{tuple(tensor.shape)}, {tensor.dtype}"
                raise MmalignError(
                    f"the model's tensors do not fit its configuration: '{part}.weight' must be"
                    f" {shape}, torch.float32; it is {found}"
                )


@torch.no_grad()
def _try_head(head: FittedHead, latent: int, signature: Signature) -> None:
    """Score a latent, which fails for a head of other shapes or of another precision."""
    try:
        for classes in ((*signature.seen, *signature.unseen), signature.unseen):
            if classes:
                head.scores(torch.zeros(1, latent), classes)
    except (IndexError, RuntimeError, TypeError, ValueError) as error:
        raise MmalignError(f"the head's tensors do not fit the latent space: {error}") from None


def _part(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names open so, by the rest of their names."""
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
