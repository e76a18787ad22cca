"""f-CLSWGAN: the gradient of the critic by autograd and by differences, and who learns when."""

import pytest
import torch
from helpers import generator, numbers

from mmalign import Rows, Session
from mmalign_baselines.f_clswgan import FCLSWGAN
from mmalign_baselines.wgan import Critic, Generator, Training, train

DIM, Q, HIDDEN, COUNT = 5, 3, 7, 6
PENALTY = 10.0


def critic():
    """In float64, with weights large enough for slopes around 1."""
    made = Critic(DIM, Q, HIDDEN, generator(1)).double()
    for seed, each in enumerate(made.parameters()):
        each.copy_(numbers(*each.shape, seed=seed) / 2)
    return made


def given():
    x, fake = numbers(2, COUNT, DIM, seed=5)
    alpha = torch.rand(COUNT, 1, generator=generator(6), dtype=torch.float64)
    return x, fake, numbers(COUNT, Q, seed=7), alpha


def by_autograd(net, x, fake, a, alpha):
    """The critic's loss as the paper prints it, with a graph of its gradient."""
    between = (alpha * x + (1 - alpha) * fake).requires_grad_()
    (slope,) = torch.autograd.grad(net(between, a).sum(), between, create_graph=True)
    penalty = PENALTY * (slope.norm(dim=1) - 1).square().mean()
    distance = net(x, a).mean() - net(fake, a).mean()
    return {"wasserstein": distance, "penalty": penalty}, penalty - distance


def test_the_critics_gradient_is_that_of_a_double_backward():
    net = critic()
    terms = net.differentiate(*given(), PENALTY)
    closed = {name: each.grad for name, each in net.named_parameters()}
    net.zero_grad()
    net.requires_grad_()
    expected, loss = by_autograd(net, *given())
    loss.backward()
    for name, each in net.named_parameters():
        torch.testing.assert_close(closed[name], each.grad, rtol=1e-12, atol=1e-12)
        assert closed[name].abs().max() > 1e-3
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value.detach())


def test_the_critics_gradient_is_that_of_differences():
    net = critic()
    net.differentiate(*given(), PENALTY)

    def loss():
        return float(by_autograd(net, *given())[1].detach())

    for each in net.parameters():
        flat, slope = each.data.view(-1), each.grad.view(-1)
        for place in range(0, len(flat), 3):
            kept = flat[place].clone()
            values = []
            for step in (1e-6, -1e-6):
                flat[place] = kept + step
                values.append(loss())
            flat[place] = kept
            assert slope[place].item() == pytest.approx((values[0] - values[1]) / 2e-6, abs=1e-6)


def test_each_row_has_a_place_of_its_own_between_real_and_fake():
    """With one place for all, the penalty of a row would depend on another row's."""
    x, fake, a, alpha = given()
    net = critic()
    together = net.differentiate(x, fake, a, alpha, PENALTY)["penalty"]
    alone = [
        net.differentiate(x[i : i + 1], fake[i : i + 1], a[i : i + 1], alpha[i : i + 1], PENALTY)
        for i in range(COUNT)
    ]
    torch.testing.assert_close(together, torch.stack([each["penalty"] for each in alone]).mean())


def test_a_critic_without_slope_has_a_finite_gradient():
    net = critic()
    net.output.zero_()
    terms = net.differentiate(*(each[:1] for each in given()), PENALTY)
    assert terms["penalty"] == PENALTY  # (0 - 1)^2
    assert all(each.grad.isfinite().all() for each in net.parameters())


def rows(count=40):
    labels = torch.arange(count) % 4
    described = numbers(6, Q, seed=2).float()
    x = (2 * described[labels] @ numbers(Q, DIM, seed=3).float()).sigmoid()
    return Rows(x, labels, described, (0, 1, 2, 3), (4, 5))


def small(**changed):
    return FCLSWGAN(**{"epochs": 2, "hidden": 8, "batch": 8, "lr": 1e-3} | changed)


def weights(net):
    return [each.detach().clone() for each in net.parameters()]


def same(before, net):
    return all(torch.equal(one, other) for one, other in zip(before, net.parameters(), strict=True))


def test_the_generators_step_moves_the_generator_alone():
    training = Training(small(), rows(), Session(0))
    before = weights(training.generator), weights(training.critic)
    frozen = training.classifier.weight.clone()
    terms = training.step_generator(rows().descriptions[:4], torch.arange(4))
    assert not same(before[0], training.generator)
    assert same(before[1], training.critic)
    assert torch.equal(training.classifier.weight, frozen)
    assert not any(value.requires_grad for value in terms.values())


def test_the_generators_gradient_is_of_both_its_terms():
    """The step by hand, from its loss: Adam's first step is that of a sign."""
    training = Training(small(beta=0.5), rows(), Session(0))
    net, a, targets = training.generator, rows().descriptions[:4], torch.arange(4)
    e = torch.randn((4, Q), generator=Session(0).generator("f-clswgan.noise"))
    fake = net(e, a)
    logits = fake @ training.classifier.weight + training.classifier.bias
    classification = -logits.log_softmax(1)[torch.arange(4), targets].mean()
    adversarial = -training.critic(fake, a).mean()
    loss = adversarial + 0.5 * classification
    wanted = torch.autograd.grad(loss, list(net.parameters()))
    before = weights(net)
    terms = training.step_generator(a, targets)
    torch.testing.assert_close(terms["classification"], classification.detach())
    torch.testing.assert_close(terms["adversarial"], adversarial.detach())
    for was, now, slope in zip(before, net.parameters(), wanted, strict=True):
        clear = slope.abs() > 1e-5  # the root of Adam's second moment has 1e-8 added
        torch.testing.assert_close(
            (now - was)[clear], -1e-3 * slope[clear].sign(), rtol=0.01, atol=1e-6
        )


def test_the_critics_steps_leave_the_generator():
    training = Training(small(critic_steps=3), rows(), Session(0))
    before, steps = weights(training.generator), []
    training.step_generator = lambda a, targets: steps.append((a, targets)) or {}
    critic_before = weights(training.critic)
    training.iteration()
    assert same(before, training.generator)
    assert not same(critic_before, training.critic)
    state = training.adams[training.critic].state[training.critic.of_features]
    assert state["step"] == 3
    ((a, targets),) = steps
    torch.testing.assert_close(a, rows().descriptions[list(rows().known)][targets])


def test_an_epoch_has_as_many_iterations_as_batches_make_the_rows():
    training = list(train(small(epochs=3), rows(41), Session(0)))
    assert len(training) == 3
    counted = Training(small(), rows(41), Session(0))
    for _ in range(6 * 3):  # 41 rows in batches of 8
        counted.iteration()
    for one, other in zip(weights(counted.generator), training[-1][0].parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_frozen_classifier_knows_the_real_features():
    training = Training(small(), rows(400), Session(0))
    found = training.classifier.scores(rows(400).x, (0, 1, 2, 3)).argmax(1)
    assert (found == rows(400).labels).float().mean() > 0.5  # chance is 0.25


def test_the_generator_makes_no_negative_numbers_and_draws_fresh_noise():
    net = Generator(Q, Q, HIDDEN, DIM, generator(0))
    net.output_bias.data.fill_(0.01)
    a, noise = numbers(1, Q).float().expand(20, Q), generator(1)
    one, other = net.sample(a, noise), net.sample(a, noise)
    assert one.min() >= 0
    assert len(one.unique(dim=0)) == 20
    assert not torch.equal(one, other)


def test_noise_has_the_size_that_is_asked_or_that_of_a_description():
    assert Training(small(), rows(), Session(0)).generator.noise == Q
    wide = Training(small(noise=11), rows(), Session(0)).generator
    assert wide.hidden.shape == (11 + Q, 8)


def test_rounded_products_leave_torchs_precision_as_it_was():
    before = torch.get_float32_matmul_precision()
    for generator_, terms in train(small(products="bfloat16"), rows(), Session(0)):
        assert torch.get_float32_matmul_precision() == before
        assert all(each.isfinite().all() for each in generator_.parameters())
        assert terms["penalty"] >= 0
