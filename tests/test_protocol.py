"""How the question is posed: what may be learnt from, and that nothing asked is in it."""

from dataclasses import replace

import numpy as np
import pytest
from helpers import ASKED, SEEN, TRAINED, UNSEEN, UNSEEN_ROWS, modalities, source

from mmalign import MmalignError, Protocol, Splits, View, pose, scale
from mmalign.protocol import validation
from mmalign.scaling import fit_scaling

SCALERS = ["none", "min-max", "standard", "unit", "per-split"]
HELD = np.array([1, 3])
# Test rows as (rows asked of seen classes, rows asked of unseen classes).
TEST, INNER = (SEEN * ASKED, UNSEEN * UNSEEN_ROWS), (2 * TRAINED // 5, 2 * TRAINED)


def asked(split="test", search="all", given=None, seed=0, shots=0, **image):
    given = source(validation_classes=HELD) if given is None else given
    protocol = Protocol(split=split, search=search, shots=shots)
    return pose(given, given.arrays, modalities(**image), protocol, seed)


def spoilt(number=1e6):
    """The same data with this number in every test row."""
    given = source(validation_classes=HELD)
    rows = np.concatenate([given.splits.test_seen, given.splits.test_unseen])
    values = given.arrays["image"].values.copy()
    values[rows] = number
    return replace(given, arrays=given.arrays | {"image": View(values, "sample")})


def assert_same_views(one, other):
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name].values, other[name].values)
        np.testing.assert_array_equal(one[name].mask, other[name].mask)


@pytest.mark.parametrize("scaler", SCALERS)
@pytest.mark.parametrize("split", ["test", "validation"])
def test_no_test_row_reaches_training_or_scaling(split, scaler):
    clean, other = asked(split, scaler=scaler), asked(split, given=spoilt(), scaler=scaler)
    assert_same_views(clean.training.views, other.training.views)
    for name, scaling in clean.scalings.items():
        np.testing.assert_array_equal(scaling.offset, other.scalings[name].offset)
        np.testing.assert_array_equal(scaling.factor, other.scalings[name].factor)
    assert len(clean.training.labels) == len(clean.training.views["image"])


@pytest.mark.parametrize("scaler", SCALERS)
def test_the_validation_protocol_touches_no_test_row(scaler):
    clean = asked("validation", scaler=scaler)
    other = asked("validation", given=spoilt(), scaler=scaler)
    assert_same_views(clean.question.views, other.question.views)
    np.testing.assert_array_equal(clean.question.labels, other.question.labels)


@pytest.mark.parametrize("split", ["test", "validation"])
def test_questions_and_training_share_no_row(split):
    problem = asked(split)
    trained = {row.tobytes() for row in problem.training.views["image"].values}
    questions = {row.tobytes() for row in problem.question.views["image"].values}
    assert not trained & questions
    assert problem.question.views.keys() == {"image"}, "class-level views are no rows"


@pytest.mark.parametrize(("split", "expected"), [("test", TEST), ("validation", INNER)])
def test_the_question_has_the_protocols_rows(split, expected):
    question = asked(split).question
    unseen = np.isin(question.labels, question.unseen)
    assert (int((~unseen).sum()), int(unseen.sum())) == expected
    np.testing.assert_array_equal(question.search, np.union1d(question.seen, question.unseen))


def test_validation_classes_become_unseen_and_a_fifth_of_the_others_is_held_out():
    problem = asked("validation")
    assert problem.question.unseen.tolist() == problem.training.unseen.tolist() == [1, 3]
    assert problem.question.seen.tolist() == problem.training.seen.tolist() == [0, 2]
    counts = np.bincount(problem.question.labels, minlength=6)
    assert counts.tolist() == [TRAINED // 5, TRAINED, TRAINED // 5, TRAINED, 0, 0]
    kept = np.bincount(problem.training.labels, minlength=6)
    assert kept.tolist() == [TRAINED * 4 // 5, 0, TRAINED * 4 // 5, 0, 0, 0]
    assert len(problem.training.views["attributes"]) == 6


def test_validation_draws_by_seed():
    one, same, other = (asked("validation", seed=seed).question.views for seed in (0, 0, 1))
    assert_same_views(one, same)
    assert not np.array_equal(one["image"].values, other["image"].values)


def test_a_third_of_the_seen_classes_validates_where_none_are_named():
    problem = asked("validation", given=source())
    assert len(problem.training.unseen) == 1
    assert set(problem.training.unseen) <= {0, 1, 2, 3}


def test_validation_of_scaled_rows_scales_as_if_they_had_never_been():
    """Choosing by validation starts from rows that ``pose`` has scaled with the held-out ones."""
    for scaler in ("none", "min-max", "standard", "unit"):
        twice = scale(validation(asked(scaler=scaler).training), modalities(scaler=scaler))
        once = asked("validation", scaler=scaler)
        for part in ("training", "question"):
            np.testing.assert_allclose(
                getattr(twice, part).views["image"].values,
                getattr(once, part).views["image"].values,
                atol=1e-5,  # two float32 maps instead of one, of numbers below 10
            )


def test_a_search_of_unseen_classes_asks_of_unseen_rows_alone():
    question = asked(search="unseen").question
    assert question.search.tolist() == [4, 5]
    assert set(question.labels.tolist()) == {4, 5}
    assert len(question.views["image"]) == len(question.labels) == UNSEEN * UNSEEN_ROWS


def test_min_max_scales_training_rows_to_the_unit_interval():
    problem = asked(scaler="min-max")
    values = problem.training.views["image"].values
    np.testing.assert_allclose(values.min(0), 0, atol=1e-6)
    np.testing.assert_allclose(values.max(0), 1, atol=1e-6)
    given, scaling = source(), problem.scalings["image"]
    expected = scaling(given.arrays["image"].take(given.splits.test_seen)).values
    np.testing.assert_array_equal(problem.question.views["image"].values[: TEST[0]], expected)


def test_standard_scales_training_rows_to_mean_0_and_deviation_1():
    values = asked(scaler="standard").training.views["image"].values
    np.testing.assert_allclose(values.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(values.std(0), 1, atol=1e-6)


def test_unit_scales_every_row_to_length_1():
    problem = asked(scaler="unit")
    for views in (problem.training.views, problem.question.views):
        np.testing.assert_allclose(np.linalg.norm(views["image"].values, axis=1), 1, atol=1e-6)


def test_class_level_scaling_is_fitted_on_seen_classes():
    given = source()
    values = given.arrays["attributes"].values.copy()
    values[SEEN:] += 100
    arrays = given.arrays | {"attributes": View(values, "class")}
    kinds = modalities() | {"attributes": replace(modalities()["attributes"], scaler="min-max")}
    scaled = pose(given, arrays, kinds, Protocol()).training.views["attributes"].values
    np.testing.assert_allclose([scaled[:SEEN].min(0), scaled[:SEEN].max(0)], [[0] * 3, [1] * 3])
    assert scaled[SEEN:].min() > 10


def test_scaling_per_split_says_that_it_leaks():
    problem = asked(scaler="per-split")
    assert [note.startswith("LEAK: 'image'") for note in problem.notes] == [True]
    values, seen = problem.question.views["image"].values, problem.question.labels < SEEN
    for side in (seen, ~seen):
        assert (values[side].min(), values[side].max()) == pytest.approx((0, 1), abs=1e-6)
    assert asked(scaler="min-max").notes == ()


@pytest.mark.parametrize("kind", ["min-max", "standard"])
def test_a_constant_dimension_keeps_its_width(kind):
    view = View(np.array([[2, 7], [4, 7], [9, 9]], np.float32), "sample", np.array([1, 1, 0], bool))
    scaling = fit_scaling(view, kind, "image")
    assert scaling.factor.tolist() == [0.5 if kind == "min-max" else 1, 1]
    assert scaling(view).values[:, 1].tolist() == [0, 0, 0]


def test_scaling_needs_a_row_that_has_the_modality():
    view = View(np.ones((2, 3), np.float32), "sample", np.zeros(2, bool))
    with pytest.raises(MmalignError, match="'image': no training row has it"):
        fit_scaling(view, "min-max", "image")


def test_a_data_set_may_ask_of_unseen_classes_alone():
    given = source()
    rows = np.empty(0, dtype=np.int64)
    question = asked(given=replace(given, splits=replace(given.splits, test_seen=rows))).question
    assert set(question.labels.tolist()) == {4, 5}
    assert question.search.tolist() == [0, 1, 2, 3, 4, 5], "seen classes stay to be chosen from"


NONE = np.empty(0, dtype=np.int64)


@pytest.mark.parametrize(
    ("said", "empty", "changed"),
    [
        ("'train' has no rows", ("train",), {}),
        ("nothing is asked", ("test_unseen", "test_seen"), {}),
        ("'test_unseen' has no rows", ("test_unseen",), {"search": "unseen"}),
        ("'test_unseen' has no rows", ("test_unseen",), {"shots": 1}),
        ("'test_unseen' has no rows", (), {"search": "seen", "shots": 1}),
        ("nothing is asked", ("test_seen",), {"search": "seen"}),
    ],
)
def test_a_problem_that_trains_on_nothing_or_asks_nothing_is_refused(said, empty, changed):
    given = source()
    splits = replace(given.splits, **dict.fromkeys(empty, NONE))
    with pytest.raises(MmalignError, match=said):
        asked(given=replace(given, splits=splits), **changed)


def test_a_search_of_seen_classes_tells_nothing_of_others():
    given = source()
    problem = asked(search="seen")
    assert problem.training.unseen.tolist() == []
    assert problem.question.search.tolist() == [0, 1, 2, 3]
    assert set(problem.question.labels.tolist()) == {0, 1, 2, 3}
    assert problem.training.views["attributes"].mask.tolist() == [True] * 4 + [False] * 2
    # What trains is the same, and so are the numbers of what is told.
    other = asked()
    for name, view in problem.training.views.items():
        np.testing.assert_array_equal(
            view.values[view.mask], other.training.views[name].values[view.mask]
        )
    assert given.arrays["attributes"].mask.all(), "the data set itself is left alone"


def test_classes_without_any_sample_can_be_unseen():
    given = source()
    splits = replace(given.splits, test_unseen=NONE, unseen_classes=np.array([5]))
    problem = asked(given=replace(given, splits=splits))
    assert problem.training.unseen.tolist() == [5]
    assert problem.question.search.tolist() == [0, 1, 2, 3, 5]
    assert set(problem.question.labels.tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize(
    "change",
    [
        lambda given: replace(given.splits, validation_classes=np.arange(SEEN)),
        lambda given: replace(given.splits, validation_classes=np.array([4])),
        # One training row of each class: none of them can be held out.
        lambda given: replace(given.splits, train=given.splits.train[::TRAINED]),
    ],
    ids=["nothing to train on", "no unseen question", "no seen question"],
)
def test_a_validation_with_an_empty_side_is_refused(change):
    given = source(validation_classes=HELD)
    splits: Splits = change(given)
    with pytest.raises(MmalignError, match="both sides"):
        asked("validation", given=replace(given, splits=splits))
