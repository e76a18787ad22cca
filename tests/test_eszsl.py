"""ESZSL against its objective: stationarity, brute force, and one decomposition for all."""

import pytest
import torch
from helpers import generator, numbers

from mmalign import MmalignError, Rows, Session
from mmalign_baselines.eszsl import ESZSL, decompose
from mmalign_baselines.grids import one

DIM, Q, CLASSES, COUNT = 5, 3, 4, 30


@pytest.fixture(params=["binary", "signed"])
def targets(request):
    return request.param


@pytest.fixture
def rows():
    labels = torch.randint(CLASSES, (COUNT,), generator=generator(3))
    labels[:CLASSES] = torch.arange(CLASSES)
    return Rows(
        numbers(COUNT, DIM, seed=1) + 1, 2 * labels, numbers(8, Q, seed=2), (0, 2, 4, 6), (1, 3)
    )


def objective(weight, rows, targets, gamma, lam):
    x, s = rows.x.T, rows.described.T
    y = torch.full((COUNT, CLASSES), 0.0 if targets == "binary" else -1.0, dtype=torch.float64)
    y[torch.arange(COUNT), rows.targets] = 1
    terms = (
        (x.T @ weight @ s - y).square().sum(),
        gamma * (weight @ s).square().sum(),
        lam * (x.T @ weight).square().sum(),
        gamma * lam * weight.square().sum(),
    )
    return sum(terms)


@pytest.mark.parametrize(("gamma", "lam"), [(0.1, 0.2), (1e3, 1e-3), (1e-3, 10.0)])
def test_the_solution_is_stationary(rows, targets, gamma, lam):
    weight = decompose(rows, targets).solve(gamma, lam).weight.requires_grad_()
    value = objective(weight, rows, targets, gamma, lam)
    (slope,) = torch.autograd.grad(value, weight)
    assert slope.abs().max() < 1e-8 * max(1.0, float(value.detach())) * max(1.0, gamma)


def test_the_solution_is_that_of_the_printed_formula(rows, targets):
    x, s = rows.x.T, rows.described.T
    y = torch.full((COUNT, CLASSES), 0.0 if targets == "binary" else -1.0, dtype=torch.float64)
    y[torch.arange(COUNT), rows.targets] = 1
    left = torch.linalg.inv(x @ x.T + 0.3 * torch.eye(DIM))
    right = torch.linalg.inv(s @ s.T + 0.7 * torch.eye(Q))
    found = decompose(rows, targets).solve(0.3, 0.7).weight
    torch.testing.assert_close(found, left @ x @ y @ s.T @ right)


def test_targets_are_the_same_to_centred_features(rows):
    centred = Rows(rows.x - rows.x.mean(0), rows.labels, rows.descriptions, rows.known, rows.unseen)
    binary, signed = (decompose(centred, t).solve(0.5, 0.5).weight for t in ("binary", "signed"))
    torch.testing.assert_close(2 * binary, signed)
    apart = [decompose(rows, t).solve(0.5, 0.5).weight for t in ("binary", "signed")]
    assert (2 * apart[0] - apart[1]).abs().max() > 0.01


def test_the_whole_grid_comes_from_one_decomposition(rows, monkeypatch):
    import mmalign_baselines.eszsl as module

    calls = []
    monkeypatch.setattr(module, "decompose", lambda *given: calls.append(1) or decompose(*given))
    system = ESZSL(gamma=(0.1, 1.0, 10.0), lam=(0.2, 2.0))
    found = [
        (each, epoch.model().weight)
        for each, epoch in system.explore(system.candidates(), rows, Session(0))
    ]
    assert len(found) == 6
    assert len(calls) == 1
    for each, weight in found:
        (alone,) = each.train(rows, Session(0))
        torch.testing.assert_close(alone.model().weight, weight)


def test_scores_are_bilinear_and_in_the_order_asked(rows):
    model = decompose(rows, "binary").solve(1.0, 1.0)
    x = numbers(7, DIM, seed=9).float()
    scores = model.scores(x, rows.asked([6, 1]))
    expected = x.double() @ model.weight @ rows.descriptions[[6, 1]].T
    torch.testing.assert_close(scores, expected)


def test_a_grid_is_no_value():
    with pytest.raises(MmalignError, match="several values are left"):
        one((1.0, 2.0))
