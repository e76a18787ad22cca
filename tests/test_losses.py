"""Every term against closed forms, other implementations and finite differences."""

import math

import pytest
import torch
from helpers import gaussian, numbers
from jaxtyping import TypeCheckError
from torch.autograd import gradcheck
from torch.distributions import Normal, kl_divergence
from torch.nn.functional import binary_cross_entropy_with_logits, cosine_similarity

from mmalign import ERRORS, CrossAlignment, Gaussian, Ramp, Wasserstein, ramp
from mmalign.losses import kl

X = torch.tensor([[0.0, 1.0, 0.25], [0.5, 0.5, 1.0]], dtype=torch.float64)
DECODED = torch.tensor([[1.0, -1.0, 0.25], [0.0, 2.0, 3.0]], dtype=torch.float64)


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("l1", column(3, 4)),
        ("l2", column(5, 6.5)),
        (
            "bernoulli",
            column(
                math.log1p(math.e) + (math.log1p(math.exp(-1)) + 1) + math.log1p(math.exp(0.25)),
                math.log(2) + math.log1p(math.exp(2)) + math.log1p(math.exp(3)),
            )
            - column(0.25**2, 0.5 * 2 + 3),
        ),
        ("cosine", 1 - column(-0.9375 / math.sqrt(1.0625 * 2.0625), 4 / math.sqrt(1.5 * 13))),
    ],
)
def test_reconstruction_errors_have_the_values_worked_out_by_hand(name, expected):
    torch.testing.assert_close(ERRORS[name](X, DECODED), expected)


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_reconstruction_errors_have_the_gradient_of_finite_differences(name):
    x, decoded = numbers(4, 3).sigmoid(), numbers(4, 3, seed=1).requires_grad_()
    assert gradcheck(ERRORS[name], (x, decoded))


def test_bernoulli_is_torchs_cross_entropy_even_for_extreme_logits():
    logits = column(-1e4, -40, -1, 0, 1, 40, 1e4).repeat(3, 1).requires_grad_()
    x = column(0, 0.3, 1)[:, None].expand_as(logits)
    ours = ERRORS["bernoulli"](x, logits)
    torchs = binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)
    torch.testing.assert_close(ours, torchs)
    (ours_gradient,) = torch.autograd.grad(ours.sum(), logits)
    (torchs_gradient,) = torch.autograd.grad(torchs.sum(), logits)
    torch.testing.assert_close(ours_gradient, torchs_gradient)


def test_cosine_knows_no_length_and_is_one_for_zeros():
    x, decoded = numbers(5, 3), numbers(5, 3, seed=1)
    torch.testing.assert_close(ERRORS["cosine"](x, decoded), 1 - cosine_similarity(x, decoded))
    torch.testing.assert_close(ERRORS["cosine"](x, 100 * decoded), ERRORS["cosine"](x, decoded))
    zeros = torch.zeros_like(x).requires_grad_()
    error = ERRORS["cosine"](x, zeros)
    assert error.tolist() == [1.0] * 5
    (gradient,) = torch.autograd.grad(error.sum(), zeros)
    assert gradient.isfinite().all()


def test_kl_is_that_of_torchs_normals():
    p = gaussian()
    expected = kl_divergence(Normal(p.mean, p.std), Normal(0.0, 1.0)).sum(-1)
    torch.testing.assert_close(kl(p), expected)
    assert gradcheck(lambda mean, logvar: kl(Gaussian(mean, logvar)), (p.mean, p.logvar))


def test_kl_by_hand():
    p = Gaussian(column(1, 0)[None], column(0, math.log(4))[None])
    torch.testing.assert_close(kl(p), column(0.5 + (4 - 1 - math.log(4)) / 2))


def test_wasserstein_by_hand():
    p = Gaussian(column(0, 0)[None], column(0, 0)[None])
    q = Gaussian(column(3, 0)[None], column(0, math.log(25))[None])
    torch.testing.assert_close(Wasserstein()(p, q), column(5))  # 3 in the mean, 4 in std


def test_wasserstein_is_symmetric_and_has_the_gradient_of_finite_differences():
    p, q = gaussian(seed=1), gaussian(seed=2)
    torch.testing.assert_close(Wasserstein()(p, q), Wasserstein()(q, p), rtol=0, atol=0)
    assert gradcheck(
        lambda m, v, n, w: Wasserstein()(Gaussian(m, v), Gaussian(n, w)),
        (p.mean, p.logvar, q.mean, q.logvar),
    )


def test_wasserstein_of_equal_posteriors_is_zero_and_so_is_its_gradient():
    p, q = gaussian(), gaussian()
    distance = Wasserstein()(p, q)
    # The root of the floor, 1e-12.
    torch.testing.assert_close(distance, torch.zeros_like(distance), rtol=0, atol=1.01e-6)
    for gradient in torch.autograd.grad(distance.sum(), (p.mean, p.logvar, q.mean, q.logvar)):
        assert (gradient == 0).all()


def test_cross_alignment_measures_by_the_targets_own_error():
    for error in ERRORS.values():
        assert torch.equal(CrossAlignment()(X, DECODED, error), error(X, DECODED))


# The weights of the published recipe (shared/reference/cada-vae.md) at and around their ends.
@pytest.mark.parametrize(
    ("weight", "values"),
    [
        (Ramp(to=0.25, start=0, end=93), {0: 0, 1: 0.25 / 93, 92: 0.25 * 92 / 93, 93: 0.25}),
        (Ramp(to=2.37, start=21, end=75), {0: 0, 20: 0, 21: 0, 22: 2.37 / 54, 48: 2.37 / 2}),
        (Ramp(to=2.37, start=21, end=75), {74: 2.37 * 53 / 54, 75: 2.37, 76: 2.37, 99: 2.37}),
        (Ramp(to=8.13, start=6, end=22), {5: 0, 6: 0, 7: 8.13 / 16, 21: 8.13 * 15 / 16, 22: 8.13}),
        (ramp(0.5), {0: 0.5, 50: 0.5}),
    ],
)
def test_ramps_grow_linearly_between_start_and_end(weight, values):
    for epoch, expected in values.items():
        assert weight(epoch) == pytest.approx(expected, abs=1e-15), epoch


def test_a_ramp_without_length_is_a_step():
    step = Ramp(to=2.0, start=5, end=5)
    assert [step(epoch) for epoch in (0, 4, 5, 6)] == [0, 0, 2, 2]


def test_a_ramp_that_ends_before_it_starts_is_refused():
    with pytest.raises(ValueError, match="start"):
        Ramp(to=2.0, start=21)


def test_a_wrong_shape_is_caught():
    flat = torch.zeros(3, 2)
    with pytest.raises(TypeCheckError, match="rows latent"):
        Wasserstein()(Gaussian(flat[None], flat[None]), Gaussian(flat, flat))
    with pytest.raises(TypeCheckError, match="decoded"):
        ERRORS["l1"](flat, flat[:2])
