"""Fits the aligned VAE and its head, and brings both back from tensors."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from mmalign import (
    ERRORS,
    Aligner,
    Facts,
    FittedHead,
    Floats,
    Head,
    MmalignError,
    Objective,
    Parts,
    Scorer,
    Session,
    Signature,
    Training,
    Variant,
    View,
    measure,
    ramp,
    scale,
    stacking_bias,
    top1,
    train_aligner,
    validation,
)
from mmalign_aligned_vae.fusion import Fusion, fuse
from mmalign_aligned_vae.latents import Drawer

if TYPE_CHECKING:
    from mmalign_aligned_vae.method import AlignedVAE

STACKED = "calibrated stacking"
ROWS = 4096  # encoded at a time


@dataclass(frozen=True)
class FittedVAE:
    """A trained aligner with a head on its latents.

    ``bias`` is what calibrated stacking takes off the scores of the ``seen`` classes; None
    where it was not asked for.
    """

    aligner: Aligner
    head: FittedHead
    seen: tuple[int, ...]
    fusion: Fusion = "product"
    bias: float | None = None
    device: str = "cpu"
    choice: Facts = field(default_factory=dict)

    @torch.no_grad()
    def scores(self, views: Mapping[str, View], classes: Sequence[int]) -> Floats:
        """The head's scores of the rows' fused posterior means, (rows, classes)."""
        z = encode(self.aligner, views, self.device, self.fusion)
        scores: Floats = self.head.scores(z, classes).cpu().numpy()
        return scores

    @property
    def variants(self) -> Mapping[str, Variant]:
        """Calibrated stacking, where it was asked for."""
        return {} if self.bias is None else {STACKED: Stacked(self, self.bias)}

    def state(self) -> Mapping[str, Tensor]:
        """Every tensor of the aligner and the head."""
        tensors = {f"aligner.{k}": v.cpu() for k, v in self.aligner.state_dict().items()}
        if self.bias is not None:
            tensors["stacking.bias"] = torch.tensor(self.bias, dtype=torch.float64)
        return tensors | {f"head.{k}": v.cpu() for k, v in self.head.state().items()}

    @property
    def facts(self) -> Facts:
        """The size of the model, what the head has to say, and what was chosen for it."""
        parameters = sum(p.numel() for p in self.aligner.parameters())
        return {"parameters": parameters, "head": dict(self.head.facts), "choice": self.choice}


@dataclass(frozen=True)
class Stacked:
    """Calibrated stacking: a bias off the scores of seen classes (Chao et al. 2016, eq. 7)."""

    fitted: FittedVAE
    bias: float

    def scores(self, views: Mapping[str, View], classes: Sequence[int]) -> Floats:
        """The scores, with the bias taken off those of seen classes."""
        off = np.where(np.isin(classes, self.fitted.seen), self.bias, 0).astype(np.float32)
        scores: Floats = self.fitted.scores(views, classes) - off
        return scores


@torch.no_grad()
def encode(
    aligner: Aligner, views: Mapping[str, View], device: str, fusion: Fusion = "product"
) -> Tensor:
    """Posterior means of rows, (rows, latent), on the device.

    Where a row has several modalities their posteriors are fused. Raises MmalignError for
    a row that has none, and for views that the aligner does not know.
    """
    known = [name for name in aligner.names if name in views]
    if not known:
        got = ", ".join(views) or "nothing"
        raise MmalignError(f"the model encodes {', '.join(aligner.names)}; got {got}")
    parts = [torch.empty(0, aligner.latent, device=device)]
    for start in range(0, len(views[known[0]]), ROWS):
        stop = min(start + ROWS, len(views[known[0]]))
        taken = {name: views[name].take(np.arange(start, stop)) for name in known}
        present = np.stack([view.mask for view in taken.values()])
        if not present.any(0).all():
            row = start + int((~present.any(0)).argmax())
            raise MmalignError(f"row {row} has none of the modalities {', '.join(known)}")
        posteriors = [
            aligner.encode(
                name,
                torch.from_numpy(np.where(view.mask[:, None], view.values, 0)).to(device),
            )
            for name, view in taken.items()
        ]
        if len(known) == 1:  # exactly its mean, which a weighted average would round
            parts.append(posteriors[0].mean)
        else:
            parts.append(fuse(posteriors, torch.from_numpy(present).to(device), fusion))
    return torch.cat(parts)


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


def represent(
    method: AlignedVAE, training: Training, parts: Parts, session: Session, stage: str
) -> Aligner:
    """A trained aligner; with ``session.reuse`` it is kept there, and found again."""
    aligner = Aligner(parts.modalities, training.signature.dims, method.latent, session.generator)
    kept = _kept(method, training, parts, session, stage)
    if kept is not None and kept.exists():
        aligner.load_state_dict(load_file(kept))
        return aligner.to(session.device).eval()
    objective = Objective(
        {name: ERRORS[modality.reconstruction] for name, modality in parts.modalities.items()},
        ramp(method.kl),
        parts.losses,
        method.pair_reduction,
    )
    train_aligner(
        aligner,
        objective,
        training,
        session,
        epochs=method.epochs,
        batch=method.batch,
        lr=method.lr,
        draw=method.draw,
        noise=method.noise,
        scale=method.scale,
        products=method.products,
        stage=stage,
    )
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        part = kept.with_suffix(".part")
        save_file({k: v.contiguous() for k, v in aligner.state_dict().items()}, part)
        part.replace(kept)
    return aligner


def _kept(
    method: AlignedVAE, training: Training, parts: Parts, session: Session, stage: str
) -> Path | None:
    """The file of this fit: named by everything that the fit depends on, heads not."""
    if session.reuse is None:
        return None
    digest = hashlib.sha256()
    for said in (
        {key: value for key, value in vars(method).items() if key not in method.afterwards},
        dict(parts.losses),
        session.seed,
        session.device,
        stage,
        (version("mmalign"), torch.__version__),
    ):
        digest.update(repr(said).encode())
    for name in sorted(parts.modalities):
        view = training.views[name]
        if view.level == "class":  # those that no training row has do not enter
            view = view.take(np.unique(training.labels))
        modality = parts.modalities[name]
        digest.update(repr((name, modality.hidden, modality.reconstruction, view.level)).encode())
        digest.update(view.values.tobytes() + view.mask.tobytes())
    digest.update(training.labels.tobytes())
    return session.reuse / f"{digest.hexdigest()[:32]}.safetensors"


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
