"""A linear softmax classifier and its training, with no Python per row and no autograd."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mmalign import MmalignError


@dataclass(frozen=True)
class Linear:
    """``z W + b``, scores over ``classes``."""

    weight: Float[Tensor, "latent classes"]
    bias: Float[Tensor, " classes"]
    classes: tuple[int, ...]

    def scores(
        self, z: Float[Tensor, "rows latent"], classes: Sequence[int]
    ) -> Float[Tensor, "rows wanted"]:
        """Log-probabilities up to a constant of the row, over these classes.

        Raises MmalignError for a class that it was not trained on.
        """
        scores = torch.addmm(self.bias, z, self.weight)
        if tuple(classes) == self.classes:
            return scores
        place = {index: column for column, index in enumerate(self.classes)}
        unknown = [index for index in classes if index not in place]
        if unknown:
            raise MmalignError(f"the head was not trained on the class with index {unknown[0]}")
        return scores[:, [place[index] for index in classes]]


def fit_linear(
    z: Float[Tensor, "rows latent"],
    labels: Int[Tensor, " rows"],
    classes: tuple[int, ...],
    *,
    epochs: int,
    batch: int,
    lr: float,
    initialisation: torch.Generator,
    order: torch.Generator,
    epoch_ended: Callable[[int, float, Linear], None] = lambda *_: None,
) -> Linear:
    """Minimise the mean cross-entropy by Adam with betas (0.5, 0.999).

    The gradient of a linear softmax is known in closed form, ``z^T (p - y) / rows``: at 32
    rows a step, building an autograd graph costs several times the arithmetic. Each epoch
    goes once through a permutation. ``epoch_ended`` is told the epoch, from 1, the mean
    loss and the classifier as it stands.
    """
    # Weight and bias are one tensor, and latents get a column of ones: one product, one
    # optimiser state.
    theta = _begin(z, len(classes), initialisation)
    z = torch.cat([z, torch.ones_like(z[:, :1])], dim=1)
    position = torch.full((max(classes) + 1,), -1, dtype=torch.int64, device=z.device)
    position[list(classes)] = torch.arange(len(classes), device=z.device)
    targets = position[labels][:, None]

    adam = Adam(theta, lr)
    gradient = torch.empty_like(theta)
    minus = torch.full((batch, 1), -1, dtype=z.dtype, device=z.device)
    of_target = torch.empty(len(z), 1, dtype=z.dtype, device=z.device)
    for epoch in range(epochs):
        shuffled = torch.randperm(len(z), generator=order).to(z.device)
        inputs, wanted = z[shuffled].split(batch), targets[shuffled].split(batch)
        for x, y, kept in zip(inputs, wanted, of_target.split(batch), strict=True):
            p = torch.softmax(x @ theta, dim=1)
            torch.gather(p, 1, y, out=kept)
            p.scatter_add_(1, y, minus[: len(y)])
            torch.addmm(gradient, x.T, p, beta=0, alpha=1 / len(y), out=gradient)
            adam.step(gradient)
        loss = -float(of_target.clamp_min(torch.finfo(z.dtype).tiny).log().mean())
        epoch_ended(epoch + 1, loss, _linear(theta, classes))
    return _linear(theta.clone(), classes)


def _begin(
    z: Float[Tensor, "rows latent"], classes: int, generator: torch.Generator
) -> Float[Tensor, "inputs classes"]:
    """Xavier uniform weights with gain 0.5, and a last row of zeros, the bias."""
    weight = torch.empty(classes, z.shape[1], dtype=z.dtype)
    torch.nn.init.xavier_uniform_(weight, gain=0.5, generator=generator)
    bias = torch.zeros(1, classes, dtype=z.dtype)
    return torch.cat([weight.T, bias]).to(z.device)


def _linear(theta: Float[Tensor, "inputs classes"], classes: tuple[int, ...]) -> Linear:
    return Linear(theta[:-1], theta[-1], classes)


class Adam:
    """Adam (Kingma & Ba 2015, algorithm 1) on one tensor, with betas (0.5, 0.999).

    torch's own, fused, spends more time in its bookkeeping than these steps take.
    """

    def __init__(self, theta: Tensor, lr: float, eps: float = 1e-8) -> None:
        self.theta, self.lr, self.eps = theta, lr, eps
        self.mean, self.square = torch.zeros_like(theta), torch.zeros_like(theta)
        self.root = torch.empty_like(theta)
        self.power1 = self.power2 = 1.0

    def step(self, gradient: Tensor) -> None:
        """Move theta; the bias corrections are folded into the step's size."""
        self.power1 *= 0.5
        self.power2 *= 0.999
        correction = (1 - self.power2) ** 0.5
        self.mean.lerp_(gradient, 0.5)
        self.square.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
        torch.sqrt(self.square, out=self.root).add_(self.eps * correction)
        size = self.lr * correction / (1 - self.power1)
        self.theta.addcdiv_(self.mean, self.root, value=-size)
