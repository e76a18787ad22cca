"""SJE, ALE, DeViSE, LATEM: samplers by expectation, steps by finite differences, batches."""

import math
from itertools import islice

import numpy as np
import pytest
import torch
from helpers import generator, modalities, numbers, source

from mmalign import MmalignError, Parts, Protocol, Rows, Session, pose
from mmalign_baselines.ale import ALE
from mmalign_baselines.descent import LatentStep, RankingStep, epochs, standardised
from mmalign_baselines.devise import DeViSE
from mmalign_baselines.latem import LATEM
from mmalign_baselines.samplers import (
    margins,
    most_violating,
    shortfalls,
    some_violator,
    some_wrong,
    warp,
)
from mmalign_baselines.sje import SJE

DIM, Q, CLASSES, COUNT, MAPS = 4, 3, 5, 30, 3
KNOWN = (0, 2, 4, 6, 8)
DRAWS = 40_000
SYSTEMS = {
    "sje": SJE(lr=0.1, margin=0.5, scale_projection=False),
    "sje, scaled": SJE(lr=0.1, margin=0.5),
    "devise": DeViSE(lr=0.1, margin=0.5),
    "ale": ALE(lr=0.1),
    "latem": LATEM(lr=0.1, maps=MAPS),
}
each_system = pytest.mark.parametrize("system", SYSTEMS.values(), ids=SYSTEMS.keys())


@pytest.fixture
def rows():
    labels = torch.randint(CLASSES, (COUNT,), generator=generator(3))
    labels[:CLASSES] = torch.arange(CLASSES)
    descriptions = numbers(10, Q, seed=2)
    x = descriptions[2 * labels] @ numbers(Q, DIM, seed=4) + 0.3 * numbers(COUNT, DIM, seed=1)
    return Rows(x, 2 * labels, descriptions, KNOWN, (1, 3))


def uniform(count, seed=0):
    return torch.rand(count, 2, generator=generator(seed), dtype=torch.float64)


def violated(violators, classes):
    """Shortfalls of one row with this many violators behind its true class, the second."""
    short = torch.full((1, classes), -0.5, dtype=torch.float64)
    short[0, 1] = -math.inf
    wrong = [index for index in range(classes) if index != 1]
    short[0, wrong[classes - 1 - violators :]] = 0.5
    return short


def beta(rank):
    return sum(1 / i for i in range(1, rank + 1))


@pytest.mark.parametrize("violators", [0, 1, 2, 7, 18, 19])
def test_warps_weight_has_the_expectation_of_drawing_until_one_violates(violators):
    classes, chance = 20, violators / 19
    # k draws end at the first violator, or without one after C - 1 of them.
    law = [((1 - chance) ** (k - 1) * chance, beta(19 // k)) for k in range(1, 20)]
    mean = sum(p * weight for p, weight in law)
    spread = math.sqrt(sum(p * weight**2 for p, weight in law) - mean**2 + 1e-15)
    short = violated(violators, classes).expand(DRAWS, -1)
    negatives, weights = warp(short, uniform(DRAWS))
    # Five standard errors of the mean, of a spread that is known.
    assert float(weights.mean()) == pytest.approx(mean, abs=5 * spread / DRAWS**0.5 + 1e-12)
    allowed = {beta(19 // k) for k in range(1, 20)} | {0.0}
    for each in weights.unique().tolist():
        assert min(abs(each - value) for value in allowed) < 1e-12
    taken = negatives[weights > 0]
    assert (short[0, taken] > 0).all()


@pytest.mark.parametrize("sampler", [warp, some_violator])
def test_each_violator_is_as_likely(sampler):
    short = violated(6, 9).expand(DRAWS, -1)
    negatives, weights = sampler(short, uniform(DRAWS))
    shares = torch.bincount(negatives[weights > 0], minlength=9) / (weights > 0).sum()
    # Six violators in nine tenths of the draws or more; a share's deviation is below this.
    deviation = math.sqrt(1 / 6 * 5 / 6 / (0.9 * DRAWS))
    expected = torch.where(short[0] > 0, 1 / 6, 0.0)
    torch.testing.assert_close(shares.double(), expected.double(), rtol=0, atol=5 * deviation)


@pytest.mark.parametrize("sampler", [most_violating, some_violator, warp])
def test_nothing_is_moved_where_nothing_violates(sampler):
    for u in (0.0, 0.5, 1 - 2**-53):
        negatives, weights = sampler(violated(0, 6), torch.full((1, 2), u, dtype=torch.float64))
        assert float(weights) == 0
        assert 0 <= int(negatives) < 6


def test_a_class_alone_has_no_wrong_one():
    short = torch.full((2, 1), -math.inf)
    for sampler in (most_violating, some_violator, warp):
        assert not sampler(short, uniform(2))[1].any()


def test_a_wrong_class_is_any_but_the_true_one():
    targets = torch.arange(4).repeat_interleave(DRAWS // 4)
    pairs = torch.bincount(4 * targets + some_wrong(targets, 4, uniform(len(targets))))
    pairs = torch.nn.functional.pad(pairs, (0, 16 - len(pairs))).view(4, 4) / (DRAWS // 4)
    expected = (1 - torch.eye(4)) / 3
    deviation = math.sqrt(1 / 3 * 2 / 3 / (DRAWS // 4))
    torch.testing.assert_close(pairs, expected, rtol=0, atol=5 * deviation)


# The objectives, one row's share of each.


def hinges(weight, x, target, a, margin):
    """``[margin + F(x, y) - F(x, y_n)]_+`` of each class, 0 for the true one."""
    scores = torch.stack([a @ (x @ w) for w in weight.view(DIM, -1, Q).unbind(1)]).amax(0)
    short = (margin + scores - scores[target]).clamp_min(0)
    short[target] = 0
    return short


def differences(value, weight, step=1e-6):
    """The gradient by central differences."""
    found = torch.zeros_like(weight)
    for place in np.ndindex(*weight.shape):
        up, down = weight.clone(), weight.clone()
        up[place] += step
        down[place] -= step
        found[place] = (value(up) - value(down)) / (2 * step)
    return found


def update(step, weight, x, target, u):
    """What a step adds to W for one row."""
    given = step.given(torch.tensor([target]), torch.tensor([u], dtype=torch.float64))
    changes, weights = step((x @ weight)[None], given)
    return torch.outer(x, changes[0]), float(weights)


def slopes_agree(found, value, weight):
    torch.testing.assert_close(found, -differences(value, weight), rtol=0, atol=1e-8)


@pytest.mark.parametrize("row", range(6))
def test_sjes_step_is_the_subgradient_of_its_loss(rows, row):
    weight, a = numbers(DIM, Q, seed=5), rows.described
    x, target = rows.x[row], int(rows.targets[row])
    step = RankingStep(a, most_violating, lr=1.0, margin=0.7)
    found, _ = update(step, weight, x, target, (0.5, 0.5))
    slopes_agree(found, lambda w: hinges(w, x, target, a, 0.7).max(), weight)


@pytest.mark.parametrize("row", range(6))
def test_devises_steps_to_every_violator_are_the_gradient_of_its_loss(rows, row):
    weight, a = numbers(DIM, Q, seed=5), rows.described
    x, target = rows.x[row], int(rows.targets[row])
    step = RankingStep(a, some_violator, lr=1.0, margin=0.7)
    count = int((hinges(weight, x, target, a, 0.7) > 0).sum())
    each = [update(step, weight, x, target, ((i + 0.5) / count, 0.5))[0] for i in range(count)]
    slopes_agree(
        sum(each, torch.zeros_like(weight)), lambda w: hinges(w, x, target, a, 0.7).sum(), weight
    )


def test_ales_mean_step_is_the_gradient_of_its_loss_where_the_rank_is_certain(rows):
    # Every wrong class violates: one draw finds one, and the estimate is the rank, C - 1.
    weight, a = 0.01 * numbers(DIM, Q, seed=5), rows.described
    step, rank = RankingStep(a, warp, lr=1.0, margin=1.0), CLASSES - 1
    x, target = rows.x[7], int(rows.targets[7])
    assert (hinges(weight, x, target, a, 1.0) > 0).sum() == rank
    each = [update(step, weight, x, target, ((i + 0.5) / rank, 0.9))[0] for i in range(rank)]
    value = lambda w: beta(rank) / rank * hinges(w, x, target, a, 1.0).sum()  # noqa: E731
    slopes_agree(sum(each) / rank, value, weight)


def test_ales_step_is_that_of_its_violator_times_the_weight_of_the_draws(rows):
    weight, a = numbers(DIM, Q, seed=5), rows.described
    step, checked = RankingStep(a, warp, lr=1.0, margin=1.0), 0
    for row in range(COUNT):
        x, target = rows.x[row], int(rows.targets[row])
        violators = (hinges(weight, x, target, a, 1.0) > 0).nonzero()[:, 0]
        if not 0 < len(violators) < CLASSES - 1:
            continue
        chance = len(violators) / (CLASSES - 1)
        for k in range(1, CLASSES):
            u = 1 - (1 - chance) ** (k - 0.5)  # within the k-th step of the inverse
            found, size = update(step, weight, x, target, (0.0, u))
            assert size == pytest.approx(beta((CLASSES - 1) // k))
            move = torch.outer(x, a[target] - a[violators[0]])
            torch.testing.assert_close(found, size * move)
            checked += 1
    assert checked > 8


def test_latems_steps_to_every_wrong_class_are_the_gradient_of_its_loss(rows):
    weight, a = numbers(DIM, MAPS * Q, seed=5), rows.described
    step, seen = LatentStep(a, MAPS, lr=1.0, margin=0.7), set()
    for row in range(12):
        x, target = rows.x[row], int(rows.targets[row])
        found = torch.zeros_like(weight)
        best = torch.stack([a @ (x @ w) for w in weight.view(DIM, MAPS, Q).unbind(1)]).argmax(0)
        for i in range(CLASSES - 1):
            change, size = update(step, weight, x, target, ((i + 0.5) / (CLASSES - 1), 0.0))
            found += change
            wrong = (target + 1 + i) % CLASSES
            seen |= {(size > 0, bool(best[wrong] == best[target]))}
        slopes_agree(found, lambda w, x=x, t=target: hinges(w, x, t, a, 0.7).sum(), weight)
    # Both cases of the rule have been met, and both without a violation.
    assert len(seen) == 4


@each_system
def test_a_batch_is_the_sum_of_its_rows_steps_at_the_same_weights(rows, system):
    session = Session(0)
    weight = system.first(rows, session.generator("w"))
    before, step = weight.clone(), system.step(rows)
    order, draws = (session.generator(use) for use in ("order", "draws"))
    next(epochs(weight, rows, step, COUNT, order, draws))
    u = torch.rand(COUNT, 2, generator=session.generator("draws"), dtype=torch.float64)
    expected, moved = before.clone(), 0
    for row, chance in zip(
        torch.randperm(COUNT, generator=session.generator("order")), u, strict=True
    ):
        change, _ = update(step, before, rows.x[row], int(rows.targets[row]), chance.tolist())
        expected, moved = expected + change, moved + bool(change.any())
    assert moved > 1
    torch.testing.assert_close(weight, expected)


@each_system
def test_single_rows_are_descent_by_single_rows(rows, system):
    session = Session(0)
    weight = system.first(rows, session.generator("w"))
    expected, step = weight.clone(), system.step(rows)
    order, draws = (session.generator(use) for use in ("order", "draws"))
    twice = islice(epochs(weight, rows, step, 1, order, draws, block=8), 2)
    order, draws = (session.generator(use) for use in ("order", "draws"))
    for mean in twice:
        u = iter(torch.rand(COUNT, 2, generator=draws, dtype=torch.float64))
        sizes = []
        for row in torch.randperm(COUNT, generator=order):
            x, target = rows.x[row], int(rows.targets[row])
            change, size = update(step, expected, x, target, next(u).tolist())
            expected += change
            sizes.append(size)
        torch.testing.assert_close(weight, expected)
        assert mean == pytest.approx(np.mean(sizes))
    assert not torch.equal(expected, system.first(rows, session.generator("w")))


def test_sje_looks_for_its_class_by_the_scaled_projection_and_moves_the_plain_one(rows):
    weight, a = numbers(DIM, Q, seed=5), rows.described
    step, apart = RankingStep(a, most_violating, 1.0, 0.7, standardise=True), 0
    for x, target in zip(rows.x, rows.targets.tolist(), strict=True):
        projected = (x @ weight).numpy()
        scores = a.numpy() @ ((projected - projected.mean()) / projected.std())
        short = 0.7 + scores - scores[target]
        short[target] = 0
        move = torch.outer(x, a[target] - a[int(short.argmax())])
        torch.testing.assert_close(update(step, weight, x, target, (0.5, 0.5))[0], move)
        apart += int(short.argmax() != hinges(weight, x, target, a, 0.7).argmax())
    assert apart > 0
    assert not standardised(torch.full((1, 4), 3.0)).any()


def test_where_training_begins():
    rows = Rows(torch.zeros(2, 400), torch.tensor([0, 1]), numbers(2, 200).float(), (0, 1), ())
    weight = SJE().first(rows, generator(0))
    assert (weight >= 0).all()
    torch.testing.assert_close(weight.norm(dim=0), torch.ones(200))
    # 240,000 normal numbers over the root of dim: their deviation to five standard errors.
    weight = LATEM(maps=3).first(rows, generator(0))
    assert float(weight.std()) == pytest.approx(1 / 20, rel=5 / math.sqrt(2 * weight.numel()))


@each_system
def test_restored_from_tensors_the_scores_are_the_same_bits(rows, system):
    for epoch in system.until(2).train(rows, Session(0)):
        model = epoch.model()
    back, asked = system.model(model.state()), rows.asked((8, 1, 0))
    assert torch.equal(back.scores(rows.x, asked), model.scores(rows.x, asked))
    by_map = model.state()["weight"].reshape(DIM, -1, Q)
    expected = torch.einsum("nd,dmq,cq->mnc", rows.x, by_map, asked.descriptions).amax(0)
    torch.testing.assert_close(model.scores(rows.x, asked), expected)
    with pytest.raises(KeyError):
        system.model({})


def test_an_epochs_model_stays_as_it_was(rows):
    trained = DeViSE(lr=0.1, margin=1.0).train(rows, Session(0))
    model = next(trained).model()
    kept = model.state()["weight"].clone()
    next(trained)
    assert torch.equal(model.state()["weight"], kept)


PARTS = Parts(modalities(scaler="standard"))


def fitted(system):
    given = source(validation_classes=np.array([2, 3]))
    return system.fit(
        pose(given, given.arrays, PARTS.modalities, Protocol()).training, PARTS, Session(0)
    )


@pytest.mark.parametrize("batch", [1, 4])
def test_a_step_that_diverges_is_not_chosen(batch):
    # Just within float32: the second step is beyond it, on any processor.
    made = fitted(DeViSE(lr=(3e38, 0.01), margin=1e30, epochs=2, batch=batch))
    assert made.chosen["H"]["lr"] == 0.01
    with pytest.raises(MmalignError, match="diverged"):
        fitted(ALE(lr=3e38, epochs=2, batch=batch))


# Not SJE by scaled projections, which leave one degree of freedom of three.
@pytest.mark.parametrize("name", ["sje", "devise", "ale", "latem"])
def test_it_learns_to_rank(rows, name):
    *_, last = SYSTEMS[name].until(20).train(rows, Session(0))
    said = last.model().scores(rows.x, rows.asked(KNOWN)).argmax(1)
    assert (said == rows.targets).double().mean() > 0.6  # by chance it is 0.2


def test_shortfalls_leave_the_true_class_out():
    targets = torch.tensor([1, 0])
    scores = torch.tensor([[1.0, 2.0, 4.0], [0.0, 0.5, -2.0]])
    short = shortfalls(scores, targets[:, None], margins(targets, 3, 0.25, scores.dtype))
    assert short.tolist() == [[-0.75, -math.inf, 2.25], [-math.inf, 0.75, -1.75]]
