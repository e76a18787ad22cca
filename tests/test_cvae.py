"""CVAE-ZSL: its loss against closed forms, and noise of a row's own."""

from dataclasses import replace

import pytest
import torch
from helpers import generator, numbers
from torch.distributions import Normal, kl_divergence

from mmalign import Gaussian, Rows, Session
from mmalign_baselines.conditional_vae import ConditionalVAE, train
from mmalign_baselines.cvae import CVAE
from mmalign_baselines.perceptrons import dropout, epoch

DIM, Q, COUNT = 5, 3, 6


def vae(**changed):
    settings = CVAE(**{"encoder": 7, "decoder": 8, "latent": 2, "dropout": 0.0} | changed)
    made = ConditionalVAE(settings, DIM, Q, generator(0)).double()
    for seed, each in enumerate(made.parameters()):
        each.data.add_(0.1 * numbers(*each.shape, seed=seed))  # biases begin at 0
    return made


def given():
    return numbers(COUNT, DIM, seed=1), numbers(COUNT, Q, seed=2)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_loss_is_that_of_its_formula(reduction):
    net, (x, a) = vae(), given()
    terms = net.loss(x, a, generator(3), reduction == "mean")
    noise = generator(3)
    torch.rand((COUNT, 7), generator=noise)  # of the dropout
    posterior = net.encode(x, a, generator(3))
    e = torch.randn((COUNT, 2), generator=noise, dtype=torch.float64)
    z = posterior.mean + (posterior.logvar / 2).exp() * e
    squares = (x - net.decode(z, a)) ** 2
    expected = getattr(squares, reduction)(1).mean()
    torch.testing.assert_close(terms["reconstruction"], expected)
    between = kl_divergence(Normal(posterior.mean, posterior.std), Normal(0.0, 1.0))
    torch.testing.assert_close(terms["kl"], between.sum(1).mean())


def test_the_decoder_hears_latents_and_descriptions():
    net, (_, a) = vae(), given()
    z = numbers(COUNT, 2, seed=4).requires_grad_()
    a.requires_grad_()
    by_z, by_a = torch.autograd.grad(net.decode(z, a).sum(), (z, a))
    assert by_z.abs().min(0).values.max() > 0
    assert by_a.abs().min(0).values.max() > 0


def test_the_encoder_hears_descriptions():
    net, (x, a) = vae(), given()
    one, other = (net.encode(x, each, generator(0)) for each in (a, a + 1))
    assert isinstance(one, Gaussian)
    assert not torch.equal(one.mean, other.mean)


def test_each_made_up_feature_has_noise_of_its_own():
    made = vae().sample(numbers(1, Q).expand(20, Q), generator(0))
    assert len(made.unique(dim=0)) == 20


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7])
def test_dropout_drops_its_share_and_keeps_the_mean(share):
    x = numbers(1, 20_000).abs() + 1
    dropped = dropout(x, share, generator(0))
    assert (dropped == 0).double().mean() == pytest.approx(share, abs=0.02)
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept], x[kept] / (1 - share))
    assert dropped.mean() == pytest.approx(x.mean().item(), rel=0.03)


def rows(count=30):
    labels = torch.arange(count) % 3
    return Rows(numbers(count, DIM).float(), labels, numbers(4, Q, seed=5).float(), (0, 1, 2), (3,))


def test_an_epoch_goes_once_through_the_rows_and_means_over_them():
    heard = []

    def step(x, a):
        heard.append((x, a))
        return {"size": torch.tensor(float(len(x))), "first": x[:, 0].mean()}

    terms = epoch(rows(), 8, generator(0), step)
    assert [len(x) for x, _ in heard] == [8, 8, 8, 6]
    x = torch.cat([x for x, _ in heard])
    order = torch.cdist(x, rows().x).argmin(1)
    assert torch.equal(order.sort().values, torch.arange(30))
    assert torch.equal(torch.cat([a for _, a in heard]), rows().descriptions[order % 3])
    assert terms["size"] == pytest.approx((3 * 64 + 36) / 30)
    assert terms["first"] == pytest.approx(rows().x[:, 0].mean().item(), abs=1e-6)


def test_summed_errors_leave_the_latents_something_to_say():
    """Where they are averaged, KL outweighs them dim times over, and the posterior collapses.

    A direction of variance v is worth a latent where 2 v > 1; here v is 1.8, or 0.36.
    """
    told = {}
    settings = CVAE(epochs=50, encoder=16, decoder=16, latent=2, lr=1e-2, dropout=0.0, batch=10)
    for reduction in ("mean", "sum"):
        tried = replace(settings, recon_reduction=reduction)
        *_, (_, told[reduction]) = train(tried, rows(), Session(0))
    assert told["mean"]["kl"] < 0.1 < 0.3 < told["sum"]["kl"]
