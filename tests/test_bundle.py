"""A model comes back bit for bit, and whatever is wrong with its files is said."""

import json
import shutil

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file

import mmalign
from mmalign import MmalignError, Scaling, Session, Signature
from mmalign.answering import answer
from mmalign.bundlefiles import CONFIG, WEIGHTS, config_digest, digest
from mmalign.plugins import discover
from mmalign.recipe import read
from mmalign.run import run

SMALL = [
    *("dataset.samples=6", "dataset.seen=6", "dataset.validation=2", "dataset.unseen=3"),
    *("method.epochs=2", "head.epochs=2", "head.epochs_unseen_only=2", "run.seeds=1"),
]


@pytest.fixture(scope="module")
def recipe():
    return read("synthetic", discover(), SMALL)


@pytest.fixture(scope="module")
def finished(recipe, tmp_path_factory):
    return run(recipe, discover(), Console(quiet=True), tmp_path_factory.mktemp("runs")).folder


@pytest.fixture
def bundle(finished, tmp_path):
    """A copy of the model that a test may spoil."""
    shutil.copytree(finished / "model", tmp_path / "model")
    return tmp_path / "model"


def rows(count=5, dim=64):
    return np.random.default_rng(0).random((count, dim)).astype(np.float32)


def test_a_loaded_model_scores_bit_for_bit_like_the_one_that_was_saved(recipe, finished):
    source = recipe.dataset.load()
    views = {name: each.view(source) for name, each in recipe.parts.modalities.items()}
    problem, fitted, _ = answer(recipe, source, views, Session(0))
    question = problem.question
    expected = fitted.scores(question.views, question.search.tolist())

    asked = np.concatenate([source.splits.test_seen, source.splits.test_unseen])
    raw = source.arrays["image"].values[asked]
    assert np.array_equal(mmalign.load(finished).scores(raw), expected)
    assert np.array_equal(mmalign.load(finished / "model").scores({"image": raw}), expected)


def test_a_model_is_loaded_without_its_data_set(bundle):
    config = json.loads((bundle / CONFIG).read_text())
    assert config["data"]
    assert config["signature"]["classes"][0] == "seen 000"
    assert mmalign.load(bundle).classes[-1] == "unseen 002"


def test_prediction_is_ordered_and_bounded(bundle):
    model = mmalign.load(bundle)
    best = model.predict(rows(), top=100)
    assert [len(each) for each in best] == [len(model.classes)] * 5
    scores = model.scores(rows())
    assert [each[0][0] for each in best] == [model.classes[i] for i in scores.argmax(1)]
    assert all(list(each) == sorted(each, key=lambda pair: -pair[1]) for each in best)


def test_there_is_no_prediction_of_fewer_than_one_class(bundle):
    for top in (0, -1):
        with pytest.raises(MmalignError, match="at least one class"):
            mmalign.load(bundle).predict(rows(), top=top)


def test_no_rows_have_no_predictions(bundle):
    assert mmalign.load(bundle).predict(rows(0)) == []


def test_prediction_can_be_restricted_to_classes(bundle):
    model = mmalign.load(bundle)
    wanted = ["unseen 001", "seen 003"]
    assert model.scores(rows(), wanted).shape == (5, 2)
    assert {each[0][0] for each in model.predict(rows(), classes=wanted)} <= set(wanted)


@pytest.mark.parametrize(
    ("features", "classes", "said"),
    [
        (rows(dim=63), None, "modality 'image': 63 numbers a row.* 64"),
        ({"sound": rows()}, None, "no modality 'sound'; it has image, attributes"),
        ({"attributes": rows(dim=64)}, None, "'attributes': 64 numbers a row.* 24"),
        ({"image": rows(5), "attributes": rows(4, 24)}, None, "5 of 'image', 4 of 'attributes'"),
        ({}, None, "no modality was given"),
        ([["a"] * 64], None, "modality 'image': could not convert"),
        ([[0.0] * 64, [1.0]], None, "modality 'image'"),
        (rows(), ["unicorn"], "no class 'unicorn'"),
        (np.full((2, 64), np.nan), None, "modality 'image': row 0 .* NaN"),
        (np.zeros(64, np.float32), None, "two axes"),
    ],
    ids=[
        "width",
        "unknown",
        "another width",
        "other rows",
        "none",
        "text",
        "ragged",
        "class",
        "NaN",
        "axis",
    ],
)
def test_wrong_rows_are_refused(bundle, features, classes, said):
    with pytest.raises(MmalignError, match=said):
        mmalign.load(bundle).scores(features, classes)


def test_any_modality_or_several_of_them_will_do(bundle):
    model = mmalign.load(bundle)
    described = rows(5, 24)
    image, words = ({"image": rows()}, {"attributes": described})
    one, other, both = (model.scores(each) for each in (image, words, image | words))
    assert one.shape == other.shape == both.shape
    assert not np.array_equal(both, one)
    lacking = rows()
    lacking[:2] = np.nan
    some = model.scores({"image": lacking, "attributes": described})
    # Another order of sums: the rows are fused one by one, with or without their neighbours.
    np.testing.assert_allclose(some[2:], both[2:], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(some[:2], other[:2], rtol=1e-5, atol=1e-6)
    described = described.copy()
    described[0] = np.nan
    with pytest.raises(MmalignError, match="row 0 has none of the modalities attributes, image"):
        model.scores({"image": lacking, "attributes": described})


def test_modalities_with_different_rows_are_refused():
    made = Scaling(np.zeros(4, np.float32), np.ones(4, np.float32))
    signature = Signature(("a", "b"), (0,), (1,), {"x": 4, "y": 4}, {"x": "sample", "y": "sample"})
    model = mmalign.Model(signature, {"x": made, "y": made}, {}, fitted=None, config={})
    with pytest.raises(MmalignError, match="got 3 of 'x', 2 of 'y'"):
        model.scores({"x": rows(3, 4), "y": rows(2, 4)})
    with pytest.raises(MmalignError, match="say which modality these rows are: x, y"):
        model.scores(rows(3, 4))


def change_config(bundle, change):
    config = json.loads((bundle / CONFIG).read_text())
    change(config)
    seal(config)
    (bundle / CONFIG).write_text(json.dumps(config))


def seal(config):
    """Mend the configuration's own digest, as somebody would who knows of it."""
    digests = config.get("sha256")
    if isinstance(digests, dict) and CONFIG in digests:
        digests[CONFIG] = config_digest(config)


def change_tensors(bundle, change):
    """Change the weights, and the digest with them, as somebody would who knows of it."""
    tensors = load_file(bundle / WEIGHTS)
    change(tensors)
    save_file(tensors, bundle / WEIGHTS)
    change_config(bundle, lambda c: c["sha256"].update({WEIGHTS: digest(bundle / WEIGHTS)}))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c.update(format=99), "format 99 is newer"),
        (lambda c: c.pop("format"), "no model of mmalign"),
        (lambda c: c.pop("recipe"), "incomplete"),
        (lambda c: c.pop("signature"), "incomplete"),
        (lambda c: c["signature"].pop("seen"), "incomplete"),
        (lambda c: c.update(recipe=3), "incomplete"),
        (lambda c: c["recipe"]["method"].update(use="nonsense"), "no method 'nonsense'"),
        (lambda c: c["recipe"]["method"].update(latent=17), "do not fit"),
        (lambda c: c["recipe"]["modality"].pop("image"), "incomplete|do not fit|alignment needs"),
        (lambda c: c["recipe"]["modality"].update(other={"use": "image"}), "incomplete"),
        (lambda c: c["recipe"]["method"].update(lr=float("nan")), r"method\.lr: .* finite"),
        (lambda c: c["recipe"].pop("head"), "head: missing"),
        (lambda c: c["signature"]["dims"].update(image=63), "not 63 wide"),
        (lambda c: c["signature"]["dims"].pop("image"), "incomplete"),
        (lambda c: c["signature"]["levels"].pop("image"), "incomplete"),
        (lambda c: c["signature"]["seen"].append(99), "incomplete"),
        (lambda c: c["signature"]["seen"].append("0"), "incomplete"),
        (lambda c: c["signature"]["unseen"].pop(), "do not fit"),
        (lambda c: c["signature"]["classes"].pop(), "incomplete"),
        (lambda c: c["signature"]["levels"].update(image="row"), "incomplete"),
        (lambda c: c["unit"].pop("image"), "incomplete"),
    ],
)
def test_an_altered_configuration_is_a_clear_error(bundle, change, said):
    change_config(bundle, change)
    with pytest.raises(MmalignError, match=said):
        mmalign.load(bundle)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop("head.all.weight"), "'all' do not fit"),
        (lambda t: t.pop("scaling.image.offset"), "incomplete"),
        (lambda t: t.pop("aligner.encoders.image.hidden.weight"), "do not fit"),
        (lambda t: t.update(surplus=torch.zeros(1)), "surplus"),
        (lambda t: t.update({"head.all.bias": torch.zeros(2)}), "'all' do not fit"),
        (lambda t: t.update({"scaling.image.factor": torch.zeros(2)}), "scaling"),
        (lambda t: t["head.all.weight"].fill_(torch.nan), r"'head\.all\.weight' holds NaN"),
        (lambda t: t["scaling.image.offset"].fill_(torch.inf), "holds NaN or infinity"),
    ],
)
def test_altered_tensors_are_a_clear_error(bundle, change, said):
    change_tensors(bundle, change)
    with pytest.raises(MmalignError, match=said):
        mmalign.load(bundle)


def test_truncated_or_missing_files_are_a_clear_error(bundle):
    content = (bundle / WEIGHTS).read_bytes()
    for cut in (0, 7, 100, len(content) // 2, len(content) - 1):
        (bundle / WEIGHTS).write_bytes(content[:cut])
        with pytest.raises(MmalignError, match=r"model\.safetensors"):
            mmalign.load(bundle)
    (bundle / WEIGHTS).unlink()
    with pytest.raises(MmalignError, match="incomplete"):
        mmalign.load(bundle)
    for text in ("", "{", "[]", "3", '{"format": "1"}', '{"format": true}', "[" * 100_000):
        (bundle / WEIGHTS).write_bytes(content)
        (bundle / CONFIG).write_text(text)
        with pytest.raises(MmalignError, match=r"config\.json"):
            mmalign.load(bundle)
    with pytest.raises(MmalignError, match="no model at"):
        mmalign.load(bundle / "nowhere")
