"""Gaussian encoders and decoders, and how they begin."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mmalign.types import Gaussian

GAIN = 0.5  # of the Xavier initialisation, in the published code


def initialise(layer: nn.Linear, generator: torch.Generator) -> None:
    """Xavier uniform with gain 0.5, zero bias (Glorot & Bengio 2010)."""
    nn.init.xavier_uniform_(layer.weight, gain=GAIN, generator=generator)
    nn.init.zeros_(layer.bias)


def linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    """A linear layer, initialised from this generator alone."""
    layer: nn.Linear = nn.utils.skip_init(nn.Linear, inputs, outputs)
    initialise(layer, generator)
    return layer


class Encoder(nn.Module):
    """``dim -> hidden -> ReLU -> (mean, logvar)``, both of size ``latent``."""

    def __init__(self, dim: int, hidden: int, latent: int, generator: torch.Generator) -> None:
        super().__init__()
        self.hidden = linear(dim, hidden, generator)
        mean, logvar = (linear(hidden, latent, generator) for _ in range(2))
        # One product for both; initialised apart, because Xavier's bound knows the width.
        self.moments: nn.Linear = nn.utils.skip_init(nn.Linear, hidden, 2 * latent)
        with torch.no_grad():
            self.moments.weight.copy_(torch.cat([mean.weight, logvar.weight]))
            self.moments.bias.zero_()

    def forward(self, x: Float[Tensor, "rows dim"]) -> Gaussian:
        """The posterior of each row."""
        # In place: at 512 rows another tensor of this size costs as much as a small product.
        mean, logvar = self.moments(self.hidden(x).relu_()).chunk(2, dim=-1)
        return Gaussian(mean, logvar)


class Decoder(nn.Module):
    """``latent -> hidden -> ReLU -> dim``, with linear output."""

    def __init__(self, latent: int, hidden: int, dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.hidden = linear(latent, hidden, generator)
        self.output = linear(hidden, dim, generator)

    def forward(self, z: Float[Tensor, "rows latent"]) -> Float[Tensor, "rows dim"]:
        """What the modality looks like from these latents."""
        x: Tensor = self.output(self.hidden(z).relu_())
        return x
