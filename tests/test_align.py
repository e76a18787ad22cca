"""Sampling and the forward pass."""

from itertools import combinations

import pytest
import torch
from helpers import LATENT, NAMES, Small, aligner, assert_same, batch, flow, gaussian, generator

from mmalign import Gaussian, sample
from mmalign.align import Aligner
from mmalign.types import Session


def noise_of(p, noise, scale):
    """The standard normal numbers that a draw was made of."""
    spread = p.logvar.exp() if scale == "variance" else (p.logvar / 2).exp()
    return (sample(p, generator(0), noise, scale) - p.mean) / spread


@pytest.mark.parametrize("scale", ["variance", "std"])
def test_shared_noise_is_one_number_a_row(scale):
    e = noise_of(gaussian(rows=5), "shared", scale)
    torch.testing.assert_close(e, e[:, :1].expand_as(e))
    expected = torch.randn(5, 1, generator=generator(0), dtype=torch.float64)
    torch.testing.assert_close(e[:, :1], expected)


@pytest.mark.parametrize("scale", ["variance", "std"])
def test_independent_noise_is_one_number_a_dimension(scale):
    e = noise_of(gaussian(rows=5), "independent", scale)
    expected = torch.randn(5, LATENT, generator=generator(0), dtype=torch.float64)
    torch.testing.assert_close(e, expected)


@pytest.mark.parametrize("noise", ["shared", "independent"])
@pytest.mark.parametrize("scale", ["variance", "std"])
def test_draws_have_the_posteriors_moments(noise, scale):
    count, mean, variance = 100_000, 2.0, 0.09
    ones = torch.ones(count, 2, dtype=torch.float64)
    z = sample(Gaussian(mean * ones, (variance * ones).log()), generator(0), noise, scale)
    spread = variance if scale == "variance" else variance**0.5
    # Five standard errors: spread / sqrt(n) of a mean, spread / sqrt(2n) of a deviation,
    # 1 / sqrt(n) of a correlation of 0.
    error = 5 / count**0.5
    assert z.mean(0).sub(mean).abs().max() < error * spread
    assert z.std(0).sub(spread).abs().max() < error * spread / 2**0.5
    assert abs(torch.corrcoef(z.T)[0, 1] - int(noise == "shared")) < error


def test_sampling_passes_gradients_to_mean_and_spread():
    p = gaussian()
    e = noise_of(p, "independent", "std").detach()
    z = sample(p, generator(0), "independent", "std")
    mean, logvar = torch.autograd.grad(z.sum(), (p.mean, p.logvar))
    torch.testing.assert_close(mean, torch.ones_like(mean))
    torch.testing.assert_close(logvar, e * p.std / 2)


def test_decodings_made_together_are_those_made_apart():
    names = NAMES[:3]
    model = aligner(names)
    together, apart = flow(model, batch(names)), flow(model, batch(names))
    together.decode("all")
    apart.decode("own")
    for source in names:
        for target in names:
            x, decoded = together.decoding(source, target)
            assert torch.equal(x, together.x[target])
            torch.testing.assert_close(decoded, model.decode(target, together.z[source]))
        torch.testing.assert_close(
            together.decoding(source, source), apart.decoding(source, source)
        )


def test_a_pass_gives_out_the_rows_that_have_all():
    masks = {"a": torch.tensor([True, True, False]), "b": torch.tensor([True, False, True])}
    given = flow(aligner(("a", "b", "c")), batch(("a", "b", "c"), rows=3, masks=masks))
    assert given.rows("c") is None
    assert [given.rows(*names).tolist() for names in ("a", "b", "ab", "bc", "abc")] == [
        [0, 1],
        [0, 2],
        [0],
        [0, 2],
        [0],
    ]
    assert torch.equal(given.posterior("c", "a").mean, given.posteriors["c"].mean[:2])
    assert given.count([("a", "b"), ("c",)]).tolist() == [2, 1, 1]


def test_weights_depend_neither_on_the_order_of_modalities_nor_on_the_others():
    one, other = aligner(("a", "b", "c")).state_dict(), aligner(("c", "a", "b")).state_dict()
    assert_same(one, other, rtol=0, atol=0)
    fewer = aligner(("b",)).state_dict()
    assert_same(fewer, {name: one[name] for name in fewer}, rtol=0, atol=0)


def test_weights_depend_on_the_seed_and_the_modality():
    small, dims = {"a": Small(), "b": Small()}, {"a": 2, "b": 2}
    one, other = (Aligner(small, dims, 2, Session(seed).generator) for seed in (0, 1))
    drawn = [each.encoders[name].hidden.weight for each in (one, other) for name in "ab"]
    assert not any(torch.equal(x, y) for x, y in combinations(drawn, 2))
