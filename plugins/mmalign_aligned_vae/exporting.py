"""The aligned VAE as a module of torch operations alone: encoders, fusion, head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from mmalign import MmalignError
from mmalign_aligned_vae.fusion import fuse

if TYPE_CHECKING:
    from mmalign_aligned_vae.fitted import FittedVAE


class EncodedAndScored(nn.Module):
    """Scores and latents of rows that have all of some modalities.

    Raises MmalignError for a modality that the model does not encode.
    """

    def __init__(
        self, fitted: FittedVAE, modalities: Sequence[str], classes: Sequence[int]
    ) -> None:
        super().__init__()
        known = fitted.aligner.names
        for name in modalities:
            if name not in known:
                raise MmalignError(f"the model encodes {', '.join(known)}; got {name}")
        # Without the decoders, which no score needs.
        self.encoders = nn.ModuleDict({name: fitted.aligner.encoders[name] for name in known})
        # In the aligner's order: of several modalities the sums are then those of ``scores``.
        self.places = {name: modalities.index(name) for name in known if name in modalities}
        self.head, self.fusion, self.classes = fitted.head, fitted.fusion, tuple(classes)

    def forward(self, *rows: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (rows, classes), and the means of the rows' posteriors, (rows, latent)."""
        posteriors = [self.encoders[name](rows[place]) for name, place in self.places.items()]
        z = posteriors[0].mean
        if len(posteriors) > 1:
            present = torch.stack([torch.ones_like(p.mean[:, 0]) for p in posteriors]) > 0
            z = fuse(posteriors, present, self.fusion)
        return self.head.scores(z, self.classes), z
