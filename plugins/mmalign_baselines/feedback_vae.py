"""The mathematics of SE: a conditional VAE whose decoder listens to a regressor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mmalign import Rows, Session, kl, sample
from mmalign_baselines.grids import one
from mmalign_baselines.perceptrons import Perceptron, epoch, gaussian, normal, parameters

if TYPE_CHECKING:
    from mmalign_baselines.se import SE

LEAK = 0.2  # slope of the leaky ReLUs below zero


class FeedbackVAE(nn.Module):
    """Encoder ``q(z | x)``, decoder ``p(x | z, a)`` and regressor ``p(a | x)``."""

    def __init__(self, settings: SE, dim: int, q: int, draw: torch.Generator) -> None:
        super().__init__()
        self.latent, width = settings.latent, settings.hidden
        self.encoder = Perceptron((dim, width, width, 2 * self.latent), draw, LEAK)
        self.decoder = Perceptron((self.latent + q, width, dim), draw, LEAK)
        self.regressor = Perceptron((dim, width, q), draw, LEAK)

    def decode(
        self, z: Float[Tensor, "rows latent"], a: Float[Tensor, "rows q"]
    ) -> Float[Tensor, "rows dim"]:
        """The mean of ``p(x | z, a)``, never negative."""
        x: Tensor = self.decoder(torch.cat([z, a], 1)).relu()
        return x

    def sample(
        self, a: Float[Tensor, "rows q"], noise: torch.Generator
    ) -> Float[Tensor, "rows dim"]:
        """Features decoded from the prior."""
        return self.decode(normal(a, self.latent, noise), a)


def surprise(
    x: Float[Tensor, "rows dim"], mean: Float[Tensor, "rows dim"], variance: Float[Tensor, ""]
) -> Float[Tensor, ""]:
    """``|x - mean|^2 / (2 variance)``, the mean over rows: -log of a Gaussian, in nats.

    Without the logarithm of the variance, which no gradient sees.
    """
    return (x - mean).square().sum(1).mean() / (2 * variance)


def spread(x: Float[Tensor, "rows dim"]) -> Float[Tensor, ""]:
    """The variance of rows, averaged over dimensions; 1 where they are all the same."""
    variance: Tensor = x.var(0, correction=0).mean()
    return torch.where(variance > 0, variance, torch.ones_like(variance))


class Training:
    """The three networks, and the two steps that alternate."""

    def __init__(self, settings: SE, rows: Rows, session: Session) -> None:
        self.settings = settings
        draw = session.generator("se.initialisation")
        dim, q = rows.x.shape[1], rows.descriptions.shape[1]
        self.vae = FeedbackVAE(settings, dim, q, draw).to(rows.x)
        self.of_x, self.of_a = spread(rows.x), spread(rows.described)
        self.noise = session.generator("se.noise", session.device)
        of_vae = parameters(self.vae.encoder, self.vae.decoder)
        self.of_regressor = torch.optim.Adam(self.vae.regressor.parameters(), fused=True)
        self.of_vae = torch.optim.Adam(of_vae, fused=True)

    def at(self, epoch: int) -> None:
        """Set the learning rate of this epoch, from 0."""
        for adam in (self.of_regressor, self.of_vae):
            for group in adam.param_groups:
                group["lr"] = self.settings.lr_at(epoch)

    def regress(
        self, x: Float[Tensor, "rows dim"], a: Float[Tensor, "rows q"]
    ) -> dict[str, Tensor]:
        """The regressor's step, on real features and on made-up ones."""
        with torch.no_grad():
            fake = self.vae.sample(a, self.noise)
        real, made = (surprise(a, self.vae.regressor(each), self.of_a) for each in (x, fake))
        self.of_regressor.zero_grad()
        (real + one(self.settings.lambda_r) * made).backward()
        self.of_regressor.step()
        return {"regression": real, "regression of made-up": made}

    def generate(
        self, x: Float[Tensor, "rows dim"], a: Float[Tensor, "rows q"]
    ) -> dict[str, Tensor]:
        """The encoder's and the decoder's step; the regressor gives feedback, and rests."""
        terms, settings = self.terms(x, a), self.settings
        loss = terms["reconstruction"] + terms["kl"]
        loss = loss + one(settings.lambda_c) * terms["feedback"]
        loss = loss + one(settings.lambda_reg) * terms["prior reconstruction"]
        loss = loss + one(settings.lambda_e) * terms["independence"]
        self.of_vae.zero_grad()
        loss.backward(inputs=list(parameters(self.vae.encoder, self.vae.decoder)))
        self.of_vae.step()
        return terms

    def terms(
        self, x: Float[Tensor, "rows dim"], a: Float[Tensor, "rows q"]
    ) -> dict[str, Float[Tensor, ""]]:
        """Each term of the encoder's and the decoder's loss, as mean over rows."""
        posterior = gaussian(self.vae.encoder(x))
        z = sample(posterior, self.noise, "independent", "std")
        fake = self.vae.sample(a, self.noise)
        return {
            "reconstruction": surprise(x, self.vae.decode(z, a), self.of_x),
            "kl": kl(posterior).mean(),
            "feedback": surprise(a, self.vae.regressor(fake), self.of_a),
            "prior reconstruction": surprise(x, fake, self.of_x),
            "independence": kl(gaussian(self.vae.encoder(fake))).mean(),
        }


def train(
    settings: SE, rows: Rows, session: Session
) -> Iterator[tuple[FeedbackVAE, Mapping[str, float]]]:
    """Train; after each epoch, the networks and the mean of each term."""
    training, order = Training(settings, rows, session), session.generator("se.order")

    def step(x: Tensor, a: Tensor) -> Mapping[str, Tensor]:
        return training.regress(x, a) | training.generate(x, a)

    for number in range(settings.epochs):
        training.at(number)
        yield training.vae, epoch(rows, settings.batch, order, step)
