"""Feature files: what they hold, whose row is whose, and the modality that reads them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import SMALL, call, only, refused, report_of
from helpers import source
from safetensors.numpy import save_file
from vision import Means, made_folder, network, quietly

from mmalign import FeatureFile, MmalignError, read_features
from mmalign.featurefile import write_features
from mmalign.testing import Check, checks, tiny_source
from mmalign_image.modality import Image
from mmalign_synthetic.dataset import Synthetic
from mmalign_vision.onnx_file import Onnx


def numbered(*names: str) -> FeatureFile:
    rows = np.arange(len(names), dtype=np.float32)
    return FeatureFile(np.stack([rows, -rows], axis=1), names)


def saved(path: Path, names: Any, features: Any = None, **metadata: str) -> Path:
    features = np.ones((len(names), 2), np.float32) if features is None else features
    save_file({"features": features}, path, {"names": json.dumps(names), **metadata})
    return path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    stamps = np.array([[1, 2**60], [3, 4]])
    made = FeatureFile(np.array([[1, 2], [3, 4]], np.float32), ("é/a.png", "b"), stamps, {"x": "y"})
    write_features(tmp_path / "a.safetensors", made)
    read = read_features(tmp_path / "a.safetensors")
    assert read.names == made.names
    assert np.array_equal(read.features, made.features)
    assert np.array_equal(read.stamps, stamps)
    assert read.metadata["x"] == "y"
    assert len(read.digest) == 64
    assert only(tmp_path).name == "a.safetensors"


def test_anyones_file_will_do(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.safetensors", ["a", "b"], np.ones((2, 3), np.float64))
    read = read_features(path)
    assert (read.features.dtype, read.features.shape, len(read.stamps)) == (np.float32, (2, 3), 0)


WRONG: dict[str, tuple[Any, Any, str]] = {
    "axes": (["a"], np.ones(3, np.float32), "must be .rows, dim. real numbers"),
    "no row": ([], np.ones((0, 3), np.float32), "must be .rows, dim. real numbers"),
    "whole numbers": (["a"], np.ones((1, 3), np.int64), "real numbers; it is .1, 3. int64"),
    "nan": (["a", "b"], np.array([[1.0], [np.nan]], np.float32), "row 1 holds NaN"),
    "overflow": (["a"], np.array([[1e300]]), "row 0 holds NaN or infinity"),
    "few names": (["a"], np.ones((2, 3), np.float32), "1 different names for 2 rows"),
    "twice": (["a", "a"], None, "1 different names for 2 rows"),
    "no list": ({"a": 1}, np.ones((1, 3), np.float32), "must be a JSON list of a name a row"),
    "no text": ([1], np.ones((1, 3), np.float32), "must be a JSON list of a name a row"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_file_is_refused(kind: str, tmp_path: Path) -> None:
    names, features, said = WRONG[kind]
    path = saved(tmp_path / "wrong.safetensors", names, features)
    with pytest.raises(MmalignError, match=rf"wrong\.safetensors: .*{said}"):
        read_features(path)


def test_file_without_names_or_features_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"features": np.ones((1, 2), np.float32)}, path)
    with pytest.raises(MmalignError, match="'names' must be a JSON list"):
        read_features(path)
    save_file({"features": np.ones((1, 2), np.float32)}, path, {"names": "[" * 100_000})
    with pytest.raises(MmalignError, match="'names' must be a JSON list"):
        read_features(path)
    save_file({"feature": np.ones((1, 2), np.float32)}, path)
    with pytest.raises(MmalignError, match="holds no tensor 'features'"):
        read_features(path)
    for content in (b"", b"PK\x03\x04" * 40, path.read_bytes()[:-1]):
        path.write_bytes(content)
        with pytest.raises(MmalignError, match="not readable as safetensors"):
            read_features(path)
    with pytest.raises(MmalignError, match=r"not readable as safetensors: No such file"):
        read_features(tmp_path / "gone")


def test_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(MmalignError, match=r"cannot write .*gone"):
        write_features(tmp_path / "gone" / "a.safetensors", numbered("a"))


NAMES = ("1/a.jpg", "1/b.jpg", "2/a.jpg", "top.png")


@pytest.mark.parametrize(
    ("samples", "rows"),
    [
        (NAMES, [0, 1, 2, 3]),
        (NAMES[::-1], [3, 2, 1, 0]),
        (["/data/CUB/1/a.jpg", "C:\\CUB\\2\\a.jpg", "./1/b.jpg"], [0, 2, 1]),
        (["b.jpg", "top"], [1, 3]),
        (["1/a", "x/2/a", "1/c", ""], [0, 2, -1, -1]),
        (["11/a.jpg", "a.png", "1/a.jpg.jpg"], [-1, -1, -1]),
        (["1/b.jpg", "1/b.jpg"], [1, 1]),
    ],
)
def test_rows_are_found_by_name(samples: list[str], rows: list[int]) -> None:
    assert numbered(*NAMES).rows_of(samples).tolist() == rows


def test_the_longest_fit_counts() -> None:
    rows = numbered("a.jpg", "x/a.jpg", "b.jpg", "b.png")
    assert rows.rows_of(["y/x/a.jpg", "a.jpg", "b.png"]).tolist() == [1, 0, 3]


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        (["a.jpg"], "sample 'a.jpg' fits 2 rows, '1/a.jpg' and '2/a.jpg' among them"),
        (["x/top.png", "y/top.png"], "row 'top.png' fits both samples 'x/top.png' and 'y/top.png'"),
    ],
)
def test_doubtful_names_are_refused(samples: list[str], said: str) -> None:
    with pytest.raises(MmalignError, match=said):
        numbered(*NAMES).rows_of(samples)


def test_modality_takes_the_files_rows(tmp_path: Path) -> None:
    given = Synthetic(samples=2, seen=3, unseen=1, validation=1).load()
    assert given.samples[:2] == ("sample 0000", "sample 0001")
    names = [f"pictures/{name}.png" for name in given.samples][::-1]
    features = np.arange(len(names) * 2, dtype=np.float32).reshape(-1, 2)
    path = saved(tmp_path / "a.safetensors", names, features)
    view = Image(file=path).view(given)
    assert np.array_equal(view.values, features[::-1])
    assert view.level == "sample"
    assert view.mask.all()
    assert view.hashes == {path.name: read_features(path).digest}


def test_samples_without_a_row_are_an_error_or_masked(tmp_path: Path) -> None:
    given = Synthetic(samples=2, seen=3, unseen=1, validation=1).load()
    path = saved(tmp_path / "a.safetensors", list(given.samples[:3]))
    with pytest.raises(
        MmalignError, match=r"no row for 5 of the 8 samples .* 'sample 0003', .*, \.\.\.\. Extract"
    ):
        Image(file=path).view(given)
    view = Image(file=path, missing="mask").view(given)
    assert view.mask.tolist() == [True] * 3 + [False] * 5
    assert (view.values[3:] == 0).all()
    saved(path, ["others"])
    with pytest.raises(MmalignError, match="no row for 8 of the 8 samples"):
        Image(file=path, missing="mask").view(given)


def test_data_set_that_names_no_samples_is_said(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.safetensors", ["a.png"])
    with pytest.raises(MmalignError, match="data set 'tiny' names no samples"):
        Image(file=path).view(source())
    given = source()
    doubtful = replace(given, samples=tuple(f"{i}/a.png" for i in range(len(given.labels))))
    with pytest.raises(MmalignError, match=r"a\.safetensors: row 'a.png' fits both"):
        Image(file=path).view(doubtful)


def conforming(tmp_path: Path) -> list[Check]:
    names = tuple(f"{number}.png" for number in range(48))
    features = np.random.default_rng(0).random((48, 4)).astype(np.float32)
    path = saved(tmp_path / "a.safetensors", names, features)
    return checks(Image(file=path), source=replace(tiny_source(), samples=names))


@pytest.mark.parametrize("place", range(len(checks(Image()))))
def test_modality_with_a_file_conforms(place: int, tmp_path: Path) -> None:
    conforming(tmp_path)[place]()


RECIPE = """
[dataset]
use = "synthetic"
[modality.one]
use = "image"
file = "one.safetensors"
hidden = [16, 16]
[modality.two]
use = "image"
file = "two.safetensors"
hidden = [16, 16]
[modality.three]
use = "image"
file = "three.safetensors"
missing = "mask"
hidden = [16, 16]
[modality.attributes]
hidden = [16, 16]
[method]
use = "aligned-vae"
latent = 8
[loss.cross]
[loss.wasserstein]
[head]
use = "softmax"
most_epochs = 3
"""


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A picture for every sample of the small synthetic data set, 54 of them."""
    given = Synthetic(samples=6, seen=6, validation=2, unseen=3).load()
    names = [f"{given.labels[place]}/{name}.png" for place, name in enumerate(given.samples)]
    return made_folder(tmp_path / "pictures", names)


def test_three_backbones_are_three_modalities(pictures: Path, tmp_path: Path) -> None:
    quietly(pictures, tmp_path / "one.safetensors", Means())
    quietly(pictures, tmp_path / "two.safetensors", Means(cells=4))
    for lacking in ("0/sample 0000.png", "8/sample 0053.png"):
        (pictures / lacking).unlink()
    three = Onnx(file=network(tmp_path / "small.onnx"))
    quietly(pictures, tmp_path / "three.safetensors", three)
    (tmp_path / "three.toml").write_text(RECIPE)
    done = call("run", "three.toml", *SMALL, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = report_of(only(tmp_path / "runs" / "three"))
    files = {f"{name}/{name}.safetensors" for name in ("one", "two", "three")}
    assert report["data"].keys() == {"synthetic", *files}
    assert report["features"] == ["one", "two", "three"]
    strict = ["--set", 'modality.three.missing="error"']
    said = refused("run", "three.toml", *SMALL, *strict, cwd=tmp_path)
    assert "three.safetensors has no row for 2 of the 54 samples" in said
