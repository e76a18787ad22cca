"""Distribution losses against other formulas, sampling, integration and exact transport."""

import math

import numpy as np
import pytest
import torch
from commands import refused
from helpers import gaussian, numbers
from scipy.optimize import linear_sum_assignment
from torch.autograd import gradcheck
from torch.distributions import Normal, kl_divergence

from mmalign import Gaussian
from mmalign_distribution import sinkhorn
from mmalign_distribution.coral import Coral, moments
from mmalign_distribution.entropy import KL, Jeffreys
from mmalign_distribution.mmd import MMD, expected_kernel
from mmalign_distribution.sinkhorn import Sinkhorn, average_cost

ALL = [KL(), Jeffreys(), MMD(), MMD(root=True), Coral(), Sinkhorn()]
IDS = ["kl", "jeffreys", "mmd", "mmd-root", "coral", "sinkhorn"]


def clouds(rows=6, latent=3, shift=0.5):
    p, q = gaussian(rows, latent, seed=1), gaussian(rows, latent, seed=2)
    return p, Gaussian((q.mean + shift).detach().requires_grad_(), q.logvar)


def gradients(value, *posteriors):
    return torch.autograd.grad(value.sum(), [t for p in posteriors for t in (p.mean, p.logvar)])


def test_mmds_root_has_the_gradient_of_finite_differences():
    """The conformance kit looks at the gradient of every loss as it is by default."""
    p, q = clouds()
    loss = MMD(root=True)
    assert gradcheck(
        lambda m, v, n, w: loss(Gaussian(m, v), Gaussian(n, w)),
        (p.mean, p.logvar, q.mean, q.logvar),
    )


@pytest.mark.parametrize("loss", ALL, ids=IDS)
def test_equal_posteriors_are_at_zero_and_stay_there(loss):
    p, q = gaussian(), gaussian()
    value = loss(p, q)
    # The root of the floor, 1e-12, is what MMD's root gives.
    torch.testing.assert_close(value, torch.zeros_like(value), rtol=0, atol=1.01e-6)
    for gradient in gradients(value, p, q):
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-9)


def test_kl_is_that_of_torchs_normals_in_its_direction():
    p, q = clouds()
    expected = kl_divergence(Normal(p.mean, p.std), Normal(q.mean, q.std)).sum(-1)
    torch.testing.assert_close(KL()(p, q), expected)
    assert not torch.allclose(KL()(q, p), expected)


def test_jeffreys_is_kl_both_ways():
    p, q = clouds()
    torch.testing.assert_close(Jeffreys()(p, q), KL()(p, q) + KL()(q, p))


def test_kl_keeps_its_digits_where_widths_nearly_agree():
    p = Gaussian(torch.zeros(1, 1), torch.zeros(1, 1))
    q = Gaussian(torch.zeros(1, 1), torch.full((1, 1), 1e-3))
    # x^2 / 4 - x^3 / 12 and so on for the log-variance x = -1e-3; float32 has 7 digits.
    assert KL()(p, q).item() == pytest.approx(0.5 * (math.expm1(-1e-3) + 1e-3), rel=1e-3)


def test_what_moves_has_its_own_share_of_the_gradient_and_the_rest_has_none():
    p, q = clouds()
    whole = gradients(KL()(p, q), p, q)
    for moves, held, moved in (("first", q, slice(0, 2)), ("second", p, slice(2, 4))):
        value = KL(moves=moves)(p, q)
        torch.testing.assert_close(value, KL()(p, q))
        kept = [t for g in (p, q) if g is not held for t in (g.mean, g.logvar)]
        for one, other in zip(torch.autograd.grad(value.sum(), kept), whole[moved], strict=True):
            torch.testing.assert_close(one, other)
        assert not KL(moves=moves)(*(g if g is held else detached(g) for g in (p, q))).requires_grad


def detached(p):
    return Gaussian(p.mean.detach(), p.logvar.detach())


def kernel(x, y, h):
    return (-(x - y).square().sum(-1) / (2 * h * h)).exp()


def test_the_expected_kernel_is_its_numerical_integral():
    p = Gaussian(numbers(1, 1), numbers(1, 1, seed=1))
    q = Gaussian(numbers(1, 1, seed=2), numbers(1, 1, seed=3))
    nodes, weights = (torch.from_numpy(a) for a in np.polynomial.hermite.hermgauss(60))
    z, w = (g.mean[0] + math.sqrt(2) * g.std[0] * nodes for g in (p, q))
    at = kernel(z[:, None, None], w[None, :, None], 0.7)
    integral = weights @ at @ weights / math.pi
    torch.testing.assert_close(expected_kernel(p, q, 0.7)[0], integral, rtol=1e-8, atol=0)


def test_mmd_is_the_average_over_bandwidths_of_what_sampling_tends_to():
    p, q = gaussian(3, 2, seed=1), gaussian(3, 2, seed=2)
    count, total = 200_000, torch.zeros(3, dtype=torch.float64)
    with torch.no_grad():
        z, z2 = (p.mean + p.std * numbers(count, 3, 2, seed=s) for s in (3, 4))
        w, w2 = (q.mean + q.std * numbers(count, 3, 2, seed=s) for s in (5, 6))
        for multiple in (0.5, 2.0):
            h = multiple * math.sqrt(2)
            each = kernel(z, z2, h) + kernel(w, w2, h) - kernel(z, w, h) - kernel(z2, w2, h)
            total += each.mean(0) / 2
    # The average of 200 000 numbers within [-2, 2] deviates by less than 2 / sqrt(200 000).
    torch.testing.assert_close(MMD(bandwidths=(0.5, 2.0))(p, q), total, rtol=0, atol=0.01)
    torch.testing.assert_close(MMD(root=True)(p, q), MMD()(p, q).sqrt())


def test_mmd_sees_posteriors_of_64_dimensions_apart_in_float32():
    mean = torch.zeros(2, 64, requires_grad=True)
    flat = torch.zeros(2, 64)
    value = MMD()(Gaussian(mean, flat), Gaussian(torch.ones(2, 64), flat))
    (slope,) = torch.autograd.grad(value.sum(), mean)
    assert (value > 0.1).all()
    assert (slope.norm(dim=1) > 0.01).all()
    far = MMD()(Gaussian(mean, flat), Gaussian(torch.full((2, 64), 1e4), flat - 60))
    assert far.isfinite().all()


def test_moments_are_those_of_a_large_sample():
    p = gaussian(4, 3, seed=1)
    with torch.no_grad():
        draws = (p.mean + p.std * numbers(400_000, 4, 3, seed=9)).reshape(-1, 3)
        mean, covariance = moments(p)
    # 1.6 million numbers of variance about 3: their covariances deviate by about 0.005.
    torch.testing.assert_close(mean, draws.mean(0), rtol=0, atol=0.01)
    torch.testing.assert_close(covariance, draws.T.cov(), rtol=0, atol=0.03)


def test_coral_by_hand():
    # Means -1 and 1 with variance 3: mean 0, variance 1 + 3; the other: 2 and 1.
    p = Gaussian(torch.tensor([[-1.0], [1.0]]), torch.full((2, 1), math.log(3)))
    q = Gaussian(torch.full((2, 1), 2.0), torch.zeros(2, 1))
    assert Coral()(p, q).item() == pytest.approx(3**2 / 4 + 2**2)
    assert Coral(mean=0.5)(p, q).item() == pytest.approx(3**2 / 4 + 0.5 * 2**2)
    one = Gaussian(torch.zeros(1, 2), torch.zeros(1, 2))
    assert Coral()(one, Gaussian(torch.ones(1, 2), torch.zeros(1, 2))).item() == pytest.approx(1)


@pytest.mark.parametrize("loss", [Coral(), Sinkhorn()], ids=["coral", "sinkhorn"])
def test_which_row_is_which_does_not_count(loss):
    p, q = clouds()
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    torch.testing.assert_close(loss(p, q[order]), loss(p, q))


def exact(p, q):
    """Optimal transport between as many points of the same weight: an assignment."""
    x, y = (torch.cat([g.mean, g.std], 1).detach() for g in (p, q))
    cost = torch.cdist(x, y).square().numpy()
    return float(cost[linear_sum_assignment(cost)].mean())


@pytest.mark.parametrize("shift", [0.0, 3.0])
def test_sinkhorn_tends_to_exact_transport(shift):
    p, q = clouds(shift=shift)
    near = [Sinkhorn(epsilon=e, iterations=2000)(p, q).item() for e in (0.05, 0.005)]
    errors = [abs(each - exact(p, q)) for each in near]
    assert errors[1] < 1e-2 * exact(p, q)
    assert errors[1] <= errors[0]


def test_sinkhorn_tends_to_the_distance_of_the_means():
    p, q = clouds()
    x, y = (torch.cat([g.mean, g.std], 1) for g in (p, q))
    apart = (x.mean(0) - y.mean(0)).square().sum()
    torch.testing.assert_close(Sinkhorn(epsilon=1e4)(p, q), apart, rtol=1e-3, atol=0)


def test_sinkhorn_is_that_of_a_plain_iteration():
    p, q = clouds()
    x, y = (torch.cat([g.mean, g.std], 1).detach() for g in (p, q))
    e = 0.25 * torch.cdist(x, y).square().mean()

    def transport(cost):
        scaled, rows = (-cost / e).exp(), len(cost)
        u = v = torch.full((rows,), 1.0, dtype=torch.float64)
        for _ in range(5000):
            v = (1 / rows) / (scaled.T @ u)
            u = (1 / rows) / (scaled @ v)
        plan = u[:, None] * scaled * v
        return (plan * cost).sum() + e * (plan * (plan * rows * rows).log()).sum()

    costs = [torch.cdist(*each).square() for each in ((x, y), (x, x), (y, y))]
    both, one, other = map(transport, costs)
    torch.testing.assert_close(Sinkhorn()(p, q), both - (one + other) / 2, rtol=1e-6, atol=0)


def test_sinkhorn_grows_with_the_square_of_lengths_and_knows_no_place():
    p, q = clouds()
    wide = [Gaussian(100 + 10 * g.mean, g.logvar + 2 * math.log(10)) for g in (p, q)]
    torch.testing.assert_close(Sinkhorn()(*wide), 100 * Sinkhorn()(p, q))
    x, y = numbers(4, 3), numbers(5, 3, seed=1)
    torch.testing.assert_close(average_cost(x, y), torch.cdist(x, y).square().mean())


def test_sinkhorn_without_its_extra_is_refused_with_the_recipe(tmp_path, monkeypatch):
    monkeypatch.setattr(sinkhorn, "find_spec", lambda name: None)
    said = refused("run", "synthetic", "--set", "loss.distribution.use=sinkhorn", cwd=tmp_path)
    assert "loss.distribution: 'sinkhorn' needs the extra 'ot': pip install 'mmalign[ot]'" in said
