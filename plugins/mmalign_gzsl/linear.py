"""A linear softmax classifier and its training, with no Python per row and no autograd."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.optim.adam import adam

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
    dim, count = z.shape[1], len(classes)
    # Weight and bias are one tensor, and latents get a column of ones: one product, one
    # optimiser state.
    theta = torch.zeros(dim + 1, count, dtype=z.dtype, device=z.device)
    weight = torch.empty(count, dim, dtype=z.dtype)
    torch.nn.init.xavier_uniform_(weight, gain=0.5, generator=initialisation)
    theta[:dim] = weight.T.to(z.device)
    z = torch.cat([z, torch.ones_like(z[:, :1])], dim=1)
    position = torch.full((max(classes) + 1,), -1, dtype=torch.int64, device=z.device)
    position[list(classes)] = torch.arange(count, device=z.device)
    targets = position[labels]

    gradient, mean, square = (torch.zeros_like(theta) for _ in range(3))
    step = torch.zeros((), dtype=torch.float32, device=z.device)
    for epoch in range(epochs):
        shuffled = torch.randperm(len(z), generator=order).to(z.device)
        inputs, wanted = z[shuffled], targets[shuffled][:, None]
        loss = torch.zeros((), dtype=z.dtype, device=z.device)
        for x, y in zip(inputs.split(batch), wanted.split(batch), strict=True):
            residual = torch.log_softmax(x @ theta, dim=1)
            loss -= residual.gather(1, y).sum()
            residual.exp_().scatter_add_(1, y, residual.new_full((1, 1), -1).expand(len(y), 1))
            torch.mm(x.T, residual.div_(len(y)), out=gradient)
            adam(
                [theta],
                [gradient],
                [mean],
                [square],
                [],
                [step],
                fused=True,
                amsgrad=False,
                beta1=0.5,
                beta2=0.999,
                lr=lr,
                weight_decay=0.0,
                eps=1e-8,
                maximize=False,
            )
        epoch_ended(epoch + 1, float(loss) / len(z), Linear(theta[:dim], theta[dim], classes))
    return Linear(theta[:dim].clone(), theta[dim].clone(), classes)
