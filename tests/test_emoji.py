"""The data set that ships: whole, small, licensed, fairly split; and the names of its icons."""

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mmalign import FeatureFile, MmalignError
from mmalign_emoji import reading
from mmalign_emoji.dataset import Emoji

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))

from emoji_build import drawing, naming, reducing, splitting  # noqa: E402
from emoji_build.packing import listed  # noqa: E402


@pytest.fixture(scope="module")
def source():
    return Emoji().load()


def test_the_file_is_small_and_comes_with_its_licences():
    assert reading.FILE.stat().st_size <= 8_000_000
    notice = reading.FILE.with_name("NOTICE.md").read_text(encoding="utf-8")
    for name in drawing.SETS:
        assert f"@iconify-json/{name} " in notice
    for part in (
        "CC-BY-4.0",
        "Apache-2.0",
        "Permission is hereby granted",
        "Miles Johnson",
        "GloVe",
    ):
        assert part in notice


def test_its_counts_are_those_of_its_version(source):
    assert (len(source.classes), len(source.labels)) == (1588, 9136)
    splits = source.splits
    parts = (splits.train, splits.test_seen, splits.test_unseen, splits.validation_classes)
    assert [len(each) for each in parts] == [6036, 1270, 1830, 254]
    assert not source.notes
    assert source.arrays["image"].backbone == {"use": "efficientnet-lite0"}
    assert min(np.bincount(source.labels)) >= 4


def test_unseen_classes_train_nowhere_and_every_drawing_is_somewhere_once(source):
    splits, labels = source.splits, source.labels
    rows = np.concatenate([splits.train, splits.test_seen, splits.test_unseen])
    np.testing.assert_array_equal(np.sort(rows), np.arange(len(labels)))
    trained, unseen = set(labels[splits.train]), set(labels[splits.test_unseen])
    assert (len(trained), len(unseen)) == (1270, 318)
    assert not trained & unseen
    assert set(splits.validation_classes) < trained
    assert (np.bincount(labels[splits.test_seen], minlength=1588)[sorted(trained)] == 1).all()


def test_every_group_gives_a_fifth_of_its_classes(source):
    groups = source.arrays["attributes"].values[:, :8]
    assert (groups.sum(axis=1) == 1).all()
    unseen = np.unique(source.labels[source.splits.test_unseen])
    np.testing.assert_allclose(groups[unseen].sum(0) / groups.sum(0), 0.2, atol=0.01)


def test_arrays_are_what_the_docstring_says(source):
    shapes = {name: (view.level, view.dim) for name, view in source.arrays.items()}
    assert shapes == {
        "image": ("sample", 1280),
        "attributes": ("class", 1565),
        "sentences": ("class", 384),
        "word2vec": ("class", 100),
    }
    assert set(np.unique(source.arrays["attributes"].values)) == {0, 1}
    assert source.arrays["image"].values.min() == 0
    # MiniLM's embeddings have length 1; a byte a number moves it by less than this.
    lengths = np.linalg.norm(source.arrays["sentences"].values, axis=1)
    np.testing.assert_allclose(lengths, 1, atol=2e-3)
    assert source.arrays["word2vec"].mask.sum() == 1572


def test_names_and_texts_belong_together(source):
    index = source.classes.index("red apple")
    assert source.texts["characters"].values[index] == ("\N{RED APPLE}",)
    assert source.texts["descriptions"].values[index][0].startswith("red apple: apple, ")
    samples = {source.samples[row] for row in np.flatnonzero(source.labels == index)}
    assert samples == {f"{name}/1F34E" for name in drawing.SETS}


def test_nothing_but_the_file_is_read_and_no_torch_imported():
    program = """
import socket, sys
def refused(*_): raise AssertionError("a network was asked for")
socket.socket.connect = refused
from mmalign_emoji.dataset import Emoji
Emoji().load()
assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_damaged_or_missing_file_is_named(tmp_path):
    content = bytearray(reading.FILE.read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "emoji.safetensors").write_bytes(content)
    with pytest.raises(MmalignError, match=r"is not the file of version 1\.0.*install mmalign"):
        reading.read("emoji", tmp_path / "emoji.safetensors")
    with pytest.raises(MmalignError, match=r"cannot be read .*install mmalign again"):
        reading.read("emoji", tmp_path / "none.safetensors")


def test_reader_and_builder_agree_on_the_steps():
    values = np.random.default_rng(0).gamma(0.5, size=(50, 6)).astype(np.float32)
    less = reducing.reduced(values, np.arange(40))
    packed = less.packed()
    assert packed.shape == (50, 3)
    restored = reading.restored({"codes": packed, "top": less.top})
    inside = values <= less.top
    step = less.top * (2 * less.codes + 1) / 15**2  # to the next code; at most half of it is lost
    assert (np.abs(restored - values) <= step / 2 + 1e-6)[inside].all()
    np.testing.assert_array_equal(restored[~inside], np.broadcast_to(less.top, (50, 6))[~inside])


# The builder, on made-up icons.

ENTRIES = [
    {"hexcode": "1F34E", "label": "red apple", "group": 4, "tags": ["fruit"]},
    {"hexcode": "2764-FE0F", "label": "red heart", "group": 0},
    {"hexcode": "1F197", "label": "OK button", "group": 8},
    {"hexcode": "1F9D1", "label": "person: beard", "group": 1},
    {"hexcode": "1F1E9-1F1EA", "label": "flag: Germany", "group": 9},
    {"hexcode": "1F3FB", "label": "light skin tone", "group": 2},
    {"hexcode": "1F1E6", "label": "regional indicator A"},
]
UNICODE = {"1F34E": "RED APPLE", "2764": "HEAVY BLACK HEART", "1F197": "SQUARED OK"}
OLDER = (
    {
        "icons": {"love": {"body": "<g/>"}, "ok": {"body": "<g/>"}},
        "aliases": {"heart-of-old": {"parent": "love"}, "evol": {"parent": "love", "hFlip": True}},
    },
    {"2764": "love", "1F197": "ok"},
)


@pytest.fixture
def names():
    return naming.names_of(naming.wanted(ENTRIES), UNICODE, [OLDER])


def test_flags_components_and_indicators_are_no_classes():
    assert list(naming.wanted(ENTRIES)) == ["1F34E", "2764", "1F197", "1F9D1"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("red-apple", "1F34E"),  # the label
        ("person-beard", "1F9D1"),
        ("love", "2764"),  # as a set with code points calls it
        ("heart-of-old", "2764"),
        ("evol", None),  # turned over, it is another drawing
        ("heavyblackheart", "2764"),  # the Unicode name, written together
        ("squaredok", "1F197"),
        ("flag-germany", None),
        ("red-apple-dark-skin-tone", None),
    ],
)
def test_a_name_means_one_emoji_or_none(names, name, meant):
    assert names.meaning(name) == meant


def test_a_name_that_means_two_is_left_out():
    twice = [
        {"hexcode": "1", "label": "up!", "group": 8},
        {"hexcode": "2", "label": "up", "group": 8},
    ]
    assert naming.names_of(naming.wanted(twice), {}, []).meaning("up") is None


def test_the_icon_called_like_the_label_is_taken_and_hidden_ones_are_not(names):
    icons = {
        "icons": {
            "love": {"body": "<g/>"},
            "red-heart": {"body": "<g/>"},
            "red-apple": {"body": "<g/>", "hidden": True},
        },
        "aliases": {"ok": {"parent": "love"}, "person-beard": {"parent": "red-apple"}},
    }
    labels = {code: entry["label"] for code, entry in naming.wanted(ENTRIES).items()}
    assert naming.chosen(icons, names, labels) == {"2764": "red-heart", "1F197": "ok"}


def test_an_icon_has_a_margin_and_is_turned_as_its_alias_says():
    icons = {"icons": {"a": {"body": "<p/>"}}, "height": 32, "width": 32}
    assert 'viewBox="-2.56 -2.56 37.12 37.12"' in drawing.svg(icons, "a")
    turned = drawing.svg(icons | {"aliases": {"b": {"parent": "a", "hFlip": True}}}, "b")
    assert '<g transform="translate(32 0) scale(-1 1)"><p/></g>' in turned


def test_copies_tell_nothing():
    made = {
        "one": {"A": b"a", "B": b"b", "C": b"same", "D": b"same"},
        "two": {"A": b"a", "B": b"other", "C": b"c"},
    }
    kept = drawing.distinct(made)
    assert {name: sorted(of_set) for name, of_set in kept.items()} == {
        "one": ["A", "B"],
        "two": ["B", "C"],
    }


def test_shares_are_of_every_group_and_the_same_each_time():
    codes, groups = [f"{i:X}" for i in range(60)], [0] * 40 + [1] * 20
    unseen, validation = splitting.unseen_and_validation(codes, groups)
    assert (sum(unseen < 40), sum(unseen >= 40)) == (8, 4)
    assert (sum(validation < 40), sum(validation >= 40)) == (6, 3)
    assert not set(unseen) & set(validation)
    again = splitting.unseen_and_validation(codes[::-1], groups[::-1])[0]
    assert {codes[i] for i in unseen} == {codes[::-1][i] for i in again}


def test_one_drawing_of_each_seen_class_is_asked():
    samples = tuple(f"{name}/{code}" for name in "abcd" for code in "XYZ")
    file = FeatureFile(np.zeros((12, 2), np.float32), samples, metadata={"backbone": "{}"})
    drawn = listed(file)
    assert drawn.codes == ("X", "Y", "Z")
    told = splitting.splits(drawn.labels, drawn.samples, np.array([1]))
    assert (told[drawn.labels == 1] == splitting.TEST_UNSEEN).all()
    for index in (0, 2):
        assert sorted(told[drawn.labels == index]) == [0, 0, 0, splitting.TEST_SEEN]


def test_the_builder_names_its_packages_in_one_place():
    said = (
        ast.get_docstring(ast.parse((ROOT / "tools" / "build_emoji.py").read_text("utf-8"))) or ""
    )
    notice = reading.FILE.with_name("NOTICE.md").read_text(encoding="utf-8")
    for word in said.split():
        if word.startswith("@iconify-json/"):
            assert word.replace("@1", " 1") in notice
