"""SE: who learns in which step, its terms against their formulas, and its learning rate."""

import pytest
import torch
from helpers import generator, numbers
from torch.distributions import Normal, kl_divergence

from mmalign import Rows, Session
from mmalign_baselines.feedback_vae import Training, spread, surprise, train
from mmalign_baselines.perceptrons import gaussian
from mmalign_baselines.se import SE

DIM, Q, COUNT = 5, 3, 12


def rows():
    labels = torch.arange(COUNT) % 3
    x = numbers(COUNT, DIM).sigmoid() + 0.5 * labels[:, None]
    return Rows(x, labels, numbers(4, Q, seed=5), (0, 1, 2), (3,))


def training(**changed):
    made = Training(SE(**{"hidden": 6, "latent": 2} | changed), rows(), Session(0))
    made.at(0)
    return made


def batch():
    given = rows()
    return given.x, given.descriptions[given.labels]


def weights(made):
    return {name: each.detach().clone() for name, each in made.vae.named_parameters()}


def moved(before, made):
    """The networks of which a parameter has changed."""
    now = weights(made)
    return {name.split(".")[0] for name in now if not torch.equal(now[name], before[name])}


def test_the_regressors_step_moves_the_regressor_alone():
    made = training()
    before = weights(made)
    made.regress(*batch())
    assert moved(before, made) == {"regressor"}


def test_the_generators_step_moves_encoder_and_decoder_alone():
    made = training()
    made.regress(*batch())
    before = weights(made)
    slopes = [each.grad.clone() for each in made.vae.regressor.parameters()]
    made.generate(*batch())
    assert moved(before, made) == {"encoder", "decoder"}
    # Nor is anything left there for the regressor's next step.
    for each, slope in zip(made.vae.regressor.parameters(), slopes, strict=True):
        assert torch.equal(each.grad, slope)


def test_the_terms_are_those_of_their_formulas():
    made, (x, a) = training(), batch()
    net, noise = made.vae, Session(0).generator("se.noise")
    terms = made.terms(x, a)
    e, prior = (torch.randn((COUNT, 2), generator=noise, dtype=x.dtype) for _ in range(2))
    posterior = gaussian(net.encoder(x))
    fake = net.decode(prior, a)
    of_x, of_a = rows().x.var(0, correction=0).mean(), rows().described.var(0, correction=0).mean()

    def divergence(p):
        return kl_divergence(Normal(p.mean, p.std), Normal(0.0, 1.0)).sum(1).mean()

    def squares(one, other):
        return ((one - other) ** 2).sum(1).mean() / 2

    decoded = net.decode(posterior.mean + posterior.std * e, a)
    expected = {
        "reconstruction": squares(x, decoded) / of_x,
        "kl": divergence(posterior),
        "feedback": squares(a, net.regressor(fake)) / of_a,
        "prior reconstruction": squares(x, fake) / of_x,
        "independence": divergence(gaussian(net.encoder(fake))),
    }
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value)


def test_each_weight_is_of_its_own_term():
    """Adam's first step is of the gradient's sign, so gradients are compared."""
    names = {"lambda_c": "feedback", "lambda_reg": "prior reconstruction"}
    names["lambda_e"] = "independence"
    small = dict.fromkeys(names, 1e-300)
    for field, term in names.items():
        made, twin = training(**small | {field: 7.0}), training(**small)
        made.generate(*batch())
        terms = twin.terms(*batch())
        (terms["reconstruction"] + terms["kl"] + 7 * terms[term]).backward()
        for part in ("encoder", "decoder"):
            pairs = zip(
                getattr(made.vae, part).parameters(),
                getattr(twin.vae, part).parameters(),
                strict=True,
            )
            for one, other in pairs:
                torch.testing.assert_close(one.grad, other.grad)


def test_the_regressor_weighs_made_up_features():
    made, (x, a) = training(lambda_r=0.3), batch()
    fake = made.vae.sample(a, Session(0).generator("se.noise"))
    real, up = (surprise(a, made.vae.regressor(each), made.of_a) for each in (x, fake.detach()))
    wanted = torch.autograd.grad(real + 0.3 * up, list(made.vae.regressor.parameters()))
    made.regress(x, a)
    for each, slope in zip(made.vae.regressor.parameters(), wanted, strict=True):
        torch.testing.assert_close(each.grad, slope)


def test_a_surprise_is_minus_the_logarithm_of_a_gaussian_but_for_a_constant():
    x, mean = numbers(2, 4, DIM)
    variance = torch.tensor(0.7, dtype=torch.float64)
    whole = -Normal(mean, variance.sqrt()).log_prob(x).sum(1).mean()
    constant = -Normal(mean, variance.sqrt()).log_prob(mean).sum(1).mean()
    torch.testing.assert_close(surprise(x, mean, variance), whole - constant)


def test_rows_that_are_all_the_same_have_a_spread_to_divide_by():
    assert spread(torch.ones(3, 2)) == 1
    torch.testing.assert_close(spread(numbers(50, 4)), numbers(50, 4).var(0, correction=0).mean())


def test_the_learning_rate_falls_to_its_end_and_does_not_ask_how_many_epochs_there_are():
    rates = [SE(epochs=epochs).lr_at(10) for epochs in (11, 40)]
    assert rates[0] == rates[1] == pytest.approx(1e-3 / 10**0.5)
    assert SE().lr_at(0) == pytest.approx(1e-3)
    assert SE().lr_at(20) == SE().lr_at(99) == pytest.approx(1e-4)
    made = training(decay=2)
    made.at(2)
    for adam in (made.of_vae, made.of_regressor):
        assert adam.param_groups[0]["lr"] == pytest.approx(1e-4)


def test_training_lowers_its_terms():
    settings = SE(hidden=16, latent=2, epochs=30, batch=6, lr=1e-2, lr_end=1e-2)
    told = [terms for _, terms in train(settings, rows(), Session(0))]
    for name in ("reconstruction", "regression", "feedback", "prior reconstruction"):
        assert told[-1][name] < 0.7 * told[0][name], name


def test_decoded_features_are_never_negative():
    assert training().vae.sample(numbers(50, Q), generator(0)).min() >= 0
