"""Posteriors of the rows of a head's training set, however many they are."""

from __future__ import annotations

import numpy as np
import torch

from mmalign import Aligner, Gaussian, Indices, View

PART = 2**16  # rows encoded at a time


@torch.no_grad()
def posteriors(
    aligner: Aligner, name: str, view: View, rows: Indices, device: str, part: int = PART
) -> Gaussian:
    """Posteriors of these rows of a modality's view, in their order, (rows, latent).

    More than ``part`` rows are encoded in parts, and a row that stands among them many
    times is encoded once: with 50 latents of each of 20,842 classes the hidden layer
    alone would otherwise take 6 GB.
    """
    if len(rows) <= part:
        return aligner.encode(name, torch.from_numpy(view.values[rows]).to(device))
    distinct, place = np.unique(rows, return_inverse=True)
    means, logvars = [], []
    for start in range(0, len(distinct), part):
        x = torch.from_numpy(view.values[distinct[start : start + part]]).to(device)
        found = aligner.encode(name, x)
        means.append(found.mean)
        logvars.append(found.logvar)
    of = torch.from_numpy(place).to(device)
    return Gaussian(torch.cat(means)[of], torch.cat(logvars)[of])
