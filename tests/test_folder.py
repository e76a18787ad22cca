"""The data set ``folder``: what it reads, what it refuses, and how it splits."""

import csv
import io
import json
import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from mmalign import AbsentError, FeatureFile, MmalignError, Source
from mmalign.featurefile import write_features
from mmalign.testing import checks
from mmalign_folder.dataset import Folder

CLASSES = ("tern", "wren", "gull", "crow", "owl", "jay", "kite", "lark")
EACH, DIM = 6, 5


def table(*rows: tuple[object, ...]) -> bytes:
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue().encode()


def names_of(classes: tuple[str, ...] = CLASSES, each: int = EACH) -> list[str]:
    return [f"{name}/{place:02d}.jpg" for name in classes for place in range(each)]


def samples(classes: tuple[str, ...] = CLASSES, each: int = EACH) -> bytes:
    return table(("class",), *((name,) for name in classes for _ in range(each)))


def classes(**columns: list[object]) -> bytes:
    """A file of the eight classes with two attributes, and these columns."""
    rows = [
        (name, 0.1 * place, 1 - 0.1 * place, *(column[place] for column in columns.values()))
        for place, name in enumerate(CLASSES)
    ]
    return table(("class", "wet", "loud", *columns), *rows)


def numbers(rows: int = len(CLASSES) * EACH, dim: int = DIM) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(rows, dim)).astype(np.float32)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A valid folder of eight classes."""
    folder = tmp_path / "data"
    folder.mkdir()
    np.save(folder / "image.npy", numbers())
    (folder / "samples.csv").write_bytes(samples())
    (folder / "classes.csv").write_bytes(classes())
    return folder


def loaded(root: Path, **fields: object) -> Source:
    return Folder(root=root, **fields).load()


def mistakes(root: Path, **fields: object) -> list[str]:
    """Every line of a refusal but the first, which counts them."""
    with pytest.raises(MmalignError) as caught:
        loaded(root, **fields)
    first, *lines = str(caught.value).split("\n  ")
    count = "1 mistake" if len(lines) == 1 else f"{len(lines)} mistakes"
    assert first == f"{root.resolve()}: {count}"
    assert Folder(root=root, **fields).inspect().problems == tuple(lines)
    return lines


@pytest.mark.parametrize("check", checks(Folder(root=Path("no/such/folder"))), ids=str)
def test_conforms(check, tmp_path, monkeypatch):
    """The whole kit, on the template, which a process of its own reads too."""
    folder = tmp_path / "no" / "such" / "folder"
    folder.mkdir(parents=True)
    for name, content in Folder.template("x").items():
        (folder / name).write_bytes(content)
    monkeypatch.chdir(tmp_path)
    check()


def test_reads_features_classes_and_samples(root):
    source = loaded(root)
    assert source.classes == CLASSES
    assert source.labels.tolist() == np.repeat(np.arange(8), EACH).tolist()
    np.testing.assert_array_equal(source.arrays["image"].values, numbers())
    assert source.arrays["attributes"].values.shape == (8, 2)
    assert source.hashes.keys() == {"image.npy", "samples.csv", "classes.csv"}
    assert source.samples == ()


def test_float32_npy_stays_in_its_file(root):
    values = loaded(root).arrays["image"].values
    base = values
    while base is not None and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)


@pytest.mark.parametrize("kind", ["float64", "float16", "int8", "uint32", ">f4"])
def test_other_numbers_become_float32(root, kind):
    given_numbers = (numbers() * 10).astype(kind)
    np.save(root / "image.npy", given_numbers)
    values = loaded(root).arrays["image"].values
    assert values.dtype == np.float32
    assert values.dtype.isnative
    np.testing.assert_array_equal(values, given_numbers.astype(np.float32))


def test_fortran_order_is_read_row_by_row(root):
    np.save(root / "image.npy", np.asfortranarray(numbers()))
    np.testing.assert_array_equal(loaded(root).arrays["image"].values, numbers())


def test_row_of_nan_lacks_the_modality(root):
    second = numbers(dim=3)
    second[[1, 5]] = np.nan
    np.save(root / "sound.npy", second)
    view = loaded(root).arrays["sound"]
    assert np.flatnonzero(~view.mask).tolist() == [1, 5]


def test_safetensors_parquet_and_npy_hold_the_same(root):
    save_file({"anything": numbers()}, root / "safe.safetensors")
    columns = {f"n{place}": numbers()[:, place] for place in range(DIM)}
    pq.write_table(pa.table(columns), root / "columns.parquet")
    rows = pa.array(numbers().tolist(), pa.list_(pa.float32()))
    pq.write_table(pa.table({"features": rows}), root / "lists.parquet")
    fixed = pa.FixedSizeListArray.from_arrays(numbers().ravel(), DIM)
    pq.write_table(pa.table({"features": fixed}), root / "fixed.parquet", row_group_size=7)
    source = loaded(root)
    for name in ("safe", "columns", "lists", "fixed"):
        np.testing.assert_array_equal(source.arrays[name].values, numbers(), err_msg=name)


def test_empty_list_of_parquet_lacks_the_modality(root):
    rows = numbers().tolist()
    rows[3] = None
    listed = pa.array(rows, pa.list_(pa.float32(), DIM))
    pq.write_table(pa.table({"features": listed}), root / "sound.parquet")
    view = loaded(root).arrays["sound"]
    assert np.flatnonzero(~view.mask).tolist() == [3]
    np.testing.assert_array_equal(view.values[4:], numbers()[4:])


def test_rows_are_matched_by_name(root):
    """What `mmalign extract` writes, in another order than the samples are."""
    names = names_of()
    rows = [(name, name.partition("/")[0]) for name in names]
    (root / "samples.csv").write_bytes(table(("sample", "class"), *rows))
    order = np.random.default_rng(1).permutation(len(names))
    write_features(
        root / "safe.safetensors",
        FeatureFile(numbers()[order], tuple(f"birds/{names[place]}" for place in order)),
    )
    (root / "image.npy").unlink()
    shuffled = pa.table({
        "sample": [names[place] for place in order],
        **{f"n{place}": numbers()[order, place] for place in range(DIM)},
    })  # fmt: skip
    pq.write_table(shuffled, root / "columns.parquet")
    source = loaded(root)
    assert source.samples == tuple(names)
    for name in ("safe", "columns"):
        np.testing.assert_array_equal(source.arrays[name].values, numbers(), err_msg=name)


def test_folder_of_a_picture_is_its_class(root):
    (root / "samples.csv").unlink()
    (root / "image.npy").unlink()
    write_features(root / "image.safetensors", FeatureFile(numbers(), tuple(names_of())))
    assert loaded(root).labels.tolist() == np.repeat(np.arange(8), EACH).tolist()
    (root / "samples.csv").write_bytes(table(("sample",), *((name,) for name in names_of())))
    assert loaded(root).labels.tolist() == np.repeat(np.arange(8), EACH).tolist()


def test_backbone_of_a_file_is_told(root):
    about = {"backbone": '{"use": "efficientnet-lite0"}'}
    made = FeatureFile(numbers(), tuple(names_of()), metadata=about)
    (root / "samples.csv").unlink()
    write_features(root / "image.safetensors", made)
    (root / "image.npy").unlink()
    assert loaded(root).arrays["image"].backbone == {"use": "efficientnet-lite0"}


def test_sample_without_a_row(root):
    (root / "samples.csv").write_bytes(table(("sample",), *((name,) for name in names_of())))
    write_features(root / "sound.safetensors", FeatureFile(numbers()[2:], tuple(names_of()[2:])))
    (line,) = mistakes(root)
    assert line.startswith("sound.safetensors: has no row for 2 of the 48 samples: 'tern/00.jpg'")
    view = loaded(root, missing="mask").arrays["sound"]
    assert np.flatnonzero(~view.mask).tolist() == [0, 1]


def test_named_rows_need_named_samples(root):
    write_features(root / "sound.safetensors", FeatureFile(numbers(), tuple(names_of())))
    (line,) = mistakes(root)
    assert "names its rows, but samples.csv has no column 'sample'" in line


def test_texts_and_bom_and_crlf(root):
    text = (
        "\ufeffclass,description,description\r\n"
        + "".join(f'{name},"A bird,\r\ncalled {name}",It flies.\r\n' for name in CLASSES)
        + "tern,It dives.,\r\n"
    )
    (root / "classes.csv").write_bytes(text.encode())
    (root / "samples.csv").write_bytes(b"\xef\xbb\xbf" + samples().replace(b"\n", b"\r\n"))
    source = loaded(root)
    assert source.texts["description"].values[0] == (
        "A bird,\r\ncalled tern",
        "It flies.",
        "It dives.",
    )
    assert set(source.arrays) == {"image"}


def test_classes_without_a_file_are_known_by_name(root):
    (root / "classes.csv").unlink()
    source = loaded(root)
    assert source.classes == CLASSES
    assert set(source.arrays) == {"image"}
    assert "there is no classes.csv" in "\n".join(Folder(root=root).inspect().plan)
    assert mistakes(root, classes="birds.csv")[0].startswith("birds.csv: is not there")


# Splits


def roles_of(source: Source) -> dict[str, set[str]]:
    splits = source.splits
    held = () if splits.validation_classes is None else splits.validation_classes
    return {
        "seen": {source.classes[each] for each in source.labels[splits.train]},
        "unseen": {source.classes[each] for each in splits.unseen_classes},
        "validation": {source.classes[each] for each in held},
    }


def test_classes_are_split_as_the_file_says(root):
    said = ["seen", "seen", "unseen", "Validation", "seen", "unseen", "seen", "seen"]
    (root / "classes.csv").write_bytes(classes(split=said))
    source = loaded(root)
    roles = roles_of(source)
    assert roles["unseen"] == {"gull", "jay"}
    assert roles["validation"] == {"crow"}
    assert len(source.splits.test_unseen) == 2 * EACH
    assert len(source.splits.test_seen) == 6  # one of six is a fifth, of each of six classes
    assert roles_of(loaded(root, split="drawn", unseen=3))["unseen"] != roles["unseen"]


def test_samples_are_split_as_the_file_says(root):
    split = ["train", "train", "test", "train", "test", "TRAIN"] * 7 + [""] * 6
    rows = [(name, word) for name, word in zip(np.repeat(CLASSES, EACH), split, strict=True)]
    (root / "samples.csv").write_bytes(table(("class", "split"), *rows))
    source = loaded(root)
    assert source.splits.test_seen.tolist() == [row for row in range(42) if split[row] == "test"]
    assert source.splits.test_unseen.tolist() == list(range(42, 48))
    assert roles_of(source)["unseen"] == {"lark"}


@pytest.mark.parametrize(("given_number", "count"), [(0.25, 2), (0.01, 1), (3, 3), (0, 0)])
def test_drawn_number_of_unseen_classes(root, given_number, count):
    assert len(roles_of(loaded(root, unseen=given_number))["unseen"]) == count


@pytest.mark.parametrize(("given_number", "count"), [(0.5, 3), (0.01, 1), (2, 2), (0, 0)])
def test_drawn_number_of_validation_classes(root, given_number, count):
    assert len(roles_of(loaded(root, validation=given_number))["validation"]) == count


@pytest.mark.parametrize(("share", "asked"), [(0.2, 1), (0.5, 3), (0.99, 5), (0, 0)])
def test_drawn_share_of_samples(root, share, asked):
    source = loaded(root, test=share)
    seen = roles_of(source)["seen"]
    counts = np.bincount(source.labels[source.splits.test_seen], minlength=8)
    assert [counts[CLASSES.index(name)] for name in seen] == [asked] * len(seen)


def test_draws_go_by_seed_and_by_name_alone(root):
    first = roles_of(loaded(root, unseen=3))
    assert roles_of(loaded(root, unseen=3)) == first
    assert any(roles_of(loaded(root, unseen=3, seed=seed)) != first for seed in range(1, 5))
    lines = classes().split(b"\n")
    (root / "classes.csv").write_bytes(b"\n".join([lines[0], *reversed(lines[1:-1])]) + b"\n")
    assert roles_of(loaded(root, unseen=3)) == first


def test_class_without_samples_is_unseen(root):
    text = classes() + b"emu,0.3,0.4\n"
    (root / "classes.csv").write_bytes(text)
    source = loaded(root, unseen=2)
    assert "emu" in roles_of(source)["unseen"]
    assert len(roles_of(source)["unseen"]) == 3
    said = classes(split=["seen"] * 7 + ["unseen"]) + b"emu,0.3,0.4,seen\n"
    (root / "classes.csv").write_bytes(said)
    (line,) = mistakes(root)
    assert line.startswith("classes.csv, line 10: the class 'emu' is 'seen', but has no sample")


def test_class_of_one_sample_trains(root):
    (root / "samples.csv").write_bytes(samples() + b"emu\n")
    (root / "classes.csv").write_bytes(classes() + b"emu,0.3,0.4\n")
    np.save(root / "image.npy", numbers(49))
    source = loaded(root, unseen=0, test=0.9)
    assert 48 in source.splits.train


def test_drawn_unseen_classes_are_described(root):
    (root / "classes.csv").write_bytes(
        table(
            ("class", "wet"),
            *((name, "" if place % 2 else 0.5) for place, name in enumerate(CLASSES)),
        )
    )
    for seed in range(5):
        assert roles_of(loaded(root, unseen=3, seed=seed))["unseen"] <= set(CLASSES[::2])
    assert "makes 5 of 4 described classes" in mistakes(root, unseen=5)[0]


# Mistakes


def test_every_mistake_is_said_at_once(root):
    np.save(root / "sound.npy", numbers(rows=7))
    bad = numbers()
    bad[3, 2] = np.inf
    np.save(root / "bad.npy", bad)
    (root / "samples.csv").write_bytes(samples().replace(b"tern\n", b"turn\n", 2))
    (root / "classes.csv").write_bytes(classes().replace(b"wren,0.1", b"wren,x"))
    lines = mistakes(root)
    assert [line.partition(":")[0] for line in lines] == [
        "bad.npy",
        "classes.csv, line 3, column 'wet'",
        "samples.csv, line 2",
        "sound.npy",
    ]
    assert "row 3, number 2 (both from 0) is infinite, or too large" in lines[0]
    assert "the class 'turn' (2 samples) is not in classes.csv; did you mean 'tern'?" in lines[2]
    assert "has 7 rows for the 48 samples of samples.csv" in lines[3]


WRONG_SAMPLES = {
    b"": "samples.csv: is empty",
    b"class\n": "samples.csv: has no line below",
    b"class;split\na;b\n": "cells are separated by ';'",
    b"klass\na\n": "no use for the column 'klass'; did you mean 'class'?",
    b"bird,place\na,b\n": "has no column 'class'; there are 'bird', 'place'",
    b"class,class\na,b\n": "has the column 'class' twice",
    b"class,split\ntern,train\n,test\n": "line 3, column 'class': is empty; every",
    b"class,split\ntern,trian\n": "line 2, column 'split': 'trian' is no split; write",
    b"sample,class\na,tern\nb,tern\na,wren\n": "line 4, column 'sample': 'a' stands in line 2 too",
    b"sample\na.jpg\n": "line 2: 'a.jpg' lies in no folder that could be its class",
    b"class\nte\0rn\n": "it holds bytes that are no text",
    b"\xff\xfe\x00c": "no CSV file in UTF-8",
    b'class\n"tern\n': "no CSV from here on",
    b"class,split\ntern\n": "has 1 cells for 2 columns",
}


@pytest.mark.parametrize(("content", "said"), WRONG_SAMPLES.items(), ids=WRONG_SAMPLES.values())
def test_wrong_samples(root, content, said):
    (root / "samples.csv").write_bytes(content)
    assert said in "\n".join(mistakes(root))


def test_samples_called_otherwise(root):
    (root / "samples.csv").rename(root / "sample.csv")
    assert "samples.csv: is not there (there is 'sample.csv'" in mistakes(root)[0]


WRONG_ROLES = {
    "is nothing a class can be; did you mean 'unseen'?": ["seen"] * 7 + ["unsen"],
    "column 'split': is empty; say seen, unseen": ["seen"] * 7 + [""],
    "0 classes are seen; at least two": ["unseen"] * 8,
    "1 classes are seen; at least two": ["seen"] + ["unseen"] * 7,
}


@pytest.mark.parametrize(("said", "words"), WRONG_ROLES.items(), ids=WRONG_ROLES)
def test_wrong_roles(root, said, words):
    (root / "classes.csv").write_bytes(classes(split=words))
    assert said in "\n".join(mistakes(root))


def test_two_roles_of_one_class(root):
    said = classes(split=["seen"] * 7 + ["unseen"], description=["A bird."] * 8)
    (root / "classes.csv").write_bytes(said + b"tern,0.0,1.0,unseen,It dives.\n")
    assert "the class is both 'seen' and 'unseen'" in mistakes(root)[0]


def test_files_that_disagree_on_splits(root):
    (root / "classes.csv").write_bytes(classes(split=["unseen"] + ["seen"] * 7))
    words = ["train"] * 6 + ["test"] * 6 + ["train"] * 35 + [""]
    rows = zip(np.repeat(CLASSES, EACH), words, strict=True)
    (root / "samples.csv").write_bytes(table(("class", "split"), *rows))
    text = "\n".join(mistakes(root))
    assert "samples.csv, line 2: trains, but its class 'tern' is unseen in classes.csv" in text
    assert "the class 'wren' is seen, but none of its samples trains" in text
    assert "samples.csv, line 49, column 'split': is empty" in text


def test_undescribed_unseen_class(root):
    said = classes(split=["seen"] * 7 + ["unseen"]).replace(b"lark,0.7000000000000001,", b"lark,,")
    lines = said.split(b"\n")
    lines[8] = b"lark,,,unseen"
    (root / "classes.csv").write_bytes(b"\n".join(lines))
    assert "the class 'lark' is unseen, and nothing describes it" in mistakes(root)[0]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"unseen": 7}, "dataset.unseen: 7 makes 7 of 8"),
        ({"unseen": 9}, "dataset.unseen: 9 makes 9 of 8"),
        ({"validation": 6}, "dataset.validation: 6 makes 6 of 6 seen classes validate"),
        ({"features": ("sound.npy",)}, "sound.npy: is no file of features: it is not there"),
        ({"features": ("image.txt",)}, "image.txt: features are in files that end in .npy"),
        ({"features": ("../image.npy",)}, "is no file of features: it is not there"),
    ],
)
def test_wrong_settings(root, fields, said):
    assert said in "\n".join(mistakes(root, **fields))


@pytest.mark.parametrize("value", [1.5, -1, float("nan")])
def test_share_or_number(value):
    with pytest.raises(ValueError):
        Folder(root=Path(), unseen=value)


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def archive(path: Path) -> None:
    np.savez(path.with_suffix(".npz"), numbers())
    path.with_suffix(".npz").rename(path)


WRONG_FEATURES = {
    "it holds Python objects, which are never read": lambda path: np.save(
        path, np.array([[Bomb(path.with_name("exploded"))]], dtype=object), allow_pickle=True
    ),
    "it is no such file; a pickle is never read": lambda path: path.write_bytes(
        pickle.dumps(Bomb(path.with_name("exploded")))
    ),
    "not readable as .npy": lambda path: path.write_bytes(b"\x93NUMPY\x01\x00\xff\xff{{{{{"),
    "an archive of arrays": archive,
    "not readable as .npy: No data left": lambda path: path.write_bytes(b""),
    "greater than file size": lambda path: path.write_bytes(
        (path.with_name("image.npy")).read_bytes()[:-9]
    ),
    "has the shape (48,)": lambda path: np.save(path, np.zeros(48)),
    "has the shape (0, 5)": lambda path: np.save(path, np.zeros((0, 5))),
    "holds complex128": lambda path: np.save(path, np.zeros((48, 5), complex)),
    "holds <U3": lambda path: np.save(path, np.full((48, 5), "abc")),
    "holds bool": lambda path: np.save(path, np.zeros((48, 5), bool)),
    "number 0 (both from 0) is infinite, or": lambda path: np.save(path, np.full((48, 5), 1e300)),
    "every row is NaN": lambda path: np.save(path, np.full((48, 5), np.nan)),
    "number 4 (both from 0) is NaN": lambda path: np.save(
        path, np.where(np.arange(240).reshape(48, 5) == 14, np.nan, 1.0)
    ),
}


@pytest.mark.parametrize(("said", "write"), WRONG_FEATURES.items(), ids=WRONG_FEATURES)
def test_wrong_npy(root, said, write):
    write(root / "sound.npy")
    assert said in "\n".join(mistakes(root))
    assert not (root / "exploded").exists()


@given(st.binary(max_size=200))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@pytest.mark.parametrize("suffix", [".npy", ".safetensors", ".parquet"])
def test_junk_is_refused(root, suffix, junk):
    for head in (b"", b"\x93NUMPY\x01\x00", b"PAR1"):
        (root / f"junk{suffix}").write_bytes(head + junk)
        (line,) = mistakes(root)
        assert line.startswith(f"junk{suffix}: ")


@given(st.binary(max_size=80))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@pytest.mark.parametrize("name", ["samples.csv", "classes.csv"])
def test_junk_in_tables_is_refused(root, name, junk):
    (root / name).write_bytes(junk)
    assert mistakes(root)


WRONG_PARQUET = {
    "its column 'note' is string": lambda: pa.table({"a": [1.0] * 48, "note": ["x"] * 48}),
    "it has no column of numbers": lambda: pa.table({"sample": [f"s{row}" for row in range(48)]}),
    "its lists have 1, 2 numbers": lambda: pa.table({"a": [[1.0], [1.0, 2.0]] * 24}),
    "its lists hold string": lambda: pa.table({"a": [["x"]] * 48}),
    "row 1 (from 0) of its column 'sample' is None": lambda: pa.table(
        {"a": [1.0, 2.0], "sample": ["x", None]}
    ),
    "two rows are called 's'": lambda: pa.table({"a": [1.0] * 48, "sample": ["s"] * 48}),
    "has the shape (0, 1)": lambda: pa.table({"a": pa.array([], pa.float32())}),
    "number 0 (both from 0) is NaN": lambda: pa.table({"a": [None] + [1.0] * 47, "b": [1.0] * 48}),
}


@pytest.mark.parametrize(("said", "made"), WRONG_PARQUET.items(), ids=WRONG_PARQUET)
def test_wrong_parquet(root, said, made):
    pq.write_table(made(), root / "sound.parquet")
    assert said in "\n".join(mistakes(root))


def test_parquet_without_pyarrow_names_the_extra(root, monkeypatch):
    pq.write_table(pa.table({"a": [1.0] * 48}), root / "sound.parquet")
    monkeypatch.delitem(sys.modules, "pyarrow")
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "path_importer_cache", {})
    monkeypatch.setattr("mmalign.extras.find_spec", lambda name: None)
    (line,) = mistakes(root)
    assert "pyarrow: not installed; this needs the extra 'sweep'" in line
    assert "pip install 'mmalign[sweep]'" in line


WRONG_SAFETENSORS = {
    "holds 2 tensors": ({"a": numbers(), "b": numbers()}, None),
    "its metadata 'names' are no JSON list": ({"a": numbers()}, {"names": "{"}),
    "2 names for 48 rows": ({"a": numbers()}, {"names": json.dumps(["a", "b"])}),
    "two rows are called 'a'": ({"a": numbers()}, {"names": json.dumps(["a"] * 48)}),
}


@pytest.mark.parametrize(("said", "held"), WRONG_SAFETENSORS.items(), ids=WRONG_SAFETENSORS)
def test_wrong_safetensors(root, said, held):
    save_file(held[0], root / "sound.safetensors", held[1])
    assert said in "\n".join(mistakes(root))


def test_two_files_of_one_name(root):
    save_file({"a": numbers()}, root / "image.safetensors")
    assert "another file of features is called 'image' too" in mistakes(root)[0]
    assert loaded(root, features=("image.npy",)).arrays["image"].dim == DIM


def test_features_called_attributes(root):
    np.save(root / "attributes.npy", numbers())
    assert "its numbers are the array 'attributes', and so is a file" in mistakes(root)[0]


@pytest.mark.parametrize("name", ["image.npy", "samples.csv", "classes.csv"])
def test_nothing_outside_is_read(root, tmp_path, name):
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / name).rename(outside / name)
    (root / name).symlink_to(outside / name)
    assert "outside the folder and not read" in "\n".join(mistakes(root))


def test_link_within_and_to_the_folder_is_followed(root, tmp_path):
    (root / "image.npy").rename(root / "kept.npy.1")
    (root / "image.npy").symlink_to("kept.npy.1")
    (tmp_path / "link").symlink_to(root)
    assert loaded(tmp_path / "link").arrays["image"].dim == DIM


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes in folders")
def test_pipe_folder_and_lost_link_are_no_features(root):
    os.mkfifo(root / "pipe.npy")
    (root / "folder.npy").mkdir()
    (root / "lost.npy").symlink_to("nowhere")
    lines = mistakes(root)
    assert [line.partition(":")[0] for line in lines] == ["folder.npy", "lost.npy", "pipe.npy"]


def test_no_folder(tmp_path):
    with pytest.raises(AbsentError, match="is not there; `mmalign data new"):
        loaded(tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    with pytest.raises(AbsentError, match="is no folder"):
        loaded(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    lines = mistakes(tmp_path / "empty")
    assert lines[0].startswith("features: there is no file of them")
    assert lines[1].startswith("samples.csv: is not there")
