"""The public data sets' files: what is read, and every way in which they can be wrong."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat
from scipy.sparse import csc_matrix

from mmalign import MmalignError
from mmalign_xlsa17.datasets import APY, AWA1, AWA2, CUB, FLO, SUN

SHARED = Path(__file__).parents[2] / "shared" / "data" / "xlsa17"
SEEN, UNSEEN, EACH, DIM = 4, 2, 5, 3


def tables():
    """A sound data set: classes 1 to 4 are seen, 5 and 6 unseen; the last row of each is asked."""
    labels = np.repeat(np.arange(1, SEEN + UNSEEN + 1), EACH)
    rows = np.arange(1, len(labels) + 1)
    seen, last = labels <= SEEN, rows % EACH == 0
    names = np.array([[f"{i:03d}.Bird"] for i in range(SEEN + UNSEEN)], dtype=object)
    features = np.random.default_rng(0).random((DIM, len(labels)))
    return (
        {"features": features, "labels": labels[:, None].astype(np.uint16)},
        {
            "att": np.random.default_rng(1).random((7, SEEN + UNSEEN)),
            "original_att": np.random.default_rng(2).random((7, SEEN + UNSEEN)),
            "allclasses_names": names,
            "trainval_loc": rows[seen & ~last],
            "test_seen_loc": rows[seen & last],
            "test_unseen_loc": rows[~seen],
            "train_loc": rows[labels <= 3],
            "val_loc": rows[labels == 4],
        },
    )


def write(root, change=lambda image, split: None, set_="CUB", compress=False):
    """Write both files, after ``change`` has had its way with them."""
    image, split = tables()
    change(image, split)
    (root / set_).mkdir(parents=True)
    savemat(root / set_ / "res101.mat", image, do_compression=compress)
    savemat(root / set_ / "att_splits.mat", split, do_compression=compress)
    return root


def test_a_sound_data_set_is_read_and_counted_from_zero(tmp_path):
    source = CUB(root=write(tmp_path)).load()
    image, split = tables()
    assert source.classes[0] == "000.Bird"
    assert source.labels.tolist() == (image["labels"].ravel() - 1).tolist()
    np.testing.assert_array_equal(
        source.arrays["image"].values, image["features"].T.astype(np.float32)
    )
    np.testing.assert_array_equal(
        source.arrays["attributes"].values, split["att"].T.astype(np.float32)
    )
    np.testing.assert_array_equal(
        source.arrays["original_attributes"].values, split["original_att"].T.astype(np.float32)
    )
    assert all(view.values.flags.c_contiguous for view in source.arrays.values())
    for part in ("train", "test_seen", "test_unseen"):
        key = {"train": "trainval"}.get(part, part)
        assert getattr(source.splits, part).tolist() == (split[f"{key}_loc"] - 1).tolist()
    assert source.splits.validation_classes.tolist() == [3]
    assert source.hashes == {
        name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
        for name in ("CUB/att_splits.mat", "CUB/res101.mat")
    }


def test_a_root_is_relative_to_the_working_folder_or_to_home(tmp_path, monkeypatch):
    write(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for root in ("data", "~/data"):
        assert len(CUB(root=Path(root)).load().labels) == 30


def test_other_counts_than_the_public_ones_are_noted_with_both_numbers(tmp_path):
    notes = CUB(root=write(tmp_path)).load().notes
    assert "data set 'cub' has 6 classes; the public one has 200" in notes


def test_what_a_public_set_lacks_is_noted(tmp_path):
    def lacks(image, split):
        for key in ("allclasses_names", "original_att", "train_loc", "val_loc"):
            del split[key]

    source = FLO(root=write(tmp_path, lacks, "FLO")).load()
    assert source.classes[0] == "class 1"
    assert source.splits.validation_classes is None
    assert "original_attributes" not in source.arrays
    assert "att_splits.mat has no 'allclasses_names'; classes are numbered" in source.notes
    assert any("has no 'val_loc'" in note for note in source.notes)


def test_odd_validation_rows_are_noted(tmp_path):
    def odd(image, split):
        split["val_loc"] = np.arange(11, 26)  # classes 3 and 4, and 5, which is unseen
        split["train_loc"] = np.arange(1, 16)  # classes 1 to 3

    source = CUB(root=write(tmp_path, odd)).load()
    assert source.splits.validation_classes.tolist() == [2, 3]
    assert any("holds 1 classes without a training sample" in note for note in source.notes)
    assert any("shares 1 classes with 'train_loc'" in note for note in source.notes)


def put(where, key, value):
    """A change that sets a key; where is 0 for the features' file, 1 for the splits'."""
    return lambda *files: files[where].update({key: value})


def drop(where, key):
    return lambda *files: files[where].pop(key)


WRONG = {
    "no features": (drop(0, "features"), "res101.mat: 'features' is missing; known: labels"),
    "renamed features": (
        lambda image, split: image.update(Features=image.pop("features")),
        "'features' is missing; did you mean 'Features'",
    ),
    "no labels": (drop(0, "labels"), "'labels' is missing"),
    "no split": (drop(1, "trainval_loc"), "att_splits.mat: 'trainval_loc' is missing"),
    "no attributes": (drop(1, "att"), "'att' is missing"),
    "text for features": (put(0, "features", "x"), "'features' is .*not a matrix"),
    "complex features": (put(0, "features", 1j * np.ones((3, 30))), "not a matrix of real"),
    "cells for features": (put(0, "features", np.array([1, "x"], dtype=object)), "not a matrix"),
    "struct for features": (put(0, "features", {"a": 1.0}), "'features' is .*not a matrix"),
    "sparse features": (put(0, "features", csc_matrix(np.ones((3, 30)))), "not a matrix"),
    "three axes": (put(0, "features", np.ones((3, 5, 6))), "not a matrix"),
    "empty features": (put(0, "features", np.empty((3, 0))), "'features' is empty"),
    "NaN": (put(0, "features", np.full((3, 30), np.nan)), "90 NaN .* row 1, column 1"),
    "one infinity": (
        lambda image, split: image["features"].put(2 * 30 + 4, np.inf),
        "holds 1 NaN or infinite numbers, the first in row 3, column 5",
    ),
    "too large": (put(1, "att", np.full((7, 6), 1e300)), "'att' holds numbers beyond"),
    "labels too few": (put(0, "labels", np.ones(29)), "'labels' has 29 entries.* 30 columns"),
    "label 0": (put(0, "labels", np.zeros(30)), "'labels' reaches from 0 to 0.* 6 classes"),
    "label too large": (put(0, "labels", np.full(30, 7)), "'labels' reaches from 7 to 7"),
    "label 1.5": (put(0, "labels", np.full(30, 1.5)), "'labels' holds something other"),
    "label NaN": (put(0, "labels", np.full(30, np.nan)), "'labels' holds something other"),
    "label infinite": (put(0, "labels", np.r_[np.inf, np.ones(29)]), "an infinite number"),
    "text for labels": (put(0, "labels", "x" * 30), "'labels' holds something other"),
    "labels in a square": (put(0, "labels", np.ones((2, 15))), "not one row or one column"),
    "label enormous": (put(0, "labels", np.full(30, 1e300)), r"from 1e\+300 to 1e\+300"),
    "row 0": (put(1, "test_seen_loc", np.array([0])), "'test_seen_loc' reaches from 0 to 0"),
    "empty split": (put(1, "test_seen_loc", np.empty((0, 1))), "'test_seen_loc' is empty"),
    "validation row too large": (put(1, "val_loc", np.array([31])), "'val_loc' reaches"),
    "row too large": (put(1, "trainval_loc", np.array([31])), "'trainval_loc' reaches"),
    "row twice": (put(1, "trainval_loc", np.array([1, 1])), "'trainval_loc' holds a sample twice"),
    "overlap": (put(1, "test_seen_loc", np.array([1])), "'test_seen_loc' shares 1 samples"),
    "unseen overlap": (put(1, "test_unseen_loc", np.array([1, 30])), "'test_unseen_loc' shares 1"),
    "seen untrained": (put(1, "trainval_loc", np.array([1])), "'test_seen_loc' holds 3 classes"),
    "original attributes too few": (
        put(1, "original_att", np.ones((7, 5))),
        "'original_att' has 5 columns for 6 classes",
    ),
    "a name too few": (
        put(1, "allclasses_names", np.array([["a"], ["b"]], dtype=object)),
        "'allclasses_names' has 2 names, but 'att' 6 columns",
    ),
    "numbers for names": (put(1, "allclasses_names", np.ones(6)), "other than one text a class"),
    "a name twice": (
        put(1, "allclasses_names", np.array([["a"]] * 6, dtype=object)),
        "holds 'a' twice",
    ),
    "all validate": (put(1, "val_loc", np.arange(1, 21)), "'val_loc' leaves no class"),
}


@pytest.mark.parametrize(("change", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_file_is_named_with_its_key(tmp_path, change, message):
    with pytest.raises(MmalignError, match=message) as caught:
        CUB(root=write(tmp_path, change)).load()
    assert "\n" not in str(caught.value)


def test_an_unseen_class_among_the_training_rows_is_refused(tmp_path):
    def leak(image, split):
        split["trainval_loc"] = np.append(split["trainval_loc"], 21)
        split["test_unseen_loc"] = split["test_unseen_loc"][1:]

    with pytest.raises(MmalignError, match=r"holds 1 classes that 'trainval_loc' trains on"):
        CUB(root=write(tmp_path, leak)).load()


def test_missing_files_say_where_what_and_what_runs_now(tmp_path):
    with pytest.raises(MmalignError) as caught:
        AWA1(root=tmp_path / "nowhere").load()
    message = str(caught.value)
    for said in (str(tmp_path / "nowhere" / "AWA1"), "res101.mat", "att_splits.mat"):
        assert said in message
    for said in ("Xian et al.", "https://datasets.d2.mpi-inf.mpg.de/xian/xlsa17.zip", "data fetch"):
        assert said in message
    assert "\n" not in message
    assert message.endswith("mmalign run quickstart")


def test_features_of_another_backbone_are_offered(tmp_path):
    root = write(tmp_path)
    (root / "CUB" / "res101.mat").rename(root / "CUB" / "vit.mat")
    (root / "CUB" / "sent_splits.mat").touch()  # side information, no features
    with pytest.raises(MmalignError, match=r"dataset.features to one that is there: vit\. A rec"):
        CUB(root=root).load()
    (root / "CUB" / "sent_splits.mat").unlink()
    assert len(CUB(root=root, features="vit").load().labels) == 30


def write_sentences(root, change=lambda sentences: None):
    """Sentence embeddings beside the other two files."""
    sentences = {
        "att": np.random.default_rng(3).random((4, SEEN + UNSEEN)),
        "allclasses_names": tables()[1]["allclasses_names"],
    }
    change(sentences)
    savemat(root / "CUB" / "sent_splits.mat", sentences)
    return sentences


def test_sentences_beside_the_other_files_are_an_array(tmp_path):
    write(tmp_path)
    assert "sentences" not in CUB(root=tmp_path).load().arrays
    sentences = write_sentences(tmp_path)
    source = CUB(root=tmp_path).load()
    np.testing.assert_array_equal(
        source.arrays["sentences"].values, sentences["att"].T.astype(np.float32)
    )
    assert source.arrays["sentences"].level == "class"
    digest = hashlib.sha256((tmp_path / "CUB" / "sent_splits.mat").read_bytes()).hexdigest()
    assert source.hashes["CUB/sent_splits.mat"] == digest
    assert not any("sent_splits" in note for note in source.notes)


def test_sentences_without_names_are_taken_in_order_and_noted(tmp_path):
    write(tmp_path)
    write_sentences(tmp_path, lambda sentences: sentences.pop("allclasses_names"))
    source = CUB(root=tmp_path).load()
    assert "sentences" in source.arrays
    assert any("in the order of att_splits.mat" in note for note in source.notes)


WRONG_SENTENCES = {
    "a class too few": (
        lambda sentences: sentences.update(att=sentences["att"][:, 1:]),
        "'att' has 5 columns for 6 classes",
    ),
    "another order": (
        lambda sentences: sentences.update(allclasses_names=sentences["allclasses_names"][::-1]),
        "'allclasses_names' has '005.Bird' in place 1, where att_splits.mat has '000.Bird'",
    ),
    "a name too few": (
        lambda sentences: sentences.update(allclasses_names=sentences["allclasses_names"][:-1]),
        "'allclasses_names' has 5 names for 6 classes",
    ),
    "NaN": (lambda sentences: sentences.update(att=np.full((4, 6), np.nan)), "'att' holds 24 NaN"),
    "no embeddings": (lambda sentences: sentences.pop("att"), "'att' is missing"),
}


@pytest.mark.parametrize(("change", "message"), WRONG_SENTENCES.values(), ids=WRONG_SENTENCES)
def test_wrong_sentences_are_named_with_their_key(tmp_path, change, message):
    write(tmp_path)
    write_sentences(tmp_path, change)
    with pytest.raises(MmalignError, match=rf"sent_splits\.mat: {message}"):
        CUB(root=tmp_path).load()


def test_flowers_attributes_are_sentences_too(tmp_path):
    arrays = FLO(root=write(tmp_path, set_="FLO")).load().arrays
    np.testing.assert_array_equal(arrays["sentences"].values, arrays["attributes"].values)


def files(count, name="{}.jpg"):
    return np.array([[name.format(place)] for place in range(count)], dtype=object)


def test_names_of_pictures_are_names_of_samples(tmp_path):
    source = CUB(root=write(tmp_path, put(0, "image_files", files(30)))).load()
    assert source.samples == tuple(f"{place}.jpg" for place in range(30))
    assert CUB(root=write(tmp_path / "without")).load().samples == ()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (files(29), "has 29 names for 30 samples"),
        (files(30, "same.jpg"), "holds 'same.jpg' twice"),
        (np.ones(30), "other than one text a sample"),
    ],
)
def test_wrong_names_of_pictures_are_refused(tmp_path, wrong, message):
    root = write(tmp_path, put(0, "image_files", wrong))
    with pytest.raises(MmalignError, match=f"'image_files' .*{message}"):
        CUB(root=root).load()


@pytest.mark.parametrize("root", ["~nobody-of-this-name/data", "a" * 300])
def test_a_root_that_cannot_be_looked_into_is_named(root):
    with pytest.raises(MmalignError, match=f"dataset.root '{root}' cannot be looked into"):
        CUB(root=Path(root)).load()


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("name", ["res101", "att_splits"])
def test_a_file_cut_short_raises_nothing_else(tmp_path, name, compress):
    path = write(tmp_path, compress=compress) / "CUB" / f"{name}.mat"
    whole, content = CUB(root=tmp_path).load(), path.read_bytes()
    for cut in range(0, len(content), 2):
        path.write_bytes(content[:cut])
        try:
            source = CUB(root=tmp_path).load()
        except MmalignError as error:
            said = str(error)
        else:  # cut in the padding, or between variables, before those that may be missing
            for key, view in whole.arrays.items():
                np.testing.assert_array_equal(source.arrays[key].values, view.values)
            assert source.notes == whole.notes or any("no 'val_loc'" in n for n in source.notes)
            continue
        assert f"{name}.mat" in said
        assert "\n" not in said


@pytest.mark.parametrize("content", [b"", b"<html>404</html>" * 99, b"\x80\x04pickle" * 99])
def test_what_is_no_matlab_file_is_refused(tmp_path, content):
    (write(tmp_path) / "CUB" / "res101.mat").write_bytes(content)
    with pytest.raises(MmalignError, match=r"res101\.mat: damaged, or no MATLAB file"):
        CUB(root=tmp_path).load()


def test_hdf5_is_refused_with_what_to_do(tmp_path):
    path = write(tmp_path) / "CUB" / "res101.mat"
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\x89HDF" * 100)
    with pytest.raises(MmalignError, match="'-v7'"):
        CUB(root=tmp_path).load()


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="no shared data beside the repository")
def test_the_real_cub_has_the_public_counts():
    source = CUB(root=SHARED, features="resnet_fc1000").load()
    assert source.notes == ()
    assert source.arrays["image"].values.shape == (11788, 1000)
    sizes = [
        len(rows)
        for rows in (source.splits.train, source.splits.test_seen, source.splits.test_unseen)
    ]
    assert sizes == [7057, 1764, 2967]
    assert source.arrays["attributes"].values.shape == (200, 312)
    assert len(source.splits.validation_classes) == 50
    assert source.arrays["sentences"].values.shape == (200, 1024)


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="no shared data beside the repository")
@pytest.mark.parametrize("set_", [APY, AWA1, AWA2, CUB, FLO, SUN])
def test_the_known_counts_are_those_of_the_public_splits(set_):
    split = loadmat(SHARED / set_.folder / "att_splits.mat")
    assert set_.counts["classes"] == split["att"].shape[1]
    assert set_.counts["training samples"] == split["trainval_loc"].size
    assert set_.counts["test samples of seen classes"] == split["test_seen_loc"].size
    assert set_.counts["test samples of unseen classes"] == split["test_unseen_loc"].size


def test_listing_the_data_sets_imports_neither_scipy_nor_torch():
    code = (
        "import sys, mmalign_xlsa17; mmalign_xlsa17.mmalign_datasets();"
        "assert not {'scipy', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
