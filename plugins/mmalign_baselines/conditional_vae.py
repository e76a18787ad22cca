"""The mathematics of CVAE-ZSL: an autoencoder of features, conditioned on descriptions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mmalign import Gaussian, Rows, Session, kl, sample
from mmalign_baselines.perceptrons import Perceptron, dropout, epoch, gaussian, normal

if TYPE_CHECKING:
    from mmalign_baselines.cvae import CVAE


class ConditionalVAE(nn.Module):
    """``q(z | x, a)`` and ``p(x | z, a)``, as perceptrons."""

    def __init__(self, settings: CVAE, dim: int, q: int, draw: torch.Generator) -> None:
        super().__init__()
        self.latent, self.share = settings.latent, settings.dropout
        width = settings.encoder
        self.first = Perceptron((dim + q, width), draw)
        self.moments = Perceptron((width, width, 2 * self.latent), draw)
        self.decoder = Perceptron((self.latent + q, settings.decoder, dim), draw)

    def encode(
        self, x: Float[Tensor, "rows dim"], a: Float[Tensor, "rows q"], noise: torch.Generator
    ) -> Gaussian:
        """The posterior of each row, in training: some of the first hidden layer is dropped."""
        hidden = self.first(torch.cat([x, a], 1)).relu()
        return gaussian(self.moments(dropout(hidden, self.share, noise)))

    def decode(
        self, z: Float[Tensor, "rows latent"], a: Float[Tensor, "rows q"]
    ) -> Float[Tensor, "rows dim"]:
        """The mean of ``p(x | z, a)``."""
        x: Tensor = self.decoder(torch.cat([z, a], 1))
        return x

    def sample(
        self, a: Float[Tensor, "rows q"], noise: torch.Generator
    ) -> Float[Tensor, "rows dim"]:
        """Features decoded from the prior."""
        return self.decode(normal(a, self.latent, noise), a)

    def loss(
        self,
        x: Float[Tensor, "rows dim"],
        a: Float[Tensor, "rows q"],
        noise: torch.Generator,
        mean: bool,
    ) -> dict[str, Float[Tensor, ""]]:
        """Reconstruction, as mean or sum over dimensions, and KL; each as mean over rows."""
        posterior = self.encode(x, a, noise)
        z = sample(posterior, noise, "independent", "std")
        squares = (x - self.decode(z, a)).square()
        reconstruction = squares.mean(1) if mean else squares.sum(1)
        return {"reconstruction": reconstruction.mean(), "kl": kl(posterior).mean()}


def train(
    settings: CVAE, rows: Rows, session: Session
) -> Iterator[tuple[ConditionalVAE, Mapping[str, float]]]:
    """Train; after each epoch, the autoencoder and the mean of each term."""
    draw = session.generator("cvae.initialisation")
    dim, q = rows.x.shape[1], rows.descriptions.shape[1]
    vae = ConditionalVAE(settings, dim, q, draw).to(rows.x)
    adam = torch.optim.Adam(vae.parameters(), lr=settings.lr, fused=True)
    order = session.generator("cvae.order")
    noise = session.generator("cvae.noise", session.device)

    def step(x: Tensor, a: Tensor) -> Mapping[str, Tensor]:
        terms = vae.loss(x, a, noise, settings.recon_reduction == "mean")
        adam.zero_grad()
        (terms["reconstruction"] + terms["kl"]).backward()
        adam.step()
        return terms

    for _ in range(settings.epochs):
        yield vae, epoch(rows, settings.batch, order, step)
