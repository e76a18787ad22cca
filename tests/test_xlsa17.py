"""The public data sets' files: what is read, and every way in which they can be wrong."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from mmalign import MmalignError
from mmalign_xlsa17.datasets import AWA1, CUB, FLO

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
            "allclasses_names": names,
            "trainval_loc": rows[seen & ~last],
            "test_seen_loc": rows[seen & last],
            "test_unseen_loc": rows[~seen],
            "train_loc": rows[labels <= 3],
            "val_loc": rows[labels == 4],
        },
    )


def write(root, change=lambda image, split: None, set_="CUB"):
    """Write both files, after ``change`` has had its way with them."""
    image, split = tables()
    change(image, split)
    (root / set_).mkdir(parents=True)
    savemat(root / set_ / "res101.mat", image)
    savemat(root / set_ / "att_splits.mat", split)
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
    assert source.splits.train.tolist() == (split["trainval_loc"] - 1).tolist()
    assert source.splits.validation_classes.tolist() == [3]
    assert sorted(source.hashes) == ["CUB/att_splits.mat", "CUB/res101.mat"]


def test_other_counts_than_the_public_ones_are_noted_with_both_numbers(tmp_path):
    notes = CUB(root=write(tmp_path)).load().notes
    assert "data set 'cub' has 6 classes; the public one has 200" in notes


def test_what_a_public_set_lacks_is_noted(tmp_path):
    def lacks(image, split):
        for key in ("allclasses_names", "train_loc", "val_loc"):
            del split[key]

    source = FLO(root=write(tmp_path, lacks, "FLO")).load()
    assert source.classes[0] == "class 1"
    assert source.splits.validation_classes is None
    assert any("val_loc" in note for note in source.notes)


def put(where, key, value):
    """A change that sets a key; where is 0 for the features' file, 1 for the splits'."""
    return lambda *files: files[where].update({key: value})


def drop(where, key):
    return lambda *files: files[where].pop(key)


WRONG = {
    "no features": (drop(0, "features"), "res101.mat: 'features' is missing"),
    "no labels": (drop(0, "labels"), "'labels' is missing"),
    "no split": (drop(1, "trainval_loc"), "att_splits.mat: 'trainval_loc' is missing"),
    "no attributes": (drop(1, "att"), "'att' is missing"),
    "text for features": (put(0, "features", "x"), "'features' is .*not a matrix"),
    "complex features": (put(0, "features", 1j * np.ones((3, 30))), "not a matrix of real"),
    "three axes": (put(0, "features", np.ones((3, 5, 6))), "not a matrix"),
    "empty features": (put(0, "features", np.empty((3, 0))), "'features' is empty"),
    "NaN": (put(0, "features", np.full((3, 30), np.nan)), "90 NaN .* row 1, column 1"),
    "too large": (put(1, "att", np.full((7, 6), 1e300)), "'att' holds numbers beyond"),
    "labels too few": (put(0, "labels", np.ones(29)), "'labels' has 29 entries.* 30 columns"),
    "label 0": (put(0, "labels", np.zeros(30)), "'labels' reaches from 0 to 0.* 6 classes"),
    "label too large": (put(0, "labels", np.full(30, 7)), "'labels' reaches from 7 to 7"),
    "label 1.5": (put(0, "labels", np.full(30, 1.5)), "'labels' holds something other"),
    "label NaN": (put(0, "labels", np.full(30, np.nan)), "'labels' holds something other"),
    "row too large": (put(1, "trainval_loc", np.array([31])), "'trainval_loc' reaches"),
    "row twice": (put(1, "trainval_loc", np.array([1, 1])), "'trainval_loc' holds a sample twice"),
    "overlap": (put(1, "test_seen_loc", np.array([1])), "'test_seen_loc' shares 1 samples"),
    "seen untrained": (put(1, "trainval_loc", np.array([1])), "'test_seen_loc' holds 3 classes"),
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
    for said in (str(tmp_path / "nowhere" / "AWA1"), "res101.mat", "att_splits.mat", "xlsa17.zip"):
        assert said in message
    assert message.endswith("mmalign run quickstart")


def test_features_of_another_backbone_are_offered(tmp_path):
    root = write(tmp_path)
    (root / "CUB" / "res101.mat").rename(root / "CUB" / "vit.mat")
    with pytest.raises(MmalignError, match=r"dataset.features to one that is there: vit"):
        CUB(root=root).load()
    assert len(CUB(root=root, features="vit").load().labels) == 30


def test_damaged_files_never_raise_anything_else(tmp_path):
    path = write(tmp_path) / "CUB" / "att_splits.mat"
    content = path.read_bytes()
    for cut in range(0, len(content), 37):
        path.write_bytes(content[:cut])
        with pytest.raises(MmalignError, match=r"att_splits\.mat"):
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
    assert source.arrays["attributes"].values.shape == (200, 312)
    assert len(source.splits.validation_classes) == 50
