"""The scikit-learn classifier: scikit-learn's own checks, pipelines, and classes without rows."""

import pickle

import numpy as np
import pytest
from commands import call
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import mmalign
from mmalign.sklearn import AlignedVAEClassifier
from mmalign_synthetic.dataset import Synthetic

QUICK = {
    "epochs": 40,
    "hidden": (64, 64),
    "description_hidden": (32, 32),
    "latent": 16,
    "seen_latents": 60,
    "unseen_latents": 60,
}


# Not one check is left out or expected to fail.
@parametrize_with_checks([AlignedVAEClassifier(**QUICK)])
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def data():
    return Synthetic(seen=20, unseen=4, validation=2, samples=20, spread=0.2).load()


def rows_of(data, split):
    rows = getattr(data.splits, split)
    names = np.array(data.classes)[data.labels[rows]]
    return data.arrays["image"].values[rows], names


@pytest.fixture(scope="module")
def described(data):
    return dict(zip(data.classes, data.arrays["attributes"].values, strict=True))


@pytest.fixture(scope="module")
def fitted(data, described):
    return AlignedVAEClassifier(
        descriptions=described, random_state=0, **{**QUICK, "epochs": 60, "lr": 3e-3}
    ).fit(*rows_of(data, "train"))


def test_it_recognises_classes_without_a_row(data, fitted):
    # Of 24 classes. Over five seeds: 1.00 on seen ones, 0.58 to 0.89 on unseen ones.
    assert fitted.score(*rows_of(data, "test_seen")) > 0.9
    assert fitted.score(*rows_of(data, "test_unseen")) > 0.3
    assert fitted.unseen_classes_.tolist() == [f"unseen {n:03d}" for n in range(4)]


def test_probabilities_and_predictions_agree(data, fitted):
    x, _ = rows_of(data, "test_unseen")
    chances = fitted.predict_proba(x)
    assert chances.shape == (len(x), len(fitted.classes_))
    assert chances.sum(1) == pytest.approx(np.ones(len(x)))
    assert (fitted.classes_[chances.argmax(1)] == fitted.predict(x)).all()


def test_the_model_within_is_saved_and_answers_alike(data, fitted, tmp_path):
    x, _ = rows_of(data, "test_unseen")
    mmalign.save_model(fitted.model_, tmp_path / "model")
    model = mmalign.load(tmp_path / "model")
    assert [best[0][0] for best in model.predict(x)] == fitted.predict(x).tolist()
    assert model.embed(x) == pytest.approx(fitted.embed(x))
    np.save(tmp_path / "x.npy", x)
    done = call("predict", "model", "x.npy", "--top", 1, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    added = model.with_classes(["newcomer"], {"attributes": np.zeros((1, 24))})
    assert "newcomer" in added.classes


@pytest.mark.slow
def test_it_stands_in_a_pipeline_and_is_searched(data):
    x, y = rows_of(data, "train")
    pipe = make_pipeline(MinMaxScaler(), AlignedVAEClassifier(random_state=0, **QUICK))
    scores = cross_val_score(pipe, x, y, cv=3)
    assert scores.mean() > 3 / 20  # three times as good as chance
    grid = GridSearchCV(
        AlignedVAEClassifier(random_state=0, **QUICK), {"latent": [2, 16]}, cv=2
    ).fit(x, y)
    assert grid.best_params_["latent"] in (2, 16)


def test_a_seed_is_a_seed_and_a_copy_is_a_copy(data, fitted):
    x, y = rows_of(data, "train")
    one, other = (AlignedVAEClassifier(random_state=3, **QUICK).fit(x, y) for _ in range(2))
    assert np.array_equal(one.predict_proba(x), other.predict_proba(x))
    assert clone(one).get_params() == one.get_params()
    assert np.array_equal(pickle.loads(pickle.dumps(one)).predict_proba(x), one.predict_proba(x))


def test_numbers_are_labels_too_and_a_class_may_lack_a_description(data):
    rows = data.splits.train
    x, y = data.arrays["image"].values[rows], data.labels[rows]
    described = {n: data.arrays["attributes"].values[n] for n in (0, 1, 2, 3, 21)}
    made = AlignedVAEClassifier(descriptions=described, random_state=0, **QUICK).fit(x, y)
    assert made.classes_.tolist() == [*range(20), 21]
    assert made.unseen_classes_.tolist() == [21]
    assert made.predict(x).dtype == y.dtype


@pytest.mark.parametrize(
    ("descriptions", "said"),
    [
        ({"a": [1, 2], "b": [1]}, "as many for each class"),
        ({"a": [[1]], "b": [[2]]}, "as many for each class"),
        ({"x": [1, 2], "y": [1, 3]}, "none of them is of a class in y"),
        ({}, "none of them is of a class in y"),
        ({"a": [np.nan, 1], "b": [1, 2]}, "NaN or infinity"),
        ({"a": ["red"], "b": ["blue"]}, "could not convert"),
    ],
)
def test_wrong_descriptions_are_refused(descriptions, said):
    made = AlignedVAEClassifier(descriptions=descriptions, **QUICK)
    with pytest.raises((ValueError, mmalign.MmalignError), match=said):
        made.fit(np.random.default_rng(0).random((6, 3)), list("ababab"))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"latent": 0}, "method.latent"),
        ({"scaler": "no"}, "modality.image.scaler"),
        ({"hidden": (3,)}, "modality.image.hidden"),
        ({"lr": "fast"}, "method.lr"),
    ],
)
def test_wrong_parameters_are_refused_where_they_stand(wrong, said):
    made = AlignedVAEClassifier(**{**QUICK, **wrong})
    with pytest.raises(mmalign.MmalignError, match=said):
        made.fit(np.random.default_rng(0).random((6, 3)), list("ababab"))
