"""Metrics by hand and by brute force, and their statistics over runs."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.integrate import trapezoid

from mmalign import MmalignError, Question, measure, top1
from mmalign.answers import read, read_parts
from mmalign.report import Measures, Report, harmonic, judge, statistic

NAN = float("nan")
FIRST = ("S", "U", "H", "T1", "AUSUC")


def question(labels, seen=(0, 1), unseen=(2, 3), search=None):
    search = (*seen, *unseen) if search is None else search
    integers = (np.array(each, dtype=np.int64) for each in (labels, seen, unseen, search))
    labels, seen, unseen, search = integers
    return Question(labels, {}, seen, unseen, np.sort(search))


def answers(*classes, width=4):
    """Scores that answer with these classes."""
    return np.eye(width, dtype=np.float32)[list(classes)]


# Class 0: 2 of 3 right, 1: all of 1; 2: 1 of 2 right, 3: none of 2 (but 1 among the unseen).
LABELS = [0, 0, 0, 1, 2, 2, 3, 3]
SCORES = np.array(
    [
        [9, 1, 2, 0],
        [5, 4, 0, 1],
        [1, 0, 7, 2],
        [0, 8, 3, 1],
        [1, 2, 6, 3],
        [4, 0, 1, 3],
        [5, 0, 1, 2],
        [0, 1, 9, 4],
    ],
    dtype=np.float32,
)


def test_the_metrics_of_a_small_example_worked_out_by_hand():
    found = measure(SCORES, question(LABELS))
    assert pytest.approx((2 / 3 + 1) / 2) == found.S
    assert pytest.approx((1 / 2 + 0) / 2) == found.U
    assert pytest.approx(2 * (5 / 6) * (1 / 4) / (5 / 6 + 1 / 4)) == found.H
    # Among the unseen, row 5 answers 3, row 6 answers 3, row 7 answers 2.
    assert pytest.approx((1 / 2 + 1 / 2) / 2) == found.T1
    assert found.per_class == pytest.approx({0: 2 / 3, 1: 1.0, 2: 0.5, 3: 0.0})
    assert found.confusion == {
        **{(0, 0): 2, (0, 2): 1, (1, 1): 1},
        **{(2, 0): 1, (2, 2): 1, (3, 0): 1, (3, 2): 1},
    }


def test_t1_may_come_from_scores_of_its_own():
    own = np.float32([[1, 0], [1, 0], [0, 1], [0, 1]])  # all right
    asked = question(LABELS)
    assert measure(SCORES, asked, own).T1 == top1(own, asked) == 1
    assert replace(measure(SCORES, asked, own), T1=0) == replace(measure(SCORES, asked), T1=0)


def test_t1_of_scores_of_its_own_counts_what_is_right():
    own = np.float32([[1, 0], [0, 1], [0, 1], [1, 0]])  # of each class one row of two
    asked = question(LABELS)
    assert measure(SCORES, asked, own).T1 == top1(own, asked) == 0.5


def test_without_a_row_of_an_unseen_class_there_is_no_u_and_no_warning():
    found = measure(answers(0, 0, 1), question([0, 1, 1])).summary()
    assert found["S"] == 0.75
    assert all(math.isnan(found[name]) for name in ("U", "H", "AUSUC", "U_rows", "U5_rows"))


def test_classes_count_alike_however_many_rows_they_have():
    found = measure(answers(0, 0, 0, 0, 0, 2, 3), question([0, 0, 0, 0, 1, 2, 3]))
    assert found.S == 0.5


def test_nothing_right_is_0_and_all_right_is_1():
    asked = question([0, 1, 2, 3])
    wrong = measure(answers(1, 0, 3, 2), asked)
    assert {wrong.summary()[name] for name in (*FIRST, "U_rows")} == {0}
    right = measure(answers(0, 1, 2, 3), asked)
    assert set(right.summary().values()) == {1}


def test_harmonic_mean():
    assert harmonic(0.0, 0.0) == 0
    assert harmonic(0.5, 0.5) == 0.5
    assert harmonic(1.0, 0.0) == 0
    assert harmonic(0.535, 0.516) == pytest.approx(stats.hmean([0.535, 0.516]))
    assert math.isnan(harmonic(NAN, 0.5)), "no number where one side was not asked"


def test_a_search_of_unseen_classes_has_t1_alone():
    asked = question([2, 2, 3], search=(2, 3))
    found = measure(np.float32([[1, 0], [0, 1], [0, 1]]), asked)
    assert found.T1 == 0.75
    assert all(math.isnan(found.summary()[name]) for name in ("S", "U", "H", "AUSUC"))


@pytest.mark.parametrize("shape", [(7, 4), (8, 3), (8,)])
def test_scores_of_another_shape_are_refused(shape):
    with pytest.raises(MmalignError, match="scores of shape"):
        measure(np.zeros(shape, np.float32), question(LABELS))


def test_nan_scores_are_refused():
    scores = SCORES.copy()
    scores[3, 0] = NAN
    with pytest.raises(MmalignError, match="NaN"):
        measure(scores, question(LABELS))
    with pytest.raises(MmalignError, match="NaN"):
        measure(SCORES, question(LABELS), np.full((4, 2), NAN, np.float32))


def swept(scores, asked):
    """The area by its definition: measure S and U at a bias between any two margins."""
    of_seen = np.isin(asked.search, asked.seen)
    margins = np.unique(scores[:, of_seen].max(1) - scores[:, ~of_seen].max(1))
    between = (margins[1:] + margins[:-1]) / 2
    points = []
    for bias in (margins[0] - 1, *between, margins[-1] + 1):
        said = asked.search[(scores - bias * of_seen).argmax(1)]
        right = {
            index: np.mean(said[asked.labels == index] == index) for index in set(asked.labels)
        }
        s, u = (
            np.mean([right[i] for i in right if i in side]) for side in (asked.seen, asked.unseen)
        )
        points.append((s, u))
    s, u = np.array(points).T
    return trapezoid(s, u)


@st.composite
def questions(draw):
    """A few rows of each side, with small whole scores, so that margins are often equal."""
    seen, unseen = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    sides = range(seen), range(seen, seen + unseen)
    labels = [
        label
        for side in sides
        for label in draw(st.lists(st.sampled_from(side), min_size=1, max_size=5))
    ]
    order = draw(st.permutations(labels))
    row = st.lists(st.integers(-4, 4), min_size=seen + unseen, max_size=seen + unseen)
    scores = draw(st.lists(row, min_size=len(labels), max_size=len(labels)))
    return np.array(scores, np.float32), question(order, *sides)


@settings(max_examples=150, deadline=None)
@given(questions())
def test_ausuc_is_the_area_of_a_sweep_over_biases(case):
    scores, asked = case
    assert pytest.approx(swept(scores, asked), abs=1e-12) == measure(scores, asked).AUSUC


@settings(max_examples=50, deadline=None)
@given(questions(), st.integers(-3, 3))
def test_ausuc_does_not_move_with_a_bias_on_the_seen_classes(case, bias):
    scores, asked = case
    assume(bias)
    moved = scores + bias * np.isin(asked.search, asked.seen).astype(np.float32)
    assert pytest.approx(measure(scores, asked).AUSUC, abs=1e-12) == measure(moved, asked).AUSUC


def test_perfect_scores_have_an_area_of_1():
    asked = question([0, 1, 1, 2, 3, 3])
    assert measure(answers(0, 1, 1, 2, 3, 3), asked).AUSUC == 1


def test_right_among_five_and_every_row_alike_by_hand():
    asked = question([5, 5, 5, 6], seen=(0, 1, 2, 3, 4), unseen=(5, 6))
    scores = np.float32(
        [
            [0, 0, 0, 0, 0, 1, 0],  # first
            [1, 2, 3, 4, 0, 0.5, 0],  # fifth
            [1, 2, 3, 4, 5, 0.5, 0],  # sixth
            [1, 1, 1, 1, 0, 0, 1],  # fifth: equal scores stand in the order of the classes
        ]
    )
    found = measure(scores, asked)
    assert (found.U, found.U_rows) == pytest.approx((1 / 3 / 2, 1 / 4))
    assert (found.U5, found.U5_rows) == pytest.approx(((2 / 3 + 1) / 2, 3 / 4))


@settings(max_examples=100, deadline=None)
@given(questions(), st.integers(1, 30))
def test_reading_in_parts_gives_the_same_answers_however_small_they_are(case, most):
    scores, asked = case
    whole = read(scores, asked.labels, asked.search, asked.seen)
    parts = read_parts(lambda rows: scores[rows], asked.labels, asked.search, asked.seen, most)
    for name, values in vars(whole).items():
        np.testing.assert_array_equal(values, getattr(parts, name))
        assert values.dtype == getattr(parts, name).dtype
    assert judge(whole, asked) == measure(scores, asked)


@settings(max_examples=100, deadline=None)
@given(questions())
def test_rank_is_the_place_in_a_stable_sort(case):
    scores, asked = case
    order = np.argsort(-scores, axis=1, kind="stable")
    rank = read(scores, asked.labels, asked.search, asked.seen).rank
    expected = [
        list(asked.search[line]).index(t) for line, t in zip(order, asked.labels, strict=True)
    ]
    assert rank.tolist() == expected


def test_a_part_holds_no_more_scores_than_it_may():
    sizes = []

    def scores(rows):
        sizes.append(len(rows))
        return SCORES[rows]

    read_parts(scores, np.array(LABELS), np.arange(4), np.array([0, 1]), most=13)
    assert sizes == [3, 3, 2]


def test_a_class_that_is_not_searched_is_never_right():
    found = read(SCORES[:, :3], np.array(LABELS), np.arange(3), np.array([0, 1]))
    assert found.rank[-2:].tolist() == [3, 3]


def test_rows_of_unseen_classes_alone_have_neither_s_nor_h():
    asked = question(LABELS[4:])
    found = measure(SCORES[4:], asked)
    assert all(math.isnan(found.summary()[name]) for name in ("S", "H", "AUSUC"))
    whole = measure(SCORES, question(LABELS))
    for name in ("U", "T1", "U5", "U_rows", "U5_rows"):
        assert found.summary()[name] == whole.summary()[name]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=12))
def test_statistics_are_those_of_scipy(runs):
    found = statistic(runs)
    assume(found.std > 1e-9)
    assert found.mean == pytest.approx(np.mean(runs))
    assert found.std == pytest.approx(stats.tstd(runs))
    low, high = stats.t.interval(0.95, len(runs) - 1, np.mean(runs), stats.sem(runs))
    assert (found.mean - found.ci95, found.mean + found.ci95) == pytest.approx((low, high))
    assert found.runs == tuple(runs)


def test_one_run_has_neither_deviation_nor_interval():
    found = statistic([0.25])
    assert (found.mean, found.std, found.ci95, found.runs) == (0.25, None, None, (0.25,))


def test_a_report_sums_up_what_was_asked_and_nothing_else():
    runs = tuple(Measures(S=NAN, U=NAN, H=NAN, T1=t1, AUSUC=NAN) for t1 in (0.5, 0.7))
    report = Report(recipe="r", seeds=(0, 1), measures=runs, classes=("p", "q"))
    assert report.summary.keys() == {"T1"}
    assert report.summary["T1"].mean == pytest.approx(0.6)
