"""The command that writes ONNX, what is in the file, and what is refused."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from commands import SMALL, call, only, refused

import mmalign
from mmalign import MmalignError, Scaling
from mmalign.onnxfile import asked_rows, difference


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a run in it."""
    made = tmp_path_factory.mktemp("onnx")
    done = call("run", "synthetic", *SMALL, "--set", "run.seeds=1", cwd=made)
    assert done.returncode == 0, done.stderr
    return made


@pytest.fixture(scope="module")
def run(folder):
    return only(folder / "runs" / "synthetic")


def test_the_program_writes_a_file_that_a_stranger_can_use(folder, run):
    done = call("export", run, "model.onnx", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "9 classes, rows of image; onnxruntime and PyTorch differ by" in done.stdout
    # From here on as somebody without mmalign.
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    about = session.get_modelmeta().custom_metadata_map
    (given,) = session.get_inputs()
    assert (given.name, given.shape, given.type) == ("image", ["rows", 64], "tensor(float)")
    assert [each.shape for each in session.get_outputs()] == [["rows", 9], ["rows", 16]]
    rows = np.random.default_rng(0).random((7, 64)).astype(np.float32)
    scores, latents = session.run(["scores", "latents"], {"image": rows})
    best = [json.loads(about["classes"])[place] for place in scores.argmax(1)]
    assert latents.shape == (7, 16)
    assert about["method"] == "aligned-vae"

    assert best == [each[0][0] for each in mmalign.load(run).predict(rows)]
    text = (folder / "model.onnx").read_bytes()
    for word in (str(Path.cwd()), str(folder), "site-packages", "File \\"):
        assert word.encode() not in text, "where it was made is nobody's business"


def test_nothing_is_written_over_and_nothing_is_left(folder, run):
    (folder / "there.onnx").write_text("mine")
    assert "there already" in refused("export", run, "there.onnx", cwd=folder)
    assert (folder / "there.onnx").read_text() == "mine"
    said = refused("export", run, "other.onnx", "--modality", "smell", cwd=folder)
    assert said == "error: the model has no modality 'smell'; it has image, attributes\n"
    twice = ("--modality", "image", "--modality", "image")
    assert "'image' is there twice" in refused("export", run, "o.onnx", *twice, cwd=folder)
    assert "cannot write" in refused("export", run, "no/such/folder/o.onnx", cwd=folder)
    said = refused("export", run, "a-folder", "--modality", "image", cwd=folder)
    assert "a-folder is a folder" in said
    assert {path.name for path in folder.iterdir()} <= {"runs", "there.onnx", "model.onnx"}


def test_without_the_extra_it_is_one_line(folder, run, monkeypatch):
    monkeypatch.setattr("mmalign.extras.find_spec", lambda name: None)
    said = refused("export", run, "other.onnx", cwd=folder)
    assert "onnxruntime and onnxscript: not installed" in said
    assert "pip install 'mmalign[onnx]'" in said


def test_a_method_without_a_module_says_so(run, tmp_path):
    model = mmalign.load(run)

    class Opaque:
        scores, state, facts = model.fitted.scores, model.fitted.state, model.fitted.facts

    opaque = mmalign.Model(
        model.signature, model.scalings, model.modalities, Opaque(), model.config
    )
    with pytest.raises(MmalignError, match="method 'aligned-vae' cannot be exported to ONNX"):
        mmalign.export_onnx(opaque, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_classes_added_afterwards_are_in_the_file(run, tmp_path):
    model = mmalign.load(run).without_classes(["seen 001"])
    described = np.random.default_rng(0).random((1, 24)).astype(np.float32)
    model = model.with_classes(["newcomer"], {"attributes": described})
    assert mmalign.export_onnx(model, tmp_path / "model.onnx").classes == 9
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    classes = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
    assert classes == [*(n for n in mmalign.load(run).classes if n != "seen 001"), "newcomer"]


def test_differences_are_relative_to_a_row_and_see_what_is_not_finite():
    one = np.array([[100.0, 1.0], [0.1, 0.2]], np.float32)
    assert difference(one, one) == 0
    assert difference(one, one + np.array([[0, 0.01], [0, 0]], np.float32)) == pytest.approx(1e-4)
    assert difference(one, one + np.array([[0, 0], [0, 0.01]], np.float32)) == pytest.approx(0.01)
    wrong = one.copy()
    wrong[0, 1] = np.nan
    assert difference(one, wrong) == difference(wrong, one) == np.inf
    assert difference(wrong, wrong) == 0
    assert difference(one, one[:1]) == np.inf


def test_rows_that_are_asked_are_raw_and_go_far_beyond_training():
    scaling = Scaling(np.array([5, -1], np.float32), np.array([0.5, 0], np.float32))
    rows = asked_rows(scaling)
    scaled = (rows - scaling.offset) * scaling.factor
    assert rows.dtype == np.float32
    assert np.isfinite(rows).all()
    assert scaled[:, 0].min() == pytest.approx(-10)
    assert scaled[:, 0].max() == pytest.approx(10)
