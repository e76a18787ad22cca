"""The data set ``folder`` with features that stay on disk gives what it gives in memory."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file
from test_folder import EACH, classes, loaded, mistakes, names_of, numbers, samples, table
from test_stored import saved
from typer.testing import CliRunner

from mmalign import Stored
from mmalign.cli import app
from mmalign_folder import arrays
from mmalign_folder.dataset import Folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A valid folder of eight classes, without features."""
    (tmp_path / "samples.csv").write_bytes(samples())
    (tmp_path / "classes.csv").write_bytes(classes())
    return tmp_path


def same(root: Path, **fields: object) -> None:
    """What stays on disk is what would be in memory."""
    one, other = loaded(root, memory="never", **fields), loaded(root, memory="always", **fields)
    view = one.arrays["image"]
    assert isinstance(view.values, Stored)
    assert isinstance(other.arrays["image"].values, np.ndarray)
    np.testing.assert_array_equal(view.mask, other.arrays["image"].mask)
    there = np.flatnonzero(view.mask)
    np.testing.assert_array_equal(view.values[there], other.arrays["image"].values[there])
    np.testing.assert_array_equal(one.splits.train, other.splits.train)
    assert one.hashes == other.hashes
    assert view.backbone == other.arrays["image"].backbone


@pytest.mark.parametrize("kind", ["float32", "float16", "float64", "int16"])
def test_npy(root, kind):
    np.save(root / "image.npy", (numbers() * 10).astype(kind))
    same(root)


def test_rows_that_are_not_there(root):
    values = numbers()
    values[7] = np.nan
    np.save(root / "image.npy", values)
    same(root)
    found = Folder(root=root, memory="never").inspect().found
    assert (
        "48 rows of 5 numbers (float32), which stay on disk; 1 rows are NaN"
        in dict(found)["image.npy"]
    )


def test_named_rows_in_another_order(root):
    names = names_of()
    rows = list(range(48))[::-1]
    metadata = {
        "names": json.dumps([names[row] for row in rows]),
        "backbone": json.dumps({"use": "timm", "model": "x"}),
    }
    save_file({"features": numbers()}, root / "image.safetensors", metadata)
    (root / "samples.csv").write_bytes(table(("sample",), *((name,) for name in names)))
    same(root)
    view = loaded(root, memory="never").arrays["image"]
    np.testing.assert_array_equal(view.values[:], numbers()[::-1])
    assert view.backbone["model"] == "x"
    # In the order of the samples nothing is looked up.
    (root / "samples.csv").write_bytes(table(("sample",), *((names[row],) for row in rows)))
    same(root)
    assert loaded(root, memory="never").arrays["image"].values.rows is None


def test_samples_without_a_row(root):
    names = names_of()
    save_file({"x": numbers()[3:]}, root / "image.safetensors", {"names": json.dumps(names[3:])})
    (root / "samples.csv").write_bytes(table(("sample",), *((name,) for name in names)))
    same(root, missing="mask")
    view = loaded(root, memory="never", missing="mask").arrays["image"]
    assert view.mask.tolist() == [False] * 3 + [True] * 45
    assert np.isnan(view.values[:3]).all()


def test_parquet_by_row_groups(root):
    names = names_of()
    columns = {f"c{place}": numbers()[:, place] for place in range(5)}
    pq.write_table(pa.table({"name": names, **columns}), root / "image.parquet", row_group_size=7)
    (root / "samples.csv").write_bytes(table(("sample",), *((name,) for name in names)))
    same(root)


def test_saved_data_set(root):
    lists = pa.FixedSizeListArray.from_arrays(pa.array(numbers().ravel()), 5)
    saved(root / "image", pa.table({"features": lists, "label": list(range(48))}))
    same(root)
    assert set(loaded(root).arrays) == {"image", "attributes"}


def test_auto_goes_by_the_size_of_the_file(root, monkeypatch):
    np.save(root / "image.npy", numbers())
    assert isinstance(loaded(root).arrays["image"].values, np.ndarray)
    monkeypatch.setattr(arrays, "LARGE", (root / "image.npy").stat().st_size - 1)
    assert isinstance(loaded(root).arrays["image"].values, Stored)
    assert isinstance(loaded(root, memory="always").arrays["image"].values, np.ndarray)


def test_mistakes_are_said_before_anything_is_trained(root):
    values = numbers()
    values[3, 2] = np.inf
    np.save(root / "image.npy", values)
    (line,) = mistakes(root, memory="never")
    assert "image.npy: row 3, number 2 (both from 0) is infinite, or too large" in line
    np.save(root / "image.npy", np.asfortranarray(numbers()))
    (line,) = mistakes(root, memory="never")
    assert "column by column" in line
    np.save(root / "image.npy", numbers(7))
    (line,) = mistakes(root, memory="never")
    assert "has 7 rows for the 48 samples" in line


def test_labels_as_numbers(root):
    np.save(root / "image.npy", numbers())
    wanted = loaded(root)
    np.save(root / "labels.npy", wanted.labels.astype(np.int32))
    source = loaded(root, samples="labels.npy")
    assert source.labels.tolist() == wanted.labels.tolist()
    assert source.splits.train.tolist() == wanted.splits.train.tolist()
    assert set(source.arrays) == {"image", "attributes"}
    assert "labels.npy" in source.hashes
    asked = np.isin(np.arange(48), wanted.splits.test_seen)
    unseen = np.isin(wanted.labels, wanted.splits.unseen_classes)
    np.save(root / "labels.npy", np.stack([wanted.labels, asked | unseen], axis=1))
    source = loaded(root, samples="labels.npy")
    assert source.splits.train.tolist() == wanted.splits.train.tolist()
    assert source.splits.test_unseen.tolist() == wanted.splits.test_unseen.tolist()


LABELS = np.repeat(np.arange(8), EACH)
WRONG_LABELS = {
    "holds no whole numbers": LABELS.astype(float),
    "row 0: class 8 is none of the 8": LABELS + 8,
    "row 0: class -1 is none": LABELS - 1,
    "has the shape (48, 3)": np.stack([LABELS] * 3, axis=1),
    "row 12: 2 is no split": np.stack([LABELS, LABELS], axis=1),
}


@pytest.mark.parametrize(("said", "labels"), WRONG_LABELS.items(), ids=WRONG_LABELS)
def test_wrong_labels(root, said, labels):
    np.save(root / "image.npy", numbers())
    np.save(root / "labels.npy", labels)
    (line,) = mistakes(root, samples="labels.npy")
    assert line.startswith("labels.npy: ")
    assert said in line


def test_labels_that_are_not_there(root):
    np.save(root / "image.npy", numbers())
    assert mistakes(root, samples="labels.npy") == ["labels.npy: is not there"]


RECIPE = """
[dataset]
use = "folder"
root = "{root}"
memory = "{memory}"
[modality.image]
use = "image"
hidden = [8, 8]
scaler = "{scaler}"
[modality.attributes]
use = "attributes"
hidden = [8, 8]
[method]
use = "aligned-vae"
latent = 4
epochs = 2
batch = 16
draw = "shuffle"
[loss.cross]
[head]
use = "softmax"
most_epochs = 2
seen = 4
unseen = 4
unseen_only = 4
[report]
retrieval = true
"""


@pytest.mark.parametrize("scaler", ["min-max", "standard"])
def test_a_run_is_that_of_an_array(root, scaler, monkeypatch):
    """One block a row and one window make the same order: then the whole run is the same."""
    import torch

    from mmalign.streaming import Streamed

    def orders(self, batch, draw, order):
        yield torch.arange(len(self)), torch.randperm(len(self), generator=order)

    monkeypatch.setattr(Streamed, "orders", orders)
    np.save(root / "image.npy", numbers())
    found = {}
    for memory in ("always", "never"):
        file = root / f"{memory}.toml"
        file.write_text(RECIPE.format(root=root, memory=memory, scaler=scaler))
        done = CliRunner().invoke(app, ["run", str(file), "--out", str(root / "runs")])
        assert done.exit_code == 0, done.output
        (run,) = (root / "runs" / memory).iterdir()
        report = json.loads((run / "report.json").read_text())
        lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
        losses = [each.get("loss", each.get("cross-entropy")) for each in lines]
        found[memory] = losses, report["summary"]
    (losses, summary), (other_losses, other_summary) = found.values()
    # Statistics of one pass may round the scaling otherwise in its last bit.
    assert losses == pytest.approx(other_losses, rel=1e-4)
    assert summary == other_summary


def test_kept_representations_are_found_until_the_file_changes(root, monkeypatch):
    np.save(root / "image.npy", numbers())
    file, reuse = root / "recipe.toml", root / "reuse"
    file.write_text(RECIPE.format(root=root, memory="never", scaler="min-max"))

    def kept() -> int:
        words = ["run", str(file), "--out", str(root / "runs"), "--reuse", str(reuse)]
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output
        return len(list(reuse.glob("*.safetensors")))

    assert kept() == kept() == 2  # the representation, and that of validation
    np.save(root / "image.npy", numbers() + 1)
    assert kept() == 4


def test_a_system_reads_the_rows_whole_if_they_fit(root, monkeypatch):
    np.save(root / "image.npy", numbers())
    file = root / "recipe.toml"
    file.write_text(
        f'[dataset]\nuse = "folder"\nroot = "{root}"\nmemory = "never"\n'
        '[modality.image]\nuse = "image"\n[modality.attributes]\nuse = "attributes"\n'
        '[method]\nuse = "eszsl"\n'
    )
    words = ["run", str(file), "--out", str(root / "runs")]
    assert CliRunner().invoke(app, words).exit_code == 0
    monkeypatch.setattr("mmalign.memory.at_hand", lambda: 100)
    monkeypatch.setattr("mmalign.classfile.csvfile.refuse_too_large", lambda *_: None)
    done = CliRunner().invoke(app, words)
    assert done.exit_code != 0
    assert "is not made for rows that stay on disk" in str(done.exception)
