"""The training of a linear softmax classifier, with no Python per row and no autograd."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mmalign.errors import MmalignError
from mmalign.linear import Linear
from mmalign.loop import Loop
from mmalign.types import Session

TAKEN = 2**16  # rows copied out of the training set at a time, in their shuffled order
SCORES = 2**23  # scores held at a time: 32 MiB of float32


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
    session: Session | None = None,
    stage: str = "head",
) -> Linear:
    """Minimise the mean cross-entropy by Adam with betas (0.5, 0.999).

    The gradient of a linear softmax is known in closed form, ``z^T (p - y) / rows``: at 32
    rows a step, building an autograd graph costs several times the arithmetic. Each epoch
    goes once through a permutation. ``epoch_ended`` is told the epoch, from 1, the mean
    loss and the classifier as it stands. With a ``session`` that is told of the ``stage``'s
    epochs too, and training goes on from its last checkpoint: then ``epoch_ended`` hears of no
    epoch before. Raises MmalignError for a loss that is no longer finite. Besides ``z`` it
    holds ``TAKEN`` rows, ``SCORES`` scores twice, and the weights four times, however many rows
    and classes there are.
    """
    theta = _begin(z, len(classes), initialisation)
    position = torch.full((max(classes) + 1,), -1, dtype=torch.int64, device=z.device)
    position[list(classes)] = torch.arange(len(classes), device=z.device)
    state = AdamState(theta)
    kept = {"theta": theta, "mean": state.mean, "square": state.square, "step": state.step}
    loop = Loop(session or Session(0), stage, epochs, {**kept, "order": order})
    for epoch in loop:
        shuffled = torch.randperm(len(z), generator=order).to(z.device)
        loss = 0.0
        for some in shuffled.split(max(1, TAKEN // batch) * batch):
            targets = position[labels.index_select(0, some)]
            loss += _steps(state, _with_ones(z, some), targets, batch, lr)
        if not math.isfinite(loss):
            raise MmalignError(
                f"training diverged in epoch {epoch + 1} of {stage}: its cross-entropy is no"
                " longer finite; try a smaller learning rate"
            )
        loop.ended({"cross-entropy": loss / len(z)})
        epoch_ended(epoch + 1, loss / len(z), Linear(theta[:-1], theta[-1], classes))
    return Linear(theta[:-1].clone(), theta[-1].clone(), classes)


def _with_ones(
    z: Float[Tensor, "rows latent"], taken: Int[Tensor, " taken"]
) -> Float[Tensor, "taken inputs"]:
    """These rows with a column of ones: weight and bias are one tensor, so one product."""
    x = torch.ones(len(taken), z.shape[1] + 1, dtype=z.dtype, device=z.device)
    x[:, :-1] = z.index_select(0, taken)
    return x


def _begin(
    z: Float[Tensor, "rows latent"], classes: int, generator: torch.Generator
) -> Float[Tensor, "inputs classes"]:
    """Xavier uniform weights with gain 0.5, and a last row of zeros, the bias."""
    weight = torch.empty(classes, z.shape[1], dtype=z.dtype)
    torch.nn.init.xavier_uniform_(weight, gain=0.5, generator=generator)
    bias = torch.zeros(1, classes, dtype=z.dtype)
    return torch.cat([weight.T, bias]).to(z.device)


class AdamState:
    """A tensor that Adam moves, with its gradient, its two moments and its step number."""

    def __init__(self, theta: Tensor) -> None:
        self.theta = theta
        self.gradient, self.mean, self.square = (torch.zeros_like(theta) for _ in range(3))
        self.step = torch.zeros((), device=theta.device)

    def move(self, lr: float) -> None:
        """One step of Adam (Kingma & Ba 2015, algorithm 1) with betas (0.5, 0.999).

        The kernel behind ``torch.optim.Adam(fused=True)``, called without the optimiser's
        bookkeeping, which takes twice as long as the step itself at this size.
        """
        self.step += 1
        torch._fused_adam_(
            [self.theta],
            [self.gradient],
            [self.mean],
            [self.square],
            [],
            [self.step],
            lr=lr,
            beta1=0.5,
            beta2=0.999,
            weight_decay=0.0,
            eps=1e-8,
            amsgrad=False,
            maximize=False,
        )


@torch.inference_mode()
def _steps(
    state: AdamState,
    z: Float[Tensor, "rows inputs"],
    targets: Int[Tensor, " rows"],
    batch: int,
    lr: float,
) -> float:
    """Go once through rows in their order; returns the sum of the cross-entropies on the way.

    Scores of a batch with many classes are made a part at a time, and the parts' gradients
    added up.
    """
    count = state.theta.shape[1]
    held = min(batch, max(1, SCORES // count))
    minus = torch.full((held,), -1, dtype=z.dtype, device=z.device)
    of_target = torch.empty(len(z), dtype=z.dtype, device=z.device)
    # Where each row's target stands in its part's scores, written as one line.
    places = torch.arange(len(z), device=z.device) % batch % held * count + targets
    sizes, of = _cut(len(z), batch, held)
    parts = zip(z.split(sizes), places.split(sizes), of_target.split(sizes), of, strict=True)
    for x, place, kept, (begins, ends, rows) in parts:
        residual = torch.softmax(x @ state.theta, dim=1)
        line = residual.view(-1)
        torch.take(line, place, out=kept)
        line.index_add_(0, place, minus if len(x) == held else minus[: len(x)])
        torch.addmm(
            state.gradient, x.T, residual, beta=1 - begins, alpha=1 / rows, out=state.gradient
        )
        if ends:
            state.move(lr)
    # A probability that underflows would make the loss that is shown infinite.
    return -float(of_target.clamp_min(torch.finfo(z.dtype).tiny).log().sum())


def _cut(count: int, batch: int, held: int) -> tuple[list[int], list[tuple[bool, bool, int]]]:
    """Sizes of the parts of all batches; whether each begins and ends its batch, and its rows."""
    sizes, of = [], []
    for start in range(0, count, batch):
        rows = min(batch, count - start)
        for first in range(0, rows, held):
            sizes.append(min(held, rows - first))
            of.append((first == 0, first + held >= rows, rows))
    return sizes, of
