"""Aligner: M encoders and M decoders around one latent space; Pass: one forward pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from mmalign.contracts import Modality
from mmalign.group import Share
from mmalign.nets import Decoder, Encoder
from mmalign.types import Gaussian

Noise = Literal["shared", "independent"]
Scale = Literal["variance", "std"]


@dataclass(frozen=True)
class Batch:
    """Numbers of each modality for the same rows, each (rows, dim).

    ``masks`` says which rows have a modality; a modality without a mask is in every row.
    Where rows share their numbers, as those of one class do, ``values`` has them once, and
    ``places`` says which of them each row has: they are encoded once, too. Of a batch that
    several processes have, these are one's rows, and ``share`` says which. ``picked`` are
    their numbers among the training rows, on the host, where they stem from these.
    """

    values: Mapping[str, Float[Tensor, "_ _"]]
    masks: Mapping[str, Bool[Tensor, " rows"]]
    places: Mapping[str, Int[Tensor, " rows"]] = field(default_factory=dict)
    share: Share | None = None
    picked: Int[Tensor, " rows"] | None = None

    @property
    def rows(self) -> int:
        """How many rows there are."""
        name, values = next(iter(self.values.items()))
        return len(self.places.get(name, values))

    @property
    def count(self) -> int:
        """How many rows there are, those of other processes among them."""
        return self.rows if self.share is None else self.share.count

    def own(self, values: Float[Tensor, "_ _"]) -> Float[Tensor, "rows _"]:
        """Of something for all ``count`` rows, what is for these."""
        return values if self.share is None else values[self.share.rows]


def sample(
    posterior: Gaussian, generator: torch.Generator, noise: Noise, scale: Scale
) -> Float[Tensor, "rows latent"]:
    """A draw from each row's posterior, ``mean + s * e`` (Kingma & Welling 2014, eq. 10).

    Two readings of the published method: ``noise = "shared"`` takes one standard normal
    number per row for all dimensions (the public code), "independent" one per dimension
    (the equations). ``scale = "variance"`` takes ``s = exp(logvar)`` (the code), "std"
    ``s = exp(logvar / 2)`` (the equations).
    """
    rows, latent = posterior.mean.shape
    return moved(posterior, draw_noise(rows, latent, noise, generator, posterior.mean.dtype), scale)


def draw_noise(
    rows: int,
    latent: int,
    noise: Noise,
    generator: torch.Generator,
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "rows _"]:
    """Standard normal numbers on the generator's device: (rows, 1) "shared", or (rows, latent)."""
    shape = (rows, 1 if noise == "shared" else latent)
    return torch.randn(shape, generator=generator, device=generator.device, dtype=dtype)


def moved(
    posterior: Gaussian, e: Float[Tensor, "rows _"], scale: Scale
) -> Float[Tensor, "rows latent"]:
    """``mean + s * e`` for standard normal numbers ``e``."""
    return posterior.mean + e * (posterior.logvar.exp() if scale == "variance" else posterior.std)


class Aligner(nn.Module):
    """One variational autoencoder per modality, in one latent space.

    Modalities are kept in the order of their names, and each draws its weights from the
    generator of its own name, so that the order in a recipe changes nothing.
    """

    def __init__(
        self,
        modalities: Mapping[str, Modality],
        dims: Mapping[str, int],
        latent: int,
        generator: Callable[[str], torch.Generator],
    ) -> None:
        super().__init__()
        self.names = tuple(sorted(modalities))
        self.latent = latent
        self.encoders = nn.ModuleDict()
        self.decoders = nn.ModuleDict()
        for name in self.names:
            encoder, decoder = modalities[name].hidden
            seed = generator(f"initialisation.{name}")
            self.encoders[name] = Encoder(dims[name], encoder, latent, seed)
            self.decoders[name] = Decoder(latent, decoder, dims[name], seed)

    def encode(self, name: str, x: Float[Tensor, "rows dim"]) -> Gaussian:
        """The posterior of each row from this modality."""
        posterior: Gaussian = self.encoders[name](x)
        return posterior

    def decode(self, name: str, z: Float[Tensor, "rows latent"]) -> Float[Tensor, "rows dim"]:
        """This modality's numbers from latents."""
        x: Tensor = self.decoders[name](z)
        return x

    def forward(
        self,
        batch: Batch,
        noise: Mapping[str, Float[Tensor, "rows _"]],
        scale: Scale,
    ) -> Pass:
        """Encode and sample every modality; decodings follow when a loss asks for them.

        ``noise`` has the standard normal numbers of each modality, as ``draw_noise`` gives them.
        """
        return Pass(self, batch, noise, scale)


class Pass:
    """One forward pass: posteriors, latents and decodings of a batch.

    What it gives out for several modalities is restricted to the rows that have them all.
    """

    def __init__(
        self,
        aligner: Aligner,
        batch: Batch,
        noise: Mapping[str, Float[Tensor, "rows _"]],
        scale: Scale,
    ) -> None:
        self.aligner, self.names, self.masks = aligner, aligner.names, batch.masks
        self.x, self.posteriors = {}, {}
        for name in self.names:
            self.x[name], self.posteriors[name] = self._encoded(name, batch)
        self.z = {name: moved(p, noise[name], scale) for name, p in self.posteriors.items()}
        self._decoded: dict[tuple[str, str], Tensor] = {}
        self._rows: dict[frozenset[str], Tensor | None] = {}

    def _encoded(self, name: str, batch: Batch) -> tuple[Tensor, Gaussian]:
        """A modality's numbers and posteriors, row by row.

        A row without the modality is encoded as zeros: its numbers, NaN included, are never
        read, and no term looks at what becomes of it.
        """
        x, mask, place = batch.values[name], batch.masks.get(name), batch.places.get(name)
        if place is None:
            x = x if mask is None else torch.where(mask[:, None], x, 0)
            return x, self.aligner.encode(name, x)
        if mask is not None:
            # Rows that share their numbers have the modality, all of them or none.
            has = torch.zeros_like(x[:, 0]).index_add(0, place, mask.to(x.dtype)) > 0
            x = torch.where(has[:, None], x, 0)
        shared = self.aligner.encode(name, x)
        mean, logvar = (each.index_select(0, place) for each in (shared.mean, shared.logvar))
        return x.index_select(0, place), Gaussian(mean, logvar)

    def decode(self, sources: Literal["own", "all"]) -> None:
        """Decode each modality from its own latents or from all, one product per decoder."""
        for target in self.names:
            wanted = self.names if sources == "all" else (target,)
            z = torch.cat([self.z[source] for source in wanted])
            parts = self.aligner.decode(target, z).chunk(len(wanted))
            self._decoded.update({(s, target): part for s, part in zip(wanted, parts, strict=True)})

    def rows(self, *names: str) -> Tensor | None:
        """Indices of the rows that have all these modalities; None when every row has."""
        key = frozenset(names)
        if key not in self._rows:
            masks = [self.masks[name] for name in sorted(key) if name in self.masks]
            self._rows[key] = torch.stack(masks).all(0).nonzero()[:, 0] if masks else None
        return self._rows[key]

    def of(self, values: Tensor, *names: str) -> Tensor:
        """``values`` (rows, ...) at the rows that have all these modalities."""
        rows = self.rows(*names)
        return values if rows is None else values[rows]

    def any(self, *names: str) -> bool:
        """Whether some row has all these modalities."""
        rows = self.rows(*names)
        return len(self.z[self.names[0]] if rows is None else rows) > 0

    def count(self, tuples: list[tuple[str, ...]]) -> Float[Tensor, " rows"]:
        """How many of these tuples of modalities each row has in full."""
        some = self.z[self.names[0]]
        total = torch.zeros(len(some), device=some.device, dtype=some.dtype)
        for names in tuples:
            rows = self.rows(*names)
            if rows is None:
                total += 1
            else:
                total[rows] += 1
        return total

    def posterior(self, name: str, *others: str) -> Gaussian:
        """Modality ``name``'s posterior, at the rows that have it and the others."""
        rows = self.rows(name, *others)
        posterior = self.posteriors[name]
        return posterior if rows is None else posterior[rows]

    def decoding(
        self, source: str, target: str
    ) -> tuple[Float[Tensor, "rows dim"], Float[Tensor, "rows dim"]]:
        """The target's numbers and its decoding from the source's latents."""
        decoded = self._decoded[source, target]
        return self.of(self.x[target], source, target), self.of(decoded, source, target)

    def zero(self) -> Tensor:
        """A sum over no rows."""
        return self.z[self.names[0]].sum() * 0
