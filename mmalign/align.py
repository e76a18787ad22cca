"""Aligner: M encoders and M decoders around one latent space; Pass: one forward pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mmalign.contracts import Modality
from mmalign.nets import Decoder, Encoder
from mmalign.types import Gaussian

Noise = Literal["shared", "independent"]
Scale = Literal["variance", "std"]


@dataclass(frozen=True)
class Batch:
    """Numbers of each modality for the same rows, each (rows, dim).

    ``masks`` says which rows have a modality; a modality without a mask is in every row.
    """

    values: Mapping[str, Float[Tensor, "rows _"]]
    masks: Mapping[str, Bool[Tensor, " rows"]]


def sample(
    posterior: Gaussian, generator: torch.Generator, noise: Noise, scale: Scale
) -> Float[Tensor, "rows latent"]:
    """A draw from each row's posterior, ``mean + s * e`` (Kingma & Welling 2014, eq. 10).

    Two readings of the published method: ``noise = "shared"`` takes one standard normal
    number per row for all dimensions (the public code), "independent" one per dimension
    (the equations). ``scale = "variance"`` takes ``s = exp(logvar)`` (the code), "std"
    ``s = exp(logvar / 2)`` (the equations).
    """
    mean = posterior.mean
    shape = (len(mean), 1 if noise == "shared" else mean.shape[1])
    e = torch.randn(shape, generator=generator, device=mean.device, dtype=mean.dtype)
    return mean + e * (posterior.logvar.exp() if scale == "variance" else posterior.std)


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
        generators: Mapping[str, torch.Generator],
        noise: Noise,
        scale: Scale,
    ) -> Pass:
        """Encode and sample every modality; decodings follow when a loss asks for them."""
        return Pass(self, batch, generators, noise, scale)


class Pass:
    """One forward pass: posteriors, latents and decodings of a batch.

    What it gives out for several modalities is restricted to the rows that have them all.
    """

    def __init__(
        self,
        aligner: Aligner,
        batch: Batch,
        generators: Mapping[str, torch.Generator],
        noise: Noise,
        scale: Scale,
    ) -> None:
        self.aligner, self.names, self.masks = aligner, aligner.names, batch.masks
        # A row without the modality is encoded as zeros: its numbers, NaN included, are
        # never read, and no term looks at what becomes of it.
        self.x = {
            name: torch.where(batch.masks[name][:, None], x, 0) if name in batch.masks else x
            for name, x in batch.values.items()
        }
        self.posteriors = {name: aligner.encode(name, self.x[name]) for name in self.names}
        self.z = {
            name: sample(self.posteriors[name], generators[name], noise, scale)
            for name in self.names
        }
        self._decoded: dict[tuple[str, str], Tensor] = {}
        self._rows: dict[frozenset[str], Tensor | None] = {}

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
        return rows is None or len(rows) > 0

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
