"""A fitted aligned VAE: its posterior means, its scores, and calibrated stacking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn

from mmalign import (
    Aligner,
    Facts,
    FittedHead,
    Floats,
    Gaussian,
    Head,
    MmalignError,
    Session,
    Signature,
    Variant,
    View,
    fit_head,
    head_scores,
)
from mmalign_aligned_vae.exporting import EncodedAndScored
from mmalign_aligned_vae.fusion import Fusion, fuse
from mmalign_aligned_vae.statistics import Described, LatentStatistics

STACKED = "calibrated stacking"
ROWS = 4096  # encoded at a time


@dataclass(frozen=True)
class FittedVAE:
    """A trained aligner with a head on its latents.

    ``bias`` is what calibrated stacking takes off the scores of the ``seen`` classes; None
    where it was not asked for. ``temperature`` makes probabilities of the scores; None where
    nothing was chosen on the validation protocol, which tells it. ``chosen_head`` has made
    all its choices, and ``statistics`` are what it can be fitted to again.
    """

    aligner: Aligner
    head: FittedHead
    seen: tuple[int, ...]
    fusion: Fusion = "product"
    bias: float | None = None
    temperature: float | None = None
    device: str = "cpu"
    choice: Facts = field(default_factory=dict)
    chosen_head: Head | None = None
    statistics: LatentStatistics | None = None

    @torch.no_grad()
    def scores(self, views: Mapping[str, View], classes: Sequence[int]) -> Floats:
        """The head's scores of the rows' fused posterior means, (rows, classes)."""
        z = encode(self.aligner, views, self.device, self.fusion)
        scores: Floats = head_scores(self.chosen_head, self.head, z, classes).cpu().numpy()
        return scores

    @torch.no_grad()
    def embed(self, views: Mapping[str, View]) -> Floats:
        """The rows' fused posterior means, (rows, latent)."""
        z: Floats = encode(self.aligner, views, self.device, self.fusion).cpu().numpy()
        return z

    @torch.no_grad()
    def decode(self, z: Floats, modality: str) -> Floats:
        """What the modality's decoder makes of latents, (rows, dim)."""
        parts = torch.from_numpy(np.asarray(z, np.float32)).to(self.device).split(ROWS)
        made = [self.aligner.decode(modality, part) for part in parts]
        x: Floats = torch.cat(made).cpu().numpy()
        return x

    @torch.no_grad()
    def class_latents(self, classes: Sequence[int]) -> Floats:
        """Fused posterior means of the classes' descriptions, (classes, latent); NaN for none."""
        kept = [] if self.statistics is None else list(self.statistics.described.values())
        if not kept:
            return np.full((len(classes), self.aligner.latent), np.nan, np.float32)
        rows = torch.tensor(list(classes), dtype=torch.int64)
        has = torch.stack([each.has[rows] for each in kept])
        z = kept[0].posterior.mean[rows]
        if len(kept) > 1:
            z = fuse([each.posterior[rows] for each in kept], has, self.fusion)
        found: Floats = torch.where(has.any(0)[:, None], z, torch.nan).numpy()
        return found

    @property
    def variants(self) -> Mapping[str, Variant]:
        """Calibrated stacking, where it was asked for."""
        return {} if self.bias is None else {STACKED: Stacked(self, self.bias)}

    def state(self) -> Mapping[str, Tensor]:
        """Every tensor of the aligner and the head."""
        tensors = {f"aligner.{k}": v.cpu() for k, v in self.aligner.state_dict().items()}
        if self.bias is not None:
            tensors["stacking.bias"] = torch.tensor(self.bias, dtype=torch.float64)
        if self.temperature is not None:
            tensors["temperature"] = torch.tensor(self.temperature, dtype=torch.float64)
        if self.statistics is not None:
            tensors |= {f"statistics.{k}": v for k, v in self.statistics.state().items()}
        return tensors | {f"head.{k}": v.cpu() for k, v in self.head.state().items()}

    @property
    def facts(self) -> Facts:
        """The size of the model, what the head has to say, and what was chosen for it."""
        parameters = sum(p.numel() for p in self.aligner.parameters())
        return {"parameters": parameters, "head": dict(self.head.facts), "choice": self.choice}

    def module(self, modalities: Sequence[str], classes: Sequence[int]) -> nn.Module:
        """Encoders, fusion and head, as one module that gives scores and latents."""
        return EncodedAndScored(self, modalities, classes)

    @torch.no_grad()
    def reclassed(
        self,
        kept: Sequence[int],
        added: Mapping[str, View],
        signature: Signature,
        session: Session,
    ) -> FittedVAE:
        """The same aligner with the head fitted again, to other classes.

        Raises MmalignError for a model that keeps no latent statistics.
        """
        if self.statistics is None or self.chosen_head is None:
            raise MmalignError(
                "the model keeps no latent statistics, so its head cannot be fitted again: an older"
                " mmalign wrote it; train it again"
            )
        fresh = len(signature.classes) - len(kept)
        new = {name: self._described(name, added, fresh) for name in self.statistics.described}
        statistics = self.statistics.reclassed(kept, new, signature)
        statistics = replace(statistics, session=replace(session, device="cpu"))
        with torch.enable_grad():
            head = fit_head(self.chosen_head, statistics, statistics.session)
        return replace(self, head=head, seen=signature.seen, statistics=statistics, device="cpu")

    def _described(self, name: str, added: Mapping[str, View], count: int) -> Described:
        """The posteriors of new classes' descriptions; none has one where none is given."""
        latent = self.aligner.latent
        view = added.get(name)
        if view is None:
            empty = Gaussian(torch.zeros(count, latent), torch.zeros(count, latent))
            return Described(empty, torch.zeros(count, dtype=torch.bool))
        x = torch.from_numpy(np.where(view.mask[:, None], view.array, 0))
        return Described(self.aligner.encode(name, x), torch.from_numpy(view.mask.copy()))


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
                torch.from_numpy(np.where(view.mask[:, None], view.array, 0)).to(device),
            )
            for name, view in taken.items()
        ]
        if len(known) == 1:  # exactly its mean, which a weighted average would round
            parts.append(posteriors[0].mean)
        else:
            parts.append(fuse(posteriors, torch.from_numpy(present).to(device), fusion))
    return torch.cat(parts)
