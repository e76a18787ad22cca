"""Temperature scaling, against what is known of its optimum."""

import numpy as np
import pytest
from scipy.special import softmax

from mmalign.calibration import fit_temperature, probabilities

ROWS, CLASSES = 4000, 6


def drawn(temperature, seed=0):
    """Scores, and labels drawn from their softmax at a temperature."""
    random = np.random.default_rng(seed)
    scores = 3 * random.normal(size=(ROWS, CLASSES))
    chances = softmax(scores / temperature, axis=1)
    labels = np.array([random.choice(CLASSES, p=row) for row in chances])
    return scores, labels


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_it_finds_the_temperature_that_labels_were_drawn_at(temperature):
    # Over 20 seeds the deviation of the estimate is below 3 % of it.
    scores, labels = drawn(temperature)
    found = fit_temperature(scores, labels, np.arange(CLASSES))
    assert found == pytest.approx(temperature, rel=0.12)


def test_at_the_optimum_the_expected_score_is_that_of_the_true_class():
    # The derivative of the loss by 1/T is the difference of the two.
    scores, labels = drawn(2.0, seed=1)
    found = fit_temperature(scores, labels, np.arange(CLASSES))
    expected = (softmax(scores / found, axis=1) * scores).sum(1).mean()
    assert expected == pytest.approx(scores[np.arange(ROWS), labels].mean(), abs=1e-4)


def test_units_and_order_of_the_scores_are_no_matter():
    scores, labels = drawn(2.0, seed=2)
    one = fit_temperature(scores, labels, np.arange(CLASSES))
    assert fit_temperature(1e4 * scores, labels, np.arange(CLASSES)) == pytest.approx(
        1e4 * one, rel=1e-4
    )
    search = np.array([4, 2, 0, 5, 1, 3])
    assert fit_temperature(scores[:, search], labels, search) == pytest.approx(one, rel=1e-5)
    assert fit_temperature(scores + 1e3, labels, np.arange(CLASSES)) == pytest.approx(one, rel=1e-4)


def test_rows_of_other_classes_do_not_count():
    scores, labels = drawn(2.0, seed=3)
    search = np.arange(CLASSES)
    doubled = np.concatenate([scores, -5 * scores])
    strangers = np.full(ROWS, 99)
    found = fit_temperature(doubled, np.concatenate([labels, strangers]), search)
    assert found == pytest.approx(fit_temperature(scores, labels, search))


@pytest.mark.parametrize(
    ("scores", "labels"),
    [
        (np.zeros((0, 3)), np.zeros(0, int)),
        (np.zeros((4, 3)), np.array([0, 1, 2, 0])),
        (np.ones((2, 3)) * np.arange(3), np.array([7, 8])),
    ],
    ids=["no row", "equal scores", "strangers"],
)
def test_where_nothing_can_be_learnt_it_is_one(scores, labels):
    assert fit_temperature(scores, labels, np.arange(3)) == 1


def test_perfect_and_hopeless_scores_give_finite_temperatures():
    scores = np.eye(3)[[0, 1, 2, 0]]
    for labels in ([0, 1, 2, 0], [1, 2, 0, 1]):
        found = fit_temperature(scores, np.array(labels), np.arange(3))
        assert np.isfinite(found)
        assert found > 0
        assert np.isfinite(probabilities(scores, found)).all()


def test_probabilities_are_a_softmax():
    scores = np.array([[1000.0, 0.0], [0.0, 0.0]], np.float32)
    assert probabilities(scores, 1.0).tolist() == [[1, 0], [0.5, 0.5]]
    assert probabilities(scores, 1e6)[0] == pytest.approx([0.50025, 0.49975], abs=1e-5)
