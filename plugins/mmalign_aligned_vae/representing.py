"""Trains the autoencoders, or finds them where an earlier fit kept them."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from mmalign import ERRORS, Aligner, Objective, Parts, Session, Training, ramp, train_aligner

if TYPE_CHECKING:
    from mmalign_aligned_vae.method import AlignedVAE


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
