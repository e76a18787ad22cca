"""Posteriors of the rows of a head's training set, however many they are."""

from __future__ import annotations

import numpy as np
import torch

from mmalign import Aligner, Gaussian, Indices, View

PART = 2**14  # rows encoded at a time


@torch.no_grad()
def posteriors(
    aligner: Aligner, name: str, view: View, rows: Indices, device: str, part: int = PART
) -> Gaussian:
    """Posteriors of these rows of a modality's view, in their order, (rows, latent).

    ``part`` rows are encoded at a time, and a row that stands among them many times is encoded
    once: 400 latents of an unseen class are drawn from one description.
    """
    distinct, place = np.unique(rows, return_inverse=True)
    means, logvars = [], []
    for start in range(0, max(1, len(distinct)), part):
        x = torch.from_numpy(view.values[distinct[start : start + part]]).to(device)
        found = aligner.encode(name, x)
        means.append(found.mean)
        logvars.append(found.logvar)
    of = torch.from_numpy(place).to(device)
    return Gaussian(torch.cat(means)[of], torch.cat(logvars)[of])
