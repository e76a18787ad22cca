"""Calibrated stacking: the bias, and how it is reported and kept."""

import numpy as np
import pytest
import torch
from commands import SMALL, call, only, report_of
from test_aligned_vae import method, parts, problem

import mmalign
from mmalign import MmalignError, Question, Session, measure, stacking_bias
from mmalign.report import harmonic


def asked(rows=60, seed=0):
    """Scores of 3 seen and 2 unseen classes that favour the seen ones."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 5, size=rows)
    scores = draw.normal(size=(rows, 5)).astype(np.float32)
    scores[np.arange(rows), labels] += 1.5
    scores[:, :3] += 2
    every = np.arange(5)
    return scores, Question(labels, {}, every[:3], every[3:], every)


def stacked(scores, question, bias):
    return scores - np.where(np.isin(question.search, question.seen), bias, 0).astype(np.float32)


@pytest.mark.parametrize("seed", range(5))
def test_no_other_bias_gives_a_better_h(seed):
    scores, question = asked(seed=seed)
    bias, best = stacking_bias(scores, question)
    assert pytest.approx(best, abs=1e-12) == measure(stacked(scores, question, bias), question).H
    tried = [
        measure(stacked(scores, question, each), question).H for each in np.linspace(-6, 8, 701)
    ]
    assert max(tried) <= best + 1e-12
    assert best > measure(scores, question).H  # these scores need one


def test_equal_margins_change_sides_together():
    scores = np.float32([[1, 0], [1, 0], [1, 0]])
    question = Question(np.array([0, 0, 1]), {}, np.array([0]), np.array([1]), np.arange(2))
    _, best = stacking_bias(scores, question)
    assert best == harmonic(1, 0) == 0


def test_a_stacked_method_keeps_its_scores_and_offers_the_variant():
    posed = problem()
    plain = method().fit(posed.training, parts(), Session(0))
    fitted = method(stacking=True).fit(posed.training, parts(), Session(0))
    search = posed.question.search.tolist()
    assert plain.variants == {}
    np.testing.assert_array_equal(
        *(each.scores(posed.question.views, search) for each in (plain, fitted))
    )
    ((name, variant),) = fitted.variants.items()
    assert name == "calibrated stacking"
    off = fitted.scores(posed.question.views, search) - variant.scores(posed.question.views, search)
    seen = np.isin(search, posed.question.seen)
    np.testing.assert_allclose(off[:, seen], fitted.bias, atol=1e-5)  # float32 scores of order 1
    assert not off[:, ~seen].any()


def test_the_bias_is_chosen_on_validation_and_told():
    posed = problem()
    fitted = method(stacking=True).fit(posed.training, parts(), Session(0))
    assert fitted.facts["choice"]["stacking_bias"] == fitted.bias
    assert 0 <= fitted.facts["choice"]["validation_H_stacked"] <= 1


def test_a_stacked_model_comes_back_with_its_bias():
    posed = problem()
    fitted = method(stacking=True).fit(posed.training, parts(), Session(0))
    state = dict(fitted.state())
    back = method(stacking=True).restore(state, posed.training.signature, parts())
    assert back.bias == fitted.bias
    state["stacking.bias"] = torch.zeros(3)
    with pytest.raises(MmalignError, match=r"stacking\.bias"):
        method().restore(state, posed.training.signature, parts())


def test_a_report_lists_stacked_results_in_rows_of_their_own(tmp_path):
    given = [*SMALL, "--set", "method.stacking=true", "--seeds", 2]
    done = call("run", "synthetic", *given, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("with calibrated stacking") == 3
    folder = only(tmp_path / "runs" / "synthetic")
    report = report_of(folder)
    assert set(report["variants"]["calibrated stacking"]) >= {"S", "U", "H"}
    assert len(report["variants"]["calibrated stacking"]["H"]["runs"]) == 2
    assert mmalign.load(folder).fitted.bias == report["runs"][0]["facts"]["choice"]["stacking_bias"]
