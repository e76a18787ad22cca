"""ReViSE: the contraction against autograd's Jacobian, MMD by a double loop, the objective."""

import math
from itertools import pairwise

import pytest
import torch
from helpers import generator, numbers
from torch.autograd.functional import jacobian

from mmalign import Rows, Session
from mmalign_baselines.codes import SCORING, Codes, begin, contraction, mmd, objective
from mmalign_baselines.revise import ReViSE

DIM, Q, CLASSES, COUNT = 5, 3, 4, 12
KNOWN = (0, 2, 4, 6)
SMALL = ReViSE(hidden=(6, 4), text_hidden=5, joint=2, alpha=0.3, beta=0.7, zeta=0.2, batch=4)


@pytest.fixture
def rows():
    labels = torch.arange(COUNT) % CLASSES
    descriptions = numbers(8, Q, seed=2)
    x = descriptions[2 * labels] @ numbers(Q, DIM, seed=4) + 0.1 * numbers(COUNT, DIM, seed=1)
    return Rows(x, 2 * labels, descriptions, KNOWN, (1, 3))


@pytest.fixture
def codes():
    made = begin(SMALL, DIM, Q, numbers(1), generator(0))
    # Biases begin at 0, which would hide mistakes.
    moved = {n: t + 0.3 * numbers(*t.shape, seed=len(n)) for n, t in made.tensors.items()}
    return Codes(moved)


def test_the_contraction_is_the_square_norm_of_autograds_jacobian(rows, codes):
    inputs = [rows.x, *codes.visual(rows.x)]
    for (before, after), (weight, bias) in zip(
        pairwise(inputs), codes.layers("visual"), strict=True
    ):
        found = contraction(after, weight)
        for row, value in zip(before, found, strict=True):
            slope = jacobian(lambda v, w=weight, b=bias: (w @ v + b).sigmoid(), row)
            assert float(value) == pytest.approx(float(slope.square().sum()))


def test_the_layers_contractions_bound_that_of_the_code(rows, codes):
    hidden = codes.visual(rows.x)
    norms = [contraction(h, w) for h, (w, _) in zip(hidden, codes.layers("visual"), strict=True)]
    for index, row in enumerate(rows.x):
        slope = jacobian(lambda v: codes.visual(v[None])[-1][0], row)
        assert float(slope.square().sum()) <= float(norms[0][index] * norms[1][index])


@pytest.mark.parametrize("count", [1, 7])
def test_mmd_is_that_of_a_double_loop(count):
    a, b = numbers(5, 3, seed=1), 0.5 + 2 * numbers(count, 3, seed=2)
    points = torch.cat([a, b])
    distances = sorted(
        float((points[i] - points[j]).norm()) for i in range(len(points)) for j in range(i)
    )
    median = distances[(len(distances) - 1) // 2]

    def kernel(u, v):
        square = float((u - v).square().sum())
        return sum(math.exp(-square / (2 * (s * median) ** 2)) for s in (0.5, 1, 2))

    def mean(left, right):
        return sum(kernel(u, v) for u in left for v in right) / (len(left) * len(right))

    expected = mean(a, a) + mean(b, b) - 2 * mean(a, b)
    assert float(mmd(a, b)) == pytest.approx(expected)


def test_mmd_of_the_same_points_is_zero_and_has_a_gradient():
    a = numbers(6, 3).requires_grad_()
    value = mmd(a, a.detach().clone())
    assert float(value.detach()) == pytest.approx(0, abs=1e-12)
    value.backward()
    torch.testing.assert_close(a.grad, torch.zeros_like(a), rtol=0, atol=1e-12)
    one = torch.ones(4, 2, requires_grad=True)  # every distance is 0, and so is the median
    mmd(one, torch.ones(3, 2)).backward()
    assert one.grad.isfinite().all()


def test_the_objective_is_that_of_its_formulas(rows, codes):
    terms = objective(codes, SMALL, rows.x, rows.targets, rows.described)
    tensors = codes.tensors

    def affine(part, number, v):
        return tensors[f"{part}.{number}.weight"] @ v + tensors[f"{part}.{number}.bias"]

    def described(a):
        return affine("text", 1, affine("text", 0, a).relu()).sigmoid()

    supervised = visual = text = 0.0
    seen, read = [], []
    for x, target in zip(rows.x, rows.targets.tolist(), strict=True):
        first = affine("visual", 0, x).sigmoid()
        code = affine("visual", 1, first).sigmoid()
        back = affine("visual_decoder", 1, affine("visual_decoder", 0, code).sigmoid())
        steep = jacobian(lambda v: affine("visual", 0, v).sigmoid(), x).square().sum()
        steep += jacobian(lambda v: affine("visual", 1, v).sigmoid(), first).square().sum()
        visual += float((x - back).square().sum() + SMALL.zeta * steep)
        a = rows.described[target]
        again = affine("text_decoder", 1, affine("text_decoder", 0, described(a)).relu())
        text += float((a - again).square().sum())
        for index, other in enumerate(rows.described):
            s = affine("visual_score", 0, code) @ affine("text_score", 0, described(other))
            p = float(s.sigmoid())
            supervised -= math.log(p if index == target else 1 - p)
        seen.append(code)
        read.append(described(a))
    assert float(terms["supervised"]) == pytest.approx(supervised / COUNT)
    assert float(terms["visual"]) == pytest.approx(SMALL.alpha * visual / COUNT)
    assert float(terms["text"]) == pytest.approx(SMALL.alpha * text / COUNT)
    expected = SMALL.beta * float(mmd(torch.stack(seen), torch.stack(read)))
    assert float(terms["mmd"]) == pytest.approx(expected)


def test_training_lowers_the_objective_and_learns(rows):
    learner = ReViSE(
        hidden=(16, 8), text_hidden=16, joint=8, alpha=0.01, beta=0.1, lr=0.01, epochs=40, batch=6
    )
    told = []
    for epoch in learner.train(rows, Session(0)):
        told.append(sum(epoch.terms.values()))
        model = epoch.model() if epoch.number in (1, 40) else model
    assert told[-1] < 0.6 * told[0]
    said = model.scores(rows.x, rows.asked(KNOWN)).argmax(1)
    assert (said == rows.targets).double().mean() > 0.8  # by chance it is 0.25


def test_scores_are_inner_products_and_come_back_from_tensors(rows):
    trained = SMALL.train(rows, Session(0))
    model = next(trained).model()
    assert {name.split(".")[0] for name in model.state()} == set(SCORING)
    assert not any(each.requires_grad for each in model.state().values())
    asked = rows.asked((6, 1, 0))
    scores = model.scores(rows.x, asked)
    code = model.visual(rows.x)[-1]
    left, right = model.joint_visual(code), model.joint_text(model.text(asked.descriptions))
    torch.testing.assert_close(scores, torch.einsum("nj,cj->nc", left, right))
    assert torch.equal(SMALL.model(model.state()).scores(rows.x, asked), scores)
    next(trained)  # and training on leaves the model as it was
    assert torch.equal(model.scores(rows.x, asked), scores)
    with pytest.raises(KeyError):
        SMALL.model({"visual.0.weight": numbers(2, 2)})
