"""What a loss must do: finite values, as many as it says, with the gradient that it claims."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import torch
from torch import Tensor
from torch.autograd.gradcheck import GradcheckError, gradcheck

from mmalign.contracts import Over
from mmalign.testing.trial import LATENT, Trial, globals_kept
from mmalign.types import Gaussian

ROWS = 5


def squared(x: Tensor, decoded: Tensor) -> Tensor:
    """The reconstruction error that a loss over ordered pairs is tried with."""
    return (x - decoded).square().sum(-1)


def numbers(trial: Trial, rows: int = ROWS, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Two posteriors' means and log-variances, or numbers and their decoding."""
    generator = torch.Generator().manual_seed(0)
    decoded = trial.component.over == "ordered-pairs"
    count = 2 if decoded else 4
    drawn = torch.randn(count, rows, LATENT, generator=generator, dtype=torch.float64)
    if decoded:
        drawn[0] = drawn[0].sigmoid()
    return [each.to(dtype).requires_grad_() for each in drawn]


def called(trial: Trial) -> Callable[..., Tensor]:
    """The loss as a function of tensors alone."""
    if trial.component.over == "ordered-pairs":
        return lambda x, decoded: trial.component(x, decoded, squared)
    return lambda a, b, c, d: trial.component(Gaussian(a, b), Gaussian(c, d))


def says_what_it_is_over(trial: Trial) -> None:
    """``over`` is one of the ways of calling a loss."""
    ways = get_args(Over)
    trial.require(
        trial.component.over in ways,
        f"over must be one of {', '.join(ways)}; it is {trial.component.over!r}",
    )


def gives_one_value_a_row(trial: Trial) -> None:
    """(rows,), or a scalar over batches; finite, of its numbers' type; for a single row too."""
    alone = trial.component.over == "batches"
    for dtype in (torch.float64, torch.float32):
        for rows in (ROWS, 1):
            value = called(trial)(*numbers(trial, rows, dtype))
            shape = tuple(value.shape)
            wanted = "one number, the divergence of the batches" if alone else "one value per row"
            trial.require(
                shape == (() if alone else (rows,)),
                f"gives {shape or 'a scalar'} for {rows} rows; return {wanted}, and"
                " leave masks, weights and sums to the caller",
            )
            trial.require(
                value.dtype == dtype, f"gives {value.dtype} for {dtype}; keep the type as it comes"
            )
            trial.require(
                bool(value.isfinite().all()), f"is not finite for {rows} rows of normal numbers"
            )


def has_its_gradient(trial: Trial) -> None:
    """Autograd's gradient is that of finite differences, in float64."""
    try:
        gradcheck(called(trial), numbers(trial))
    except GradcheckError as error:
        said = " ".join(str(error).split())[:200]
        trial.require(False, f"its gradient is not that of finite differences: {said}")


def is_smooth_where_all_is_aligned(trial: Trial) -> None:
    """Where both sides are equal, value and gradient are finite: training ends there."""
    given = numbers(trial)
    half = len(given) // 2
    given = given[:half] + [each.detach().clone().requires_grad_() for each in given[:half]]
    value = called(trial)(*given)
    gradients = torch.autograd.grad(value.sum(), given, allow_unused=True)
    finite = all(bool(g.isfinite().all()) for g in gradients if g is not None)
    trial.require(
        bool(value.isfinite().all()) and finite,
        "value or gradient is not finite where both sides are equal; a square root needs a"
        " floor below it",
    )


def is_symmetric(trial: Trial) -> None:
    """A loss over unordered pairs gives the same both ways round."""
    over = trial.component.over
    if over not in ("pairs", "batches"):
        return
    a, b, c, d = numbers(trial)
    loss = called(trial)
    # A divergence of batches may be the end of an iteration, which stops somewhere.
    relative = 1e-9 if over == "pairs" else 1e-6
    trial.require(
        torch.allclose(loss(a, b, c, d), loss(c, d, a, b), rtol=relative, atol=1e-3 * relative),
        f'gives something else for (q, p) than for (p, q); make it symmetric, as over = "{over}" is'
        " called once per unordered pair",
    )


def is_a_function(trial: Trial) -> None:
    """The same numbers give the same value, and neither they nor the process change."""
    given = [each.detach() for each in numbers(trial)]
    before = [each.clone() for each in given]
    with globals_kept(trial, "calling it"):
        one, other = called(trial)(*given), called(trial)(*given)
    trial.require(torch.equal(one, other), "gives another value the second time")
    same = all(torch.equal(x, y) for x, y in zip(given, before, strict=True))
    trial.require(same, "changes its arguments in place; work on a copy")


CHECKS = (
    says_what_it_is_over,
    gives_one_value_a_row,
    has_its_gradient,
    is_smooth_where_all_is_aligned,
    is_symmetric,
    is_a_function,
)
