"""CVAE-ZSL: its loss against closed forms, noise of a row's own, and support vectors."""

from dataclasses import replace

import pytest
import torch
from helpers import generator, numbers
from torch.distributions import Normal, kl_divergence

from mmalign import Gaussian, MmalignError, Rows, Session
from mmalign.systems.rows import asked_of
from mmalign.testing import checks
from mmalign_baselines.conditional_vae import ConditionalVAE, train
from mmalign_baselines.cvae import CVAE
from mmalign_baselines.perceptrons import dropout, epoch
from mmalign_baselines.support_vectors import SupportVectors, fit, unit

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


def blobs(classes=(1, 3, 4, 8), each=12):
    labels = torch.tensor(classes).repeat_interleave(each)
    centres = 2 * numbers(9, DIM, seed=6)
    return (centres[labels] + numbers(len(labels), DIM, seed=7)).float(), labels


def asked(classes):
    described = numbers(9, Q).float()
    return asked_of(classes, described, ())


@pytest.mark.parametrize("gamma", ["scale", "auto"])
@pytest.mark.parametrize("classes", [(1, 3, 4, 8), (1, 3, 4), (3, 8)])
def test_support_vectors_decide_as_scikit_learn_does(classes, gamma):
    svm = pytest.importorskip("sklearn.svm")
    x, labels = blobs(classes)
    found = fit(unit(x), labels, 1.0, gamma)
    plain = svm.SVC(C=1.0, gamma=gamma, decision_function_shape="ovo", random_state=0)
    plain.fit(unit(x).numpy(), labels.numpy())
    z = unit(numbers(20, DIM, seed=8))
    decided = found.decisions(z, torch.arange(len(classes)))
    upper = torch.triu_indices(len(classes), len(classes), 1)
    expected = torch.from_numpy(plain.decision_function(z.numpy())).view(20, -1)
    expected = -expected if len(classes) == 2 else expected
    torch.testing.assert_close(decided[:, upper[0], upper[1]], expected)
    torch.testing.assert_close(decided, -decided.transpose(1, 2))
    said = torch.tensor(classes)[found.scores(z.float(), asked(classes)).argmax(1)]
    assert said.tolist() == plain.predict(z.float().numpy()).tolist()
    if len(classes) > 2:
        plain.decision_function_shape = "ovr"
        torch.testing.assert_close(
            found.scores(z.float(), asked(classes)).double(),
            torch.from_numpy(plain.decision_function(z.float().numpy())),
            rtol=1e-5, atol=1e-5,
        )  # fmt: skip


def test_support_vectors_of_some_classes_are_those_trained_on_them_alone():
    pytest.importorskip("sklearn")
    x, labels = blobs()
    some = torch.isin(labels, torch.tensor((3, 8)))
    whole, alone = fit(unit(x), labels, 1.0, "auto"), fit(unit(x)[some], labels[some], 1.0, "auto")
    z = numbers(20, DIM, seed=8).float()
    for classes in ((3, 8), (8, 3), (8,)):
        given = asked(classes)
        torch.testing.assert_close(
            whole.scores(z, given), alone.scores(z, given), atol=1e-3, rtol=0
        )
    with pytest.raises(MmalignError, match="index 3"):
        fit(unit(x[:24]), labels[:24] * 4, 1.0, "auto").scores(z, asked((3,)))


def test_support_vectors_are_their_tensors():
    pytest.importorskip("sklearn")
    found = fit(unit(blobs()[0]), blobs()[1], 1.0, "scale")
    state = dict(found.state())
    z, given = numbers(20, DIM, seed=8).float(), asked((8, 1, 3))
    assert torch.equal(SupportVectors.of(state).scores(z, given), found.scores(z, given))
    for name in state:
        with pytest.raises(KeyError, match=name):
            SupportVectors.of({k: v for k, v in state.items() if k != name})


def test_scoring_in_parts_and_a_row_of_zeros(monkeypatch):
    pytest.importorskip("sklearn")
    found = fit(unit(blobs()[0]), blobs()[1], 1.0, "scale")
    z = torch.cat([torch.zeros(1, DIM), numbers(20, DIM, seed=8).float()])
    whole = found.scores(z, asked((1, 3, 4, 8)))
    assert whole.isfinite().all()
    monkeypatch.setattr("mmalign_baselines.support_vectors.DECISIONS", 3 * 16)
    torch.testing.assert_close(found.scores(z, asked((1, 3, 4, 8))), whole)


def test_svc_has_no_learning_rate_to_choose():
    open_ended = CVAE(recon_reduction=("mean", "sum"), n_syn=(5, 6, 7), lr_cls=(0.1, 0.2))
    assert len(open_ended.candidates()) == 12
    found = replace(open_ended, classifier="svc").candidates()
    assert len(found) == len({(each.recon_reduction, each.n_syn) for each in found}) == 6


def test_svc_is_a_system_that_conforms():
    pytest.importorskip("sklearn")
    small = {"epochs": 2, "encoder": 6, "decoder": 6, "latent": 3, "n_syn": 4}
    for check in checks(CVAE(classifier="svc", **small)):
        if "torch" not in str(check):  # of the module, which is checked already
            check()


def test_svc_without_its_extra_is_refused_before_anything_is_trained(monkeypatch):
    monkeypatch.setattr("mmalign.extras.find_spec", lambda name: None)
    with pytest.raises(MmalignError, match=r"sklearn: not installed; .*'svm'"):
        next(CVAE(classifier="svc").train(rows(), Session(0)))
    next(CVAE(epochs=1, encoder=4, decoder=4).train(rows(), Session(0)))
