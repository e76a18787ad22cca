"""The mathematics of f-CLSWGAN: a conditional generator, and a critic of bounded slope."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mmalign import Linear, Rows, Session, fit_linear, precision_of

if TYPE_CHECKING:
    from mmalign_baselines.f_clswgan import FCLSWGAN

LEAK = 0.2  # slope of the leaky ReLU below zero
STD = 0.02  # of the weights as they begin
BETAS = (0.5, 0.999)


def normal(*shape: int, draw: torch.Generator) -> nn.Parameter:
    """Weights as they begin: normal numbers of deviation 0.02."""
    return nn.Parameter(STD * torch.randn(shape, generator=draw))


def leaky(x: Float[Tensor, "rows hidden"]) -> Float[Tensor, "rows hidden"]:
    """``max(x, 0.2 x)``."""
    return nn.functional.leaky_relu(x, LEAK)


class Generator(nn.Module):
    """``[e; a] -> hidden -> leaky ReLU -> dim -> ReLU``, with noise e."""

    def __init__(self, noise: int, q: int, hidden: int, dim: int, draw: torch.Generator) -> None:
        super().__init__()
        self.noise = noise
        self.hidden, self.hidden_bias = normal(noise + q, hidden, draw=draw), zeros(hidden)
        self.output, self.output_bias = normal(hidden, dim, draw=draw), zeros(dim)

    def forward(
        self, e: Float[Tensor, "rows noise"], a: Float[Tensor, "rows q"]
    ) -> Float[Tensor, "rows dim"]:
        """Features of classes with these descriptions."""
        hidden = leaky(torch.addmm(self.hidden_bias, torch.cat([e, a], 1), self.hidden))
        return torch.addmm(self.output_bias, hidden, self.output).relu()

    def sample(
        self, a: Float[Tensor, "rows q"], noise: torch.Generator
    ) -> Float[Tensor, "rows dim"]:
        """Features with fresh noise."""
        shape = (len(a), self.noise)
        e = torch.randn(shape, generator=noise, device=a.device, dtype=a.dtype)
        found: Tensor = self(e, a)
        return found


class Critic(nn.Module):
    """``D(x, a) = w . leaky(W x + V a + b)``.

    It has no output bias: that would cancel in the critic's loss, and give the generator's
    no gradient.
    """

    def __init__(self, dim: int, q: int, hidden: int, draw: torch.Generator) -> None:
        super().__init__()
        self.of_features = normal(hidden, dim, draw=draw)
        self.of_descriptions = normal(hidden, q, draw=draw)
        self.bias = zeros(hidden)
        self.output = normal(hidden, draw=draw)
        # Its gradients are set by hand; the generator's step asks for those of features only.
        self.requires_grad_(False)

    def hidden(
        self, x: Float[Tensor, "rows dim"], a: Float[Tensor, "rows q"]
    ) -> Float[Tensor, "rows hidden"]:
        """The hidden layer before its leaky ReLU."""
        described = torch.addmm(self.bias, a, self.of_descriptions.T)
        return torch.addmm(described, x, self.of_features.T)

    def forward(
        self, x: Float[Tensor, "rows dim"], a: Float[Tensor, "rows q"]
    ) -> Float[Tensor, " rows"]:
        """How real features look, as a number without bounds."""
        value: Tensor = leaky(self.hidden(x, a)) @ self.output
        return value

    @torch.no_grad()
    def differentiate(
        self,
        x: Float[Tensor, "rows dim"],
        fake: Float[Tensor, "rows dim"],
        a: Float[Tensor, "rows q"],
        alpha: Float[Tensor, "rows 1"],
        penalty: float,
    ) -> dict[str, Tensor]:
        """Set the gradient of the critic's loss; returns the terms of the loss.

        ``E[D(fake)] - E[D(x)] + penalty E[(|dD/dx at m| - 1)^2]``, ``m = alpha x + (1 - alpha)
        fake``. With ``s`` the slopes of the leaky ReLU at m, the gradient there is
        ``g = W^T u``, ``u = s w``, and s is constant almost everywhere: so the penalty moves
        W by the outer product of u and ``c = dpenalty/dg``, and w by ``s (W c)``. No graph is
        built, and m itself is never multiplied: the hidden layer is affine in x.
        """
        count, both = len(x), torch.cat([x, fake])
        described = torch.addmm(self.bias, a, self.of_descriptions.T)
        before = torch.addmm(described.repeat(2, 1), both, self.of_features.T)
        slope = slopes(before)
        of_x, of_fake = (before * slope).split(count)
        between = slopes(torch.lerp(before[count:], before[:count], alpha))
        u = between * self.output
        g = u @ self.of_features
        norm = g.norm(dim=1, keepdim=True)
        # Where g is 0 it has no direction, and is left at 0.
        c = (2 * penalty / count) * (norm - 1) / norm.clamp_min(torch.finfo(g.dtype).eps) * g

        d = slope * (self.output / count)
        d[:count].neg_()
        change = d[:count] + d[count:]
        self.of_features.grad = torch.cat([d, u]).T @ torch.cat([both, c])
        self.of_descriptions.grad = change.T @ a
        self.bias.grad = change.sum(0)
        by_penalty = (between * (c @ self.of_features.T)).sum(0)
        self.output.grad = of_fake.mean(0) - of_x.mean(0) + by_penalty
        return {
            "wasserstein": (of_x.mean(0) - of_fake.mean(0)) @ self.output,
            "penalty": penalty * (norm - 1).square().mean(),
        }


def zeros(size: int) -> nn.Parameter:
    """A bias as it begins."""
    return nn.Parameter(torch.zeros(size))


def slopes(before: Float[Tensor, "rows hidden"]) -> Float[Tensor, "rows hidden"]:
    """The derivative of the leaky ReLU: 1 above zero, else 0.2."""
    return (before > 0).to(before.dtype).mul_(1 - LEAK).add_(LEAK)


class Training:
    """Both networks, the frozen classifier, and the steps that alternate."""

    def __init__(self, settings: FCLSWGAN, rows: Rows, session: Session) -> None:
        self.settings, self.rows = settings, rows
        (dim, q), hidden = (rows.x.shape[1], rows.descriptions.shape[1]), settings.hidden
        draw = session.generator("f-clswgan.initialisation")
        self.generator = Generator(settings.noise or q, q, hidden, dim, draw).to(rows.x)
        self.critic = Critic(dim, q, hidden, draw).to(rows.x)
        self.classifier = classifier_of_known(rows, session)
        self.adams = {
            net: torch.optim.Adam(net.parameters(), lr=settings.lr, betas=BETAS, fused=True)
            for net in (self.generator, self.critic)
        }
        self.order = session.generator("f-clswgan.order")
        self.noise = session.generator("f-clswgan.noise", session.device)

    def iteration(self) -> dict[str, Tensor]:
        """Some steps of the critic, and one of the generator for the last of their classes."""
        wanted = (self.settings.critic_steps, self.settings.batch)
        index = torch.randint(len(self.rows.x), wanted, generator=self.order)
        index = index.to(self.rows.x.device)
        a = self.rows.descriptions[self.rows.labels[index]]
        with torch.no_grad():  # the generator rests meanwhile: one product for all steps
            fakes = self.generator.sample(a.flatten(0, 1), self.noise).split(wanted[1])
        terms = {}
        for at, fake in enumerate(fakes):
            alpha = torch.rand((len(fake), 1), generator=self.noise, device=fake.device)
            x, alpha = self.rows.x[index[at]], alpha.to(fake)
            terms = self.critic.differentiate(x, fake, a[at], alpha, self.settings.penalty)
            self.adams[self.critic].step()
        return terms | self.step_generator(a[-1], self.rows.targets[index[-1]])

    def step_generator(
        self, a: Float[Tensor, "rows q"], targets: Int[Tensor, " rows"]
    ) -> dict[str, Tensor]:
        """``min -E[D(fake)] + beta E[cross-entropy]`` in the generator alone."""
        fake = self.generator.sample(a, self.noise)
        adversarial = -self.critic(fake, a).mean()
        logits = torch.addmm(self.classifier.bias, fake, self.classifier.weight)
        classification = nn.functional.cross_entropy(logits, targets)
        self.adams[self.generator].zero_grad()
        (adversarial + self.settings.beta * classification).backward()
        self.adams[self.generator].step()
        return {"adversarial": adversarial.detach(), "classification": classification.detach()}


def classifier_of_known(rows: Rows, session: Session) -> Linear:
    """The linear softmax of real features that stays as it is while the generator trains."""
    return fit_linear(
        rows.x,
        rows.labels,
        rows.known,
        epochs=50,
        batch=100,
        lr=1e-3,
        initialisation=session.generator("f-clswgan.classifier.initialisation"),
        order=session.generator("f-clswgan.classifier.order"),
    )


def train(
    settings: FCLSWGAN, rows: Rows, session: Session
) -> Iterator[tuple[Generator, Mapping[str, float]]]:
    """Train; after each epoch, the generator and the mean of each term."""
    training = Training(settings, rows, session)
    steps = math.ceil(len(rows.x) / settings.batch)
    for _ in range(settings.epochs):
        sums: dict[str, Tensor] = {}
        for _ in range(steps):
            with precision_of(settings.products):
                terms = training.iteration()
            sums = {name: sums.get(name, 0) + value for name, value in terms.items()}
        yield training.generator, {name: float(value) / steps for name, value in sums.items()}
