"""CMT's regressor of descriptions: two layers, their loss with its gradient, and L-BFGS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor


@dataclass(frozen=True)
class Regressor:
    """``g(x) = W_2 tanh(W_1 x + b_1) + b_2``."""

    NAMES: ClassVar[tuple[str, ...]] = ("w1", "b1", "w2", "b2")
    w1: Float[Tensor, "hidden dim"]
    b1: Float[Tensor, " hidden"]
    w2: Float[Tensor, "q hidden"]
    b2: Float[Tensor, " q"]

    def __call__(self, x: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows q"]:
        """The description that a row seems to have."""
        hidden = torch.addmm(self.b1, x, self.w1.T).tanh_()
        return torch.addmm(self.b2, hidden, self.w2.T)

    def tensors(self) -> tuple[Tensor, ...]:
        """Weights and biases."""
        return self.w1, self.b1, self.w2, self.b2

    @staticmethod
    def of(state: Mapping[str, Tensor]) -> Regressor:
        """The regressor of these tensors. Raises KeyError for one that is missing."""
        return Regressor(*(state[name] for name in Regressor.NAMES))


def first(
    dim: int, hidden: int, q: int, generator: torch.Generator, dtype: torch.dtype
) -> Regressor:
    """Weights uniform within ``sqrt(6 / (inputs + outputs))`` of 0, biases 0."""

    def weight(outputs: int, inputs: int) -> Tensor:
        made = torch.empty(outputs, inputs, dtype=dtype)
        return torch.nn.init.xavier_uniform_(made, generator=generator)

    return Regressor(
        weight(hidden, dim),
        torch.zeros(hidden, dtype=dtype),
        weight(q, hidden),
        torch.zeros(q, dtype=dtype),
    )


def loss(
    net: Regressor, x: Float[Tensor, "rows dim"], wanted: Float[Tensor, "rows q"], lam: float
) -> tuple[Float[Tensor, ""], Regressor]:
    """``1 / (2 N) sum of |a - g(x)|^2 + lam / 2 (|W_1|^2 + |W_2|^2)`` and its gradient.

    The gradient comes as a regressor, one tensor for each of the net's.
    """
    hidden = torch.addmm(net.b1, x, net.w1.T).tanh_()
    residual = torch.addmm(net.b2, hidden, net.w2.T).sub_(wanted)
    squares = net.w1.square().sum() + net.w2.square().sum()
    value = residual.square().sum() / (2 * len(x)) + lam / 2 * squares
    residual /= len(x)
    back = (residual @ net.w2).mul_(1 - hidden.square())
    return value, Regressor(
        torch.addmm(net.w1, back.T, x, beta=lam),
        back.sum(0),
        torch.addmm(net.w2, residual.T, hidden, beta=lam),
        residual.sum(0),
    )


def train(
    net: Regressor,
    x: Float[Tensor, "rows dim"],
    wanted: Float[Tensor, "rows q"],
    lam: float,
    iterations: int,
) -> Regressor:
    """Minimise the loss from ``net`` on, by L-BFGS; products are in the rows' precision."""
    shapes = [each.shape for each in net.tensors()]
    sizes = [each.numel() for each in net.tensors()]

    def packed(flat: NDArray[np.float64]) -> Regressor:
        parts = torch.from_numpy(flat).to(x).split(sizes)
        return Regressor(*(part.view(shape) for part, shape in zip(parts, shapes, strict=True)))

    def flat(net: Regressor) -> NDArray[np.float64]:
        found: NDArray[np.float64] = (
            torch.cat([each.flatten() for each in net.tensors()]).double().cpu().numpy()
        )
        return found

    def objective(point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        value, slope = loss(packed(point), x, wanted, lam)
        return float(value), flat(slope)

    options = {"maxiter": iterations, "maxfun": 2 * iterations, "ftol": 0.0, "gtol": 0.0}
    found = minimize(objective, flat(net), jac=True, method="L-BFGS-B", options=options)
    return packed(found.x)
