"""Trains the autoencoders, or finds them where an earlier fit kept them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import load_file, save

from mmalign import (
    ERRORS,
    Aligner,
    Objective,
    Parts,
    Session,
    Stored,
    Training,
    ramp,
    train_aligner,
    train_together,
    write_whole,
)

if TYPE_CHECKING:
    from mmalign_aligned_vae.method import AlignedVAE


def represent(
    method: AlignedVAE, training: Training, parts: Parts, session: Session, stage: str
) -> Aligner:
    """A trained aligner; with ``session.reuse`` it is kept there, and found again."""
    aligner = Aligner(parts.modalities, training.signature.dims, method.latent, session.generator)
    kept = _kept(method, training, parts, session, stage)
    group = session.group
    first = group is None or group.rank == 0  # of several processes, who reads and writes
    found = kept is not None and kept.exists()
    if found if group is None else group.agreed(found):
        if first and kept is not None:
            aligner.load_state_dict(load_file(kept))
        aligner.to(session.device).eval()
        if group is not None:
            group.copy(aligner.parameters())
        return aligner
    train_aligner(
        aligner,
        _objective(method, parts),
        training,
        session,
        **_schedule(method),
        stage=stage,
    )
    if kept is not None and first:
        _keep(aligner, kept)
    return aligner


def represent_together(
    method: AlignedVAE,
    trainings: Sequence[Training],
    parts: Parts,
    sessions: Sequence[Session],
    stage: str,
) -> None:
    """Train the aligners of several seeds as one, and keep them where ``represent`` finds them."""
    files = [_kept(method, t, parts, s, stage) for t, s in zip(trainings, sessions, strict=True)]
    missing = [n for n, file in enumerate(files) if file is not None and not file.exists()]
    if not missing:
        return
    dims, own = trainings[0].signature.dims, [sessions[n] for n in missing]
    aligners = [Aligner(parts.modalities, dims, method.latent, each.generator) for each in own]
    train_together(
        aligners,
        _objective(method, parts),
        [trainings[n] for n in missing],
        own,
        **_schedule(method),
        stage=stage,
    )
    for n, aligner in zip(missing, aligners, strict=True):
        if (file := files[n]) is not None:
            _keep(aligner, file)


def _objective(method: AlignedVAE, parts: Parts) -> Objective:
    return Objective(
        {name: ERRORS[modality.reconstruction] for name, modality in parts.modalities.items()},
        ramp(method.kl),
        parts.losses,
        method.pair_reduction,
    )


def _schedule(method: AlignedVAE) -> dict[str, Any]:
    """The settings that a training loop takes."""
    names = ("epochs", "batch", "lr", "draw", "noise", "scale", "products", "clip")
    return {name: getattr(method, name) for name in names}


def _keep(aligner: Aligner, file: Path) -> None:
    """Keep the weights, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.contiguous().cpu() for name, tensor in aligner.state_dict().items()}
    write_whole(file, save(weights))


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
        # Several processes add up in another order, and round otherwise.
        *([] if session.group is None else [f"{session.group.size} processes"]),
    ):
        digest.update(repr(said).encode())
    for name in sorted(parts.modalities):
        view = training.views[name]
        if view.level == "class":  # those that no training row has do not enter
            view = view.take(np.unique(training.labels))
        modality = parts.modalities[name]
        digest.update(repr((name, modality.hidden, modality.reconstruction, view.level)).encode())
        values = view.values
        # Of rows on disk not the content, which may be 40 GB, but what tells it from another.
        digest.update(
            values.fingerprint().encode() if isinstance(values, Stored) else values.tobytes()
        )
        digest.update(view.mask.tobytes())
    digest.update(training.labels.tobytes())
    return session.reuse / f"{digest.hexdigest()[:32]}.safetensors"
