"""Rows that stay on disk: what is read is what an array would hold, and what is wrong is said."""

import copy
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

from mmalign import MmalignError, Stored, View, opened
from mmalign import memory as memory_module
from mmalign.moments import Moments
from mmalign.scaling import fit_scaling
from mmalign.stored import joined

ROWS, DIM = 300, 7


def numbers(kind: str = "float32") -> np.ndarray:
    return (np.random.default_rng(0).normal(size=(ROWS, DIM)) * 3 + 1).astype(kind)


def written(folder: Path, values: np.ndarray, suffix: str) -> Path:
    path = folder / f"image{suffix}"
    if suffix == ".npy":
        np.save(path, values)
    elif suffix == ".safetensors":
        save_file({"other": np.zeros(3), "features": np.ascontiguousarray(values)}, path)
    else:
        lists = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
        columns = pa.table({"features": lists})
        if suffix == ".parquet":
            pq.write_table(columns, path, row_group_size=40)
        else:
            saved(path, columns)
    return path


def saved(folder: Path, columns: pa.Table, shards: int = 2) -> None:
    """A folder as ``datasets.Dataset.save_to_disk`` writes it, with batches of 40 rows."""
    folder.mkdir()
    names = [f"data-{place:05d}-of-{shards:05d}.arrow" for place in range(shards)]
    size = -(-len(columns) // shards)
    for place, name in enumerate(names):
        part = columns.slice(place * size, size)
        with pa.ipc.new_stream(str(folder / name), columns.schema) as stream:
            stream.write_table(part, max_chunksize=40)
    state = {"_data_files": [{"filename": name} for name in names]}
    (folder / "state.json").write_text(json.dumps(state))


KINDS = [
    (".npy", "float32"), (".npy", "float16"), (".npy", "float64"), (".npy", ">f4"), (".npy", "i2"),
    (".safetensors", "float32"), (".safetensors", "float16"), (".safetensors", "int64"),
    (".parquet", "float32"), (".parquet", "float64"), ("", "float32"), ("", "float64"),
]  # fmt: skip
DRAW = np.random.default_rng(1)
PLACES = [
    slice(None), slice(3, 40), slice(40, 3, -2), slice(0, 0), 5, -1,
    np.array([7]), np.array([], np.int64), np.array([1, 1, 3]), np.array([299, 0, 150, 0]),
    np.array([-1, 4]), DRAW.integers(0, ROWS, 500), np.sort(DRAW.integers(0, ROWS, 100)),
    DRAW.random(ROWS) < 0.5,
]  # fmt: skip


@pytest.mark.parametrize(("suffix", "kind"), KINDS)
def test_reads_what_an_array_would_hold(tmp_path, suffix, kind):
    values = numbers(kind)
    stored, floats = opened(written(tmp_path, values, suffix)), values.astype(np.float32)
    assert stored.shape == floats.shape
    assert stored.dtype == np.float32
    for place in PLACES:
        np.testing.assert_array_equal(stored[place], floats[place])
        assert stored[place].dtype == np.float32
    np.testing.assert_array_equal(np.asarray(stored), floats)
    np.testing.assert_array_equal(np.concatenate(list(stored.parts(64))), floats)


def test_long_stretches_are_read_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr("mmalign.stores.flat.SPAN", 4 * DIM * 16)
    for kind in ("float32", "float64"):
        stored = opened(written(tmp_path, numbers(kind), ".npy"))
        for place in PLACES:
            np.testing.assert_array_equal(stored[place], numbers(kind).astype(np.float32)[place])


def test_rows_of_rows(tmp_path):
    stored = opened(written(tmp_path, numbers(), ".npy"))
    half = stored.take(np.arange(0, ROWS, 2))
    assert len(half) == 150
    np.testing.assert_array_equal(half.take(np.array([3, 1]))[:], numbers()[[6, 2]])
    np.testing.assert_array_equal(half[-1], numbers()[298])
    with pytest.raises(IndexError):
        stored[np.array([ROWS])]


def test_taking_reads_nothing(tmp_path):
    path = written(tmp_path, numbers(), ".npy")
    view = View(opened(path), "sample")
    path.unlink()
    path.write_bytes(b"")
    assert len(view.take(np.arange(5))) == 5
    # A file that was replaced goes on being read as it was.
    np.testing.assert_array_equal(view.values[:3], numbers()[:3])


@pytest.mark.parametrize("kind", ["none", "unit", "min-max", "standard"])
def test_scaling_is_that_of_an_array(tmp_path, kind):
    values = numbers()
    values[:, 2] = 4  # constant
    mask = np.arange(ROWS) % 3 > 0
    stored = View(opened(written(tmp_path, values, ".npy"), lacking=True), "sample", mask)
    held = View(values, "sample", mask)
    one, other = fit_scaling(stored, kind, "image"), fit_scaling(held, kind, "image")
    np.testing.assert_allclose(one.offset, other.offset, rtol=1e-6)
    np.testing.assert_allclose(one.factor, other.factor, rtol=1e-6)
    scaled = other(stored)
    assert isinstance(scaled.values, Stored)
    np.testing.assert_array_equal(scaled.array[mask], other(held).array[mask])
    # A second one goes over what the first has made, as validation does.
    again = fit_scaling(scaled, "min-max", "image")
    twice = again(scaled).values[np.flatnonzero(mask)]
    wanted = again(other(held)).array[mask]
    np.testing.assert_array_equal(twice, wanted)


def test_moments_of_large_numbers_in_parts():
    rows = np.random.default_rng(2).normal(size=(1000, 3)).astype(np.float32) + 4096
    found = Moments(3)
    for part in np.array_split(rows, 17):
        found.add(part)
    found.add(rows[:0])
    np.testing.assert_allclose(found.mean, rows.mean(0, dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(found.std, rows.std(0, dtype=np.float64), rtol=1e-9)
    np.testing.assert_array_equal(found.low, rows.min(0))
    np.testing.assert_array_equal(found.high, rows.max(0))


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("lacking", [False, True])
def test_row_that_is_not_finite_is_named(tmp_path, wrong, lacking):
    values = numbers()
    values[211, 3] = wrong
    stored = opened(written(tmp_path, values, ".npy"), lacking)
    with pytest.raises(MmalignError, match=r"image\.npy: row 211 holds NaN or infinity"):
        stored.take(np.arange(200, 220))[5:15]
    stored[:200]


def test_row_that_is_not_there(tmp_path):
    values = numbers()
    values[5] = np.nan
    path = written(tmp_path, values, ".npy")
    with pytest.raises(MmalignError, match="row 5 holds NaN"):
        opened(path)[:10]
    stored = opened(path, lacking=True)
    assert np.isnan(stored[5]).all()
    mask = np.arange(ROWS) != 5
    scaling = fit_scaling(View(stored, "sample", mask), "standard", "image")
    assert (stored.scaled(scaling)[5] == 0).all()
    with pytest.raises(MmalignError, match="no training row has it"):
        fit_scaling(View(stored, "sample", np.zeros(ROWS, np.bool_)), "standard", "image")


def test_sum_that_overflows_is_no_mistake(tmp_path):
    values = np.full((4, DIM), 3e38, np.float32)
    np.testing.assert_array_equal(opened(written(tmp_path, values, ".npy"))[:], values)


def test_too_large_a_number(tmp_path):
    values = numbers("float64")
    values[9, 1] = 1e300
    with pytest.raises(MmalignError, match="row 9 holds"):
        opened(written(tmp_path, values, ".npy"))[:]


@pytest.mark.parametrize("suffix", [".npy", ".safetensors", ".parquet"])
def test_file_that_changes_is_noticed(tmp_path, suffix):
    path = written(tmp_path, numbers(), suffix)
    stored = opened(path)
    stored[:10]
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 100)
    with pytest.raises(MmalignError, match="has changed while it was read"):
        stored[200:210]


@pytest.mark.parametrize("suffix", [".npy", ".safetensors", ".parquet"])
def test_file_cut_off_before(tmp_path, suffix):
    path = written(tmp_path, numbers(), suffix)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(MmalignError, match="image"):
        opened(path)


def test_what_is_no_file_of_rows(tmp_path):
    for values in (np.zeros(4), np.zeros((0, 3)), np.array([["a"]]), np.zeros((2, 2), complex)):
        np.save(tmp_path / "x.npy", values)
        with pytest.raises(MmalignError, match=r"x\.npy: "):
            opened(tmp_path / "x.npy")
    np.save(tmp_path / "x.npy", np.asfortranarray(numbers()))
    with pytest.raises(MmalignError, match="column by column"):
        opened(tmp_path / "x.npy")
    (tmp_path / "y.safetensors").write_bytes(b"nothing")
    with pytest.raises(MmalignError, match="not readable as safetensors"):
        opened(tmp_path / "y.safetensors")
    with pytest.raises(MmalignError, match="No such file"):
        opened(tmp_path / "z.npy")


def test_row_groups_too_large_to_hold(tmp_path, monkeypatch):
    path = written(tmp_path, numbers(), ".parquet")
    monkeypatch.setattr("mmalign.stores.parquet.MOST", 1000)
    with pytest.raises(MmalignError, match=r"row groups of 40 rows.*row_group_size"):
        opened(path)


def test_fingerprint_tells_files_rows_and_scalings_apart(tmp_path):
    path = written(tmp_path, numbers(), ".npy")
    stored = opened(path)
    scaling = fit_scaling(View(stored, "sample"), "standard", "image")
    every = [stored, stored.take(np.arange(5)), stored.take(np.arange(6)), stored.scaled(scaling)]
    found = {each.fingerprint() for each in every}
    assert opened(path).fingerprint() in found
    later = path.stat().st_mtime_ns + 10**9
    os.utime(path, ns=(later, later))  # the same content, and yet it was written again
    found.add(opened(path).fingerprint())
    other = numbers()
    other[0, 0] += 1
    np.save(path, other)
    os.utime(path, ns=(later, later))
    found.add(opened(path).fingerprint())
    assert len(found) == 6


def test_copies_read_the_same_file(tmp_path):
    stored = opened(written(tmp_path, numbers(), ".npy")).take(np.arange(50))
    for other in (copy.deepcopy(stored), pickle.loads(pickle.dumps(stored))):
        np.testing.assert_array_equal(other[:], stored[:])


def test_joined_rows_of_one_file_stay_there(tmp_path):
    stored = opened(written(tmp_path, numbers(), ".npy"))
    one, other = stored.take(np.arange(5)), stored.take(np.arange(9, 12))
    both = joined(one, other)
    assert isinstance(both, Stored)
    np.testing.assert_array_equal(both[:], numbers()[[0, 1, 2, 3, 4, 9, 10, 11]])
    assert isinstance(joined(one, other[:]), np.ndarray)


def test_what_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    stored = opened(written(tmp_path, numbers(), ".npy"))
    monkeypatch.setattr(memory_module, "at_hand", lambda: 2 * stored.nbytes - 1)
    with pytest.raises(MmalignError, match=r"300 rows of 7 numbers.*of memory.*aligned-vae"):
        np.asarray(stored)
    stored[:]  # whoever reads a part knows what he asks for
    monkeypatch.setattr(memory_module, "at_hand", lambda: 2 * stored.nbytes)
    np.asarray(stored)
    monkeypatch.setattr(memory_module, "at_hand", lambda: None)
    np.asarray(stored)


def test_memory_at_hand(tmp_path, monkeypatch):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9 kB\nMemAvailable:    4096 kB\n")
    monkeypatch.setattr(memory_module, "MEMINFO", meminfo)
    monkeypatch.setattr(memory_module, "GROUP", tmp_path)
    assert memory_module.at_hand() == 4096 * 1024
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("400\n")
    assert memory_module.at_hand() == 600
    (tmp_path / "memory.max").write_text("max\n")
    meminfo.unlink()
    assert memory_module.at_hand() is None


def test_saved_data_set_of_hugging_face(tmp_path):
    """By the real library, where it is installed; the others write what it writes."""
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    made = datasets.Dataset.from_dict({"label": [0] * ROWS, "features": numbers().tolist()})
    made.save_to_disk(tmp_path / "image", num_shards=3)
    np.testing.assert_array_equal(opened(tmp_path / "image")[:], numbers())


def test_saved_data_set_that_is_none(tmp_path):
    columns = pa.table({"label": list(range(ROWS))})
    saved(tmp_path / "labels", columns)
    with pytest.raises(MmalignError, match="0 columns of lists"):
        opened(tmp_path / "labels")
    path = written(tmp_path, numbers(), "")
    (path / "state.json").write_text('{"_data_files": [{"filename": "../labels/x.arrow"}]}')
    with pytest.raises(MmalignError, match="lists no files of this folder"):
        opened(path)
    (path / "state.json").write_text("[")
    with pytest.raises(MmalignError, match="not readable as a saved data set"):
        opened(path)
    (path / "state.json").unlink()
    with pytest.raises(MmalignError, match="no such file"):
        opened(path)


def test_saved_data_set_that_changes(tmp_path):
    path = written(tmp_path, numbers(), "")
    stored = opened(path)
    stored[:10]
    (file, *_) = sorted(path.glob("*00001-of*"))
    with file.open("r+b") as opened_file:
        opened_file.truncate(100)
    with pytest.raises(MmalignError, match="has changed while it was read"):
        stored[290:]
