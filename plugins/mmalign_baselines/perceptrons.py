"""Perceptrons, Gaussian encoders and the batches of an epoch, for the conditional VAEs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mmalign import Gaussian, Rows


class Perceptron(nn.Module):
    """Linear layers with a (leaky) ReLU between two; Xavier uniform weights, biases of zero."""

    def __init__(self, widths: Sequence[int], draw: torch.Generator, leak: float = 0.0) -> None:
        super().__init__()
        self.leak = leak
        self.layers = nn.ModuleList()
        for inputs, outputs in pairwise(widths):
            layer: nn.Linear = nn.utils.skip_init(nn.Linear, inputs, outputs)
            nn.init.xavier_uniform_(layer.weight, generator=draw)
            nn.init.zeros_(layer.bias)
            self.layers.append(layer)

    def forward(self, x: Float[Tensor, "rows inputs"]) -> Float[Tensor, "rows outputs"]:
        """The last layer's numbers."""
        for layer in self.layers[:-1]:
            x = nn.functional.leaky_relu(layer(x), self.leak)
        found: Tensor = self.layers[-1](x)
        return found


def gaussian(moments: Float[Tensor, "rows twice"]) -> Gaussian:
    """Mean and log-variance, side by side, as a Gaussian."""
    mean, logvar = moments.chunk(2, dim=1)
    return Gaussian(mean, logvar)


def normal(
    rows: Float[Tensor, "rows any"], size: int, noise: torch.Generator
) -> Float[Tensor, "rows {size}"]:
    """Standard normal numbers, ``size`` for each row."""
    shape = (len(rows), size)
    return torch.randn(shape, generator=noise, device=rows.device, dtype=rows.dtype)


def dropout(
    x: Float[Tensor, "rows hidden"], share: float, noise: torch.Generator
) -> Float[Tensor, "rows hidden"]:
    """Drop this share of the numbers, and scale the others up; torch's own has no generator."""
    kept = torch.rand(x.shape, generator=noise, device=x.device) >= share
    return x * kept / (1 - share)


def epoch(
    rows: Rows,
    batch: int,
    order: torch.Generator,
    step: Callable[[Tensor, Tensor], Mapping[str, Tensor]],
) -> dict[str, float]:
    """Go once through the rows; the mean over rows of what the steps return.

    ``step`` takes features and the descriptions of their classes.
    """
    sums: dict[str, Tensor] = {}
    for some in torch.randperm(len(rows.x), generator=order).to(rows.x.device).split(batch):
        terms = step(rows.x[some], rows.descriptions[rows.labels[some]])
        sums = {n: sums.get(n, 0) + len(some) * value.detach() for n, value in terms.items()}
    return {name: float(value) / len(rows.x) for name, value in sums.items()}


def parameters(*nets: nn.Module) -> Iterator[nn.Parameter]:
    """The parameters of several networks."""
    for net in nets:
        yield from net.parameters()
