"""CMT: the loss's gradient, L-BFGS, both novelty gates by direct computation, and the scores."""

import math

import numpy as np
import pytest
import torch
from helpers import generator, modalities, numbers, source

from mmalign import Linear, Parts, Protocol, Rows, Session, pose
from mmalign.testing import checks
from mmalign_baselines.cmt import CMT
from mmalign_baselines.novelty import Mixture, Outlier, gated
from mmalign_baselines.regressor import Regressor, first, loss, train
from mmalign_baselines.synthesised import unit
from mmalign_baselines.transfer import Gated, Transfer, seen_rows

DIM, Q, HIDDEN, CLASSES, COUNT = 5, 3, 4, 4, 40
SEEN, UNSEEN = (0, 2, 4, 6), (1, 3)
SETTINGS = {"hidden": HIDDEN, "lam": 1e-3, "iterations": 40, "classifier_epochs": 40}


@pytest.fixture
def rows():
    labels = torch.randint(CLASSES, (COUNT,), generator=generator(3))
    labels[:CLASSES] = torch.arange(CLASSES)
    descriptions = numbers(8, Q, seed=2)
    x = unit(descriptions)[2 * labels] @ numbers(Q, DIM, seed=4) + 0.1 * numbers(COUNT, DIM, seed=1)
    return Rows(x, 2 * labels, descriptions, SEEN, UNSEEN)


@pytest.fixture
def net():
    made = first(DIM, HIDDEN, Q, generator(1), torch.float64)
    return Regressor(made.w1, 0.3 * numbers(HIDDEN), made.w2, 0.3 * numbers(Q, seed=9))


def test_the_gradient_is_that_of_finite_differences(rows, net):
    wanted = rows.descriptions[rows.labels]
    value, slope = loss(net, rows.x, wanted, 0.3)
    by_hand = sum(
        float((net.w2 @ torch.tanh(net.w1 @ x + net.b1) + net.b2 - a).square().sum())
        for x, a in zip(rows.x, wanted, strict=True)
    )
    squares = float(net.w1.square().sum() + net.w2.square().sum())
    assert float(value) == pytest.approx(by_hand / (2 * COUNT) + 0.15 * squares)
    for at, given in enumerate(net.tensors()):
        for place in np.ndindex(*given.shape):
            ends = []
            for step in (1e-6, -1e-6):
                moved = [each.clone() for each in net.tensors()]
                moved[at][place] += step
                ends.append(float(loss(Regressor(*moved), rows.x, wanted, 0.3)[0]))
            difference = (ends[0] - ends[1]) / 2e-6
            assert difference == pytest.approx(float(slope.tensors()[at][place]), abs=1e-8)


def test_training_ends_where_the_gradient_vanishes(rows, net):
    wanted = unit(rows.descriptions)[rows.labels]
    found = train(net, rows.x, wanted, 0.01, 2000)
    value, slope = loss(found, rows.x, wanted, 0.01)
    assert float(value) < float(loss(net, rows.x, wanted, 0.01)[0])
    assert max(float(each.abs().max()) for each in slope.tensors()) < 1e-5


def test_where_training_begins():
    net = first(300, 200, 100, generator(0), torch.float32)
    assert not net.b1.any()
    assert not net.b2.any()
    for weight, sizes in ((net.w1, 500), (net.w2, 300)):
        bound = math.sqrt(6 / sizes)
        # Of 20,000 uniform numbers and more, the largest is within this of the bound.
        assert 0.999 * bound < float(weight.abs().max()) <= bound


def test_the_mixture_is_that_of_a_direct_computation(rows):
    means = unit(rows.descriptions[list(SEEN)])
    z = means[rows.targets] + 0.2 * numbers(COUNT, Q, seed=6)
    mixture, asked = Mixture.of(z, rows.targets, means), 3 * numbers(7, Q, seed=8)
    found = mixture.familiarity(asked)
    for row, value in zip(asked, found, strict=True):
        density = 0.0
        for index in range(CLASSES):
            own = z[rows.targets == index]
            variance = float((own - means[index]).square().sum()) / (len(own) * Q)
            square = float((row - means[index]).square().sum())
            volume = (2 * math.pi * variance) ** (Q / 2)
            density += len(own) / COUNT * math.exp(-square / (2 * variance)) / volume
        assert float(value) == pytest.approx(math.log(density))
    assert torch.equal(mixture.trained(z), mixture.familiarity(z))


def test_a_mixture_bears_rows_far_away_and_a_class_on_its_point(rows):
    means = unit(rows.descriptions[list(SEEN)])
    mixture = Mixture.of(means[rows.targets], rows.targets, means)
    assert mixture.familiarity(1e4 * numbers(5, Q)).isfinite().all()


def loop(z, among, k):
    """f of LoOP and L, from the definition; a row among these is no neighbour of its own."""

    def spread(point, others):
        near = np.sort(np.linalg.norm(others - point, axis=1))[:k]
        return math.sqrt((near**2).mean()), np.argsort(np.linalg.norm(others - point, axis=1))[:k]

    inner = [spread(among[i], np.delete(among, i, 0)) for i in range(len(among))]
    spreads = np.array([each for each, _ in inner])
    factors = []
    for i, (own, near) in enumerate(inner):
        others = np.delete(np.arange(len(among)), i)
        factors.append(own / spreads[others[near]].mean() - 1)
    width = math.sqrt(np.mean(np.square(factors)))
    own, near = spread(z, among)
    return own / spreads[near].mean() - 1, width, np.array(factors)


def test_the_outlier_probability_is_that_of_its_definition(rows):
    means = unit(rows.descriptions[list(SEEN)])
    z = means[rows.targets] + 0.2 * numbers(COUNT, Q, seed=6)
    gate = Outlier.of(z, rows.targets, CLASSES, 3)
    groups = [z[rows.targets == index].numpy() for index in range(CLASSES)]
    assert min(map(len, groups)) > 4
    asked = numbers(6, Q, seed=8)
    for row, value in zip(asked, gate.familiarity(asked), strict=True):
        expected = max(-f / width for f, width, _ in (loop(row.numpy(), g, 3) for g in groups))
        assert float(value) == pytest.approx(expected)
    trained = gate.trained(z)
    for index, group in enumerate(groups):
        _, width, factors = loop(group[0], group, 3)
        # A training row's own class leaves the row out; another class may find it nearer.
        assert (trained[rows.targets == index].numpy() >= -factors / width - 1e-9).all()
    assert (trained - gate.familiarity(z)).abs().max() > 0.1


def test_an_outlier_gate_bears_classes_of_one_row():
    z, targets = numbers(5, Q), torch.tensor([0, 1, 1, 1, 2])
    gate = Outlier.of(z, targets, 3, 20)
    assert gate.familiarity(numbers(4, Q, seed=1)).isfinite().all()
    assert gate.trained(z).isfinite().all()
    alone = Outlier.of(z[:2], torch.tensor([0, 1]), 2, 20)
    assert alone.familiarity(z).unique().numel() == 1


def test_the_refused_side_comes_after_the_other_and_each_keeps_its_order():
    known, novel = 300 * numbers(50, 3, seed=1), numbers(50, 2, seed=2)
    margin = 10 * numbers(50, seed=3)
    margin[:2] = torch.tensor([0.0, -1e-9])
    is_known = torch.tensor([True, False, True, True, False])
    scores = gated(known, novel, margin, is_known)
    assert scores.isfinite().all()
    for row, each in zip(scores, margin, strict=True):
        sides = row[is_known], row[~is_known]
        ahead, behind = sides if each >= 0 else sides[::-1]
        assert ahead.min() > behind.max()
    assert torch.equal(scores[:, is_known].argsort(1), known.argsort(1))
    assert torch.equal(scores[:, ~is_known].argsort(1), novel.argsort(1))
    gap = scores[:, is_known].amax(1) - scores[:, ~is_known].amax(1)
    assert torch.equal(gap.argsort(), margin.argsort())


@pytest.mark.parametrize("gate", ["none", "gaussian", "loop"])
def test_scores_follow_the_gate(rows, gate):
    system = CMT(gate=gate, quantile=0.25, neighbours=3, **SETTINGS)
    (epoch,) = system.train(rows, Session(0))
    model = epoch.model()
    x = torch.cat([rows.x, 4 * numbers(40, DIM, seed=5)])
    z = model.regressor(x)
    near = -torch.cdist(z, unit(rows.descriptions))
    everything = (3, 0, 2, 1, 6, 4)
    torch.testing.assert_close(model.scores(x, rows.asked(UNSEEN)), near[:, list(UNSEEN)])
    said = torch.tensor(everything)[model.scores(x, rows.asked(everything)).argmax(1)]
    if gate == "none":
        torch.testing.assert_close(model.scores(x, rows.asked(everything)), near[:, everything])
        return
    novel = model.behind.gate.familiarity(z) < model.behind.threshold
    assert 5 < int(novel.sum()) < 75
    expected = torch.where(
        novel,
        torch.tensor(UNSEEN)[near[:, list(UNSEEN)].argmax(1)],
        torch.tensor(SEEN)[model.behind.known.scores(x, SEEN).argmax(1)],
    )
    assert torch.equal(said, expected)
    by_classifier = model.behind.known.scores(x, (4, 0))
    torch.testing.assert_close(model.scores(x, rows.asked((4, 0))), by_classifier)
    # The share of the training rows that the quantile says, to a row.
    trained = model.behind.gate.trained(z[:COUNT]) < model.behind.threshold
    assert abs(int(trained.sum()) - 10) <= 1


@pytest.mark.parametrize("gate", ["none", "gaussian", "loop"])
def test_restored_from_tensors_the_scores_are_the_same_bits(rows, gate):
    system = CMT(gate=gate, quantile=0.25, neighbours=3, **SETTINGS)
    (epoch,) = system.train(rows, Session(0))
    model = epoch.model()
    back = system.model(model.state())
    for classes in ((0, 1, 2, 3), UNSEEN, SEEN):
        asked = rows.asked(classes)
        assert torch.equal(back.scores(rows.x, asked), model.scores(rows.x, asked))
    with pytest.raises(KeyError):
        system.model({"w1": model.regressor.w1})


def test_shots_train_the_regressor_and_stay_behind_the_gate(rows):
    labels = rows.labels.clone()
    labels[-3:] = 1
    few = Rows(rows.x, labels, rows.descriptions, (*SEEN[:1], 1, *SEEN[1:]), UNSEEN)
    some, seen = seen_rows(few)
    assert seen == SEEN
    assert some.tolist() == list(range(COUNT - 3))
    (epoch,) = CMT(gate="gaussian", quantile=0.25, **SETTINGS).train(few, Session(0))
    assert epoch.model().behind.known.classes == SEEN


def test_a_quantile_is_chosen_only_where_there_is_a_gate():
    assert len(CMT().candidates()) == 1
    assert "quantile" not in CMT().settings()
    assert len(CMT(gate="loop", lam=(1e-4, 1e-3), quantile=(0.1, 0.2, 0.3)).candidates()) == 6
    parts = Parts(modalities(scaler="unit"))
    given = source(validation_classes=np.array([2, 3]))
    training = pose(given, given.arrays, parts.modalities, Protocol()).training
    settings = SETTINGS | {"iterations": 5, "classifier_epochs": 2}
    chosen = (
        CMT(gate="gaussian", quantile=(0.1, 0.5), **settings)
        .fit(training, parts, Session(0))
        .chosen
    )
    assert chosen["H"].keys() == {"lam", "quantile", "value"}


def test_the_other_gate_conforms():
    small = SETTINGS | {"iterations": 5, "classifier_epochs": 2}
    for check in checks(CMT(gate="loop", quantile=(0.2, 0.5), **small), parts=Parts(modalities())):
        if "torch" not in str(check):  # a process of its own, the same for every gate
            check()


def test_a_gate_stands_between_any_regressor_and_classifier(net):
    known = Linear(numbers(DIM, 2), numbers(2, seed=1), (0, 2))
    gate = Mixture(numbers(2, Q), torch.ones(2).double(), torch.full((2,), 0.5).double())
    model = Transfer(net, Gated(known, gate, torch.tensor(-3.0, dtype=torch.float64)))
    assert model.state().keys() >= {"w1", "known.weight", "gate.means", "threshold", "classes"}
