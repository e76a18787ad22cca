"""Every registered method and head through an ONNX file, run by onnxruntime."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from test_conformance import parts, registered

from mmalign import Exportable, MmalignError, Model, Parts, View, export_onnx
from mmalign.component import build
from mmalign.onnxfile import TOLERANCE, difference
from mmalign.plugins import discover
from mmalign.scaling import fit_scaling
from mmalign.testing import tiny_source
from mmalign.testing.trial import Trial

METHODS = sorted(discover().components["method"])
# What "few-shot" fits is what "softmax" does, and it fits nothing without shots.
HEADS = sorted({*discover().components["head"]} - {"few-shot"})
REFUSED = {"cmt"}  # other operations for more rows than 25


@cache
def model(method: str, head: str = "softmax", scaler: str = "standard", second: bool = False):
    """A method fitted to the kit's tiny data; ``second`` adds a sample-level modality."""
    made, around = registered("method", method), parts(registered("method", method))
    source = tiny_source()
    if second:
        sound = np.random.default_rng(1).random((48, 4)).astype(np.float32)
        source = tiny_source(sound=View(sound, "sample"))
        narrow, _ = build(
            type(around.modalities["image"]), {"array": "sound", "hidden": [6, 6]}, ""
        )
        around = Parts({**around.modalities, "sound": narrow}, around.losses, around.head)
    if around.head is not None:
        around = Parts(around.modalities, around.losses, registered("head", head))
    trial = Trial("method", made, source, around)
    views = {name: trial.training.views[name] for name in around.modalities}
    scalings = {name: fit_scaling(view, scaler, name) for name, view in views.items()}
    config = {"recipe": {"method": {"use": method}}}
    return Model(trial.signature, scalings, around.modalities, trial.fitted, config)


def opened(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def rows_of(made: Model, count: int, names=("image",)):
    draw = np.random.default_rng(7)
    dims = made.signature.dims
    return {name: draw.normal(size=(count, dims[name])).astype(np.float32) for name in names}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_scores_the_same_or_says_in_a_line_that_it_cannot(method, tmp_path):
    made, path = model(method), tmp_path / "model.onnx"
    assert isinstance(made.fitted, Exportable)
    if method in REFUSED:
        with pytest.raises(MmalignError, match=f"'{method}' cannot be exported to ONNX: [^\n]*$"):
            export_onnx(made, path)
        assert not list(tmp_path.iterdir())
        return
    done = export_onnx(made, path)
    assert [path] == list(tmp_path.iterdir())
    assert done.difference <= TOLERANCE
    session = opened(path)
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == list(
        made.known_classes
    )
    for count in (1, 2, 200):  # rows that the export itself did not look at
        given = rows_of(made, count)
        scores = session.run(["scores"], given)[0]
        assert difference(made.scores(given), scores) <= TOLERANCE


@pytest.mark.parametrize("head", HEADS)
def test_every_head_scores_the_same(head, tmp_path):
    made = model("aligned-vae", head)
    export_onnx(made, tmp_path / "model.onnx")
    given = rows_of(made, 50)
    scores, latents = opened(tmp_path / "model.onnx").run(None, given)
    assert difference(made.scores(given), scores) <= TOLERANCE
    assert latents.shape == (50, 4)


@pytest.mark.parametrize("method", ["aligned-vae", "eszsl"])
def test_several_modalities_are_several_inputs_in_any_order(method, tmp_path):
    made, names = model(method, second=True), ("sound", "image")
    done = export_onnx(made, tmp_path / "model.onnx", names)
    assert done.inputs == names
    given = rows_of(made, 9, names)
    scores = opened(tmp_path / "model.onnx").run(["scores"], given)[0]
    assert difference(made.scores(given), scores) <= TOLERANCE
    if method == "eszsl":  # which knows no rows without sound
        with pytest.raises(MmalignError, match=r"rows by image and sound; got image$"):
            export_onnx(made, tmp_path / "other.onnx", ["image"])


@pytest.mark.parametrize("fusion", ["mixture", "mixture-of-products"])
def test_every_fusion_is_in_the_graph(fusion, tmp_path):
    made = model("aligned-vae", second=True)
    made = replace(made, fitted=replace(made.fitted, fusion=fusion))
    export_onnx(made, tmp_path / "model.onnx", ["image", "sound", "attributes"])
    given = rows_of(made, 9, ("image", "sound", "attributes"))
    scores = opened(tmp_path / "model.onnx").run(["scores"], given)[0]
    assert difference(made.scores(given), scores) <= TOLERANCE


def test_rows_of_unit_length_are_made_so_in_the_graph(tmp_path):
    made = model("ale", scaler="unit")
    export_onnx(made, tmp_path / "model.onnx")
    given = rows_of(made, 9)
    given["image"][0] = 0
    session = opened(tmp_path / "model.onnx")
    scores, larger = (session.run(None, {"image": f * given["image"]})[0] for f in (1, 1000))
    assert difference(made.scores(given), scores) <= TOLERANCE
    np.testing.assert_allclose(larger, scores, rtol=1e-5, atol=1e-6)


def test_a_difference_is_an_error_and_leaves_no_file(tmp_path):
    made = model("ale")
    other = replace(
        made, fitted=replace(made.fitted, descriptions=made.fitted.descriptions * 1.001)
    )

    class Mixed:
        """Scores of one model, the graph of another."""

        scores = made.fitted.scores
        module = other.fitted.module
        state = made.fitted.state
        facts = made.fitted.facts

    mixed = replace(made, fitted=Mixed())
    with pytest.raises(MmalignError, match=r"differ by .* of a row's largest .*; no file"):
        export_onnx(mixed, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
