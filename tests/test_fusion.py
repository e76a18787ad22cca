"""Fusion of posteriors against their closed forms, in float64."""

from itertools import combinations

import pytest
import torch
from helpers import gaussian

from mmalign import Gaussian
from mmalign_aligned_vae.fusion import fuse, product

FUSIONS = ("product", "mixture", "mixture-of-products")
ROWS = 5


def experts(count):
    return [gaussian(ROWS, seed=seed) for seed in range(count)]


def everywhere(count):
    return torch.ones(count, ROWS, dtype=torch.bool)


def moments(parts):
    """Of the normalised product of Gaussian densities, found on a grid and not by formula."""
    x = torch.linspace(-30, 30, 60001, dtype=torch.float64)
    log = sum(-((x - mean) ** 2) / (2 * logvar.exp()) for mean, logvar in parts)
    density = (log - log.max()).exp() / (log - log.max()).exp().sum()
    mean = (x * density).sum()
    return mean, ((x - mean).square() * density).sum().log()


def test_a_product_is_that_of_the_densities():
    given = experts(3)
    fused = product(given, everywhere(3))
    assert torch.equal(fuse(given, everywhere(3), "product"), fused.mean)
    for row, column in ((0, 0), (3, 2)):
        parts = [(each.mean[row, column], each.logvar[row, column]) for each in given]
        mean, logvar = moments(parts)
        torch.testing.assert_close(fused.mean[row, column], mean, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(fused.logvar[row, column], logvar, rtol=1e-5, atol=1e-5)


def test_a_mixture_has_the_mean_of_the_means():
    given = experts(3)
    expected = torch.stack([each.mean for each in given]).mean(0)
    torch.testing.assert_close(fuse(given, everywhere(3), "mixture"), expected)


def test_a_mixture_of_products_goes_over_every_subset():
    given = experts(3)
    subsets = [c for size in (1, 2, 3) for c in combinations(range(3), size)]
    assert len(subsets) == 7
    products = [fuse([given[i] for i in c], everywhere(len(c)), "product") for c in subsets]
    expected = torch.stack(products).mean(0)
    torch.testing.assert_close(fuse(given, everywhere(3), "mixture-of-products"), expected)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_what_a_row_lacks_is_never_read(fusion):
    given = experts(3)
    present = everywhere(3)
    present[1, ::2] = False
    hidden = Gaussian(given[1].mean.clone(), given[1].logvar.clone())
    hidden.mean[::2] = hidden.logvar[::2] = torch.nan
    z = fuse([given[0], hidden, given[2]], present, fusion)
    both = fuse([given[0], given[2]], everywhere(2), fusion)
    all_three = fuse(given, everywhere(3), fusion)
    torch.testing.assert_close(z[::2], both[::2])
    torch.testing.assert_close(z[1::2], all_three[1::2])


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_single_modality_keeps_its_mean(fusion):
    given = experts(2)
    present = everywhere(2)
    present[1] = False
    torch.testing.assert_close(fuse(given, present, fusion), given[0].mean)


def test_a_certain_expert_outweighs_a_doubtful_one():
    mean = torch.zeros(1, 1, dtype=torch.float64)
    certain, doubtful = Gaussian(mean + 1, mean - 8), Gaussian(mean - 1, mean + 2)
    present = torch.ones(2, 1, dtype=torch.bool)
    assert fuse([certain, doubtful], present, "product").item() == pytest.approx(1, abs=1e-3)
    assert fuse([certain, doubtful], present, "mixture").item() == 0
