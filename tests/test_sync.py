"""SYNC: losses against finite differences, the optimum's conditions, and synthesis."""

import pytest
import torch
from helpers import generator, numbers

from mmalign import MmalignError, Rows, Session
from mmalign_baselines.sync import SYNC
from mmalign_baselines.synthesised import (
    Phantoms,
    classifiers,
    crammer_singer,
    first,
    margins,
    one_versus_other,
    similarities,
)

DIM, Q, CLASSES, COUNT = 4, 3, 5, 40
KNOWN = (0, 2, 4, 6, 8)


@pytest.fixture
def rows():
    labels = torch.randint(CLASSES, (COUNT,), generator=generator(3))
    labels[:CLASSES] = torch.arange(CLASSES)
    descriptions = numbers(10, Q, seed=2)
    x = descriptions[2 * labels] @ numbers(Q, DIM, seed=4) + 0.3 * numbers(COUNT, DIM, seed=1)
    return Rows(x, 2 * labels, descriptions, KNOWN, (1, 3))


def value(weight, rows, loss, lam):
    scores = rows.x @ weight.T
    margin = margins(loss, Phantoms.of(rows))
    found, _ = (
        one_versus_other(scores, rows.targets)
        if margin is None
        else crammer_singer(scores, rows.targets, margin)
    )
    return found + lam / 2 * weight.square().sum()


@pytest.mark.parametrize("loss", ["one-versus-other", "crammer-singer", "structured"])
def test_slopes_are_those_of_finite_differences(rows, loss):
    scores = numbers(COUNT, CLASSES, seed=7)
    margin = margins(loss, Phantoms.of(rows))
    of = (
        (lambda s: one_versus_other(s, rows.targets))
        if margin is None
        else (lambda s: crammer_singer(s, rows.targets, margin))
    )
    _, slope = of(scores)
    step = 1e-6
    for place in ((0, 0), (1, 3), (5, int(rows.targets[5])), (17, 2)):
        up, down = scores.clone(), scores.clone()
        up[place] += step
        down[place] -= step
        difference = (of(up)[0] - of(down)[0]) / (2 * step)
        assert float(difference) == pytest.approx(float(slope[place]), abs=1e-8)


def test_losses_are_those_of_a_double_loop(rows):
    scores = numbers(COUNT, CLASSES, seed=7)
    phantoms = Phantoms.of(rows)
    squared, hinge, structured = 0.0, 0.0, 0.0
    for n in range(COUNT):
        y = int(rows.targets[n])
        for c in range(CLASSES):
            squared += max(0.0, 1 - (1 if c == y else -1) * float(scores[n, c])) ** 2
        apart = [float(scores[n, c] - scores[n, y]) for c in range(CLASSES)]
        hinge += max((c != y) + apart[c] for c in range(CLASSES))
        far = [float((phantoms.points[c] - phantoms.points[y]).norm()) for c in range(CLASSES)]
        structured += max(far[c] + apart[c] for c in range(CLASSES))
    found = [one_versus_other(scores, rows.targets)[0]]
    found += [
        crammer_singer(scores, rows.targets, margins(loss, phantoms))[0]
        for loss in ("crammer-singer", "structured")
    ]
    expected = [squared / (COUNT * CLASSES), hinge / COUNT, structured / COUNT]
    assert [float(each) for each in found] == pytest.approx(expected)


def test_one_versus_other_ends_where_its_gradient_is_zero(rows):
    system = SYNC(lam=1e-2, scale=1.0)
    weight = classifiers(system, rows, Phantoms.of(rows), first(rows, generator(0)))
    weight.requires_grad_()
    (slope,) = torch.autograd.grad(value(weight, rows, "one-versus-other", 1e-2), weight)
    # L-BFGS ends by a share of the objective, 1e-10, and not by the gradient.
    assert slope.abs().max() < 1e-4


@pytest.mark.parametrize("loss", ["crammer-singer", "structured"])
def test_hinge_losses_end_near_their_minimum(rows, loss):
    # Their kinks leave no zero gradient to look for: no direction, however tried, goes down
    # by more than a thousandth of the objective.
    system = SYNC(loss=loss, lam=1e-2, scale=1.0)
    weight = classifiers(system, rows, Phantoms.of(rows), first(rows, generator(0)))
    least = float(value(weight, rows, loss, 1e-2))
    assert least < 0.9 * float(value(torch.zeros_like(weight), rows, loss, 1e-2))
    for seed in range(50):
        direction = numbers(*weight.shape, seed=seed)
        for step in (1e-3, 1e-2, 0.1):
            assert float(value(weight + step * direction, rows, loss, 1e-2)) > 0.999 * least


def test_similarities_are_a_softmax_of_squared_distances():
    a, b = numbers(3, Q, seed=1), numbers(4, Q, seed=2)
    found = similarities(a, b, torch.tensor(0.7, dtype=torch.float64))
    for i in range(3):
        near = torch.stack([torch.exp(-0.7 * (a[i] - b[r]).square().sum()) for r in range(4)])
        torch.testing.assert_close(found[i], near / near.sum())


def test_phantoms_are_at_unit_length_over_the_median_distance(rows):
    points = Phantoms.of(rows).points
    assert float(torch.pdist(points).median()) == pytest.approx(1.0)
    torch.testing.assert_close(points.norm(dim=1), points.norm(dim=1)[:1].expand(CLASSES))


@pytest.mark.parametrize("scale", [0.5, 2.0, 8.0])
def test_seen_classes_get_their_own_classifiers_back(rows, scale):
    weight = numbers(CLASSES, DIM, seed=5)
    model = Phantoms.of(rows).synthesiser(weight, scale)
    x = numbers(6, DIM, seed=6).float()
    scores = model.scores(x, rows.asked(KNOWN))
    torch.testing.assert_close(scores, x.double() @ weight.T, rtol=1e-6, atol=1e-6)


def test_an_unseen_class_with_a_seen_description_scores_as_that_one(rows):
    rows.descriptions[1] = 3 * rows.descriptions[4]  # the length does not matter
    model = Phantoms.of(rows).synthesiser(numbers(CLASSES, DIM, seed=5), 1.0)
    scores = model.scores(numbers(6, DIM, seed=6).float(), rows.asked([1, 4]))
    torch.testing.assert_close(scores[:, 0], scores[:, 1])


def test_scales_share_one_training(rows, monkeypatch):
    import mmalign_baselines.synthesised as module

    calls = []
    monkeypatch.setattr(
        module, "classifiers", lambda *given: calls.append(1) or classifiers(*given)
    )
    system = SYNC(lam=(0.1, 0.01), scale=(0.5, 1.0, 2.0))
    found = dict(system.explore(system.candidates(), rows, Session(0)))
    assert len(found) == 6
    assert len(calls) == 2
    assert {each.scale for each in found} == {0.5, 1.0, 2.0}


def test_equal_descriptions_are_refused(rows):
    same = Rows(rows.x, rows.labels, torch.ones(10, Q).double(), KNOWN, (1, 3))
    with pytest.raises(MmalignError, match="every seen class has the same description"):
        Phantoms.of(same)
