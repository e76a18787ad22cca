"""ImageNet's files: which classes each split holds, and every way in which files can be wrong."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from mmalign import MmalignError
from mmalign.testing import checks
from mmalign_imagenet.dataset import ImageNet
from mmalign_imagenet.files import read_counts
from mmalign_imagenet.loading import first_rows
from mmalign_imagenet.tables import read_ids

ROOT = Path(__file__).parents[1]
LISTS = ROOT.parent / "shared" / "data" / "imagenet_splits" / "imagenet-testsets.json"
TOOL = ROOT / "tools" / "make_imagenet_like.py"


def wnids(numbers):
    return [f"n{number:08d}" for number in numbers]


def table(path, numbers, values):
    np.save(path.with_suffix(".npy"), np.asarray(values))
    path.with_suffix(".txt").write_text("".join(f"{each}\n" for each in wnids(numbers)))


@pytest.fixture
def folder(tmp_path):
    """Seen 1 to 3, unseen 11 to 16; 11 and 12 are 2-hops, and 13 3-hops too."""
    lists = {"train": (1, 2, 3), "2-hops": (12, 11), "3-hops": (12, 11, 13), "rest": (4,)}
    lists["all"] = (16, 11, 12, 13, 14, 15)
    write(tmp_path, {key: wnids(numbers) for key, numbers in lists.items()})
    seen, unseen = [1, 2, 3, 1, 2, 3, 1], [11, 12, 13, 14, 15, 16, 11, 12, 12]
    table(tmp_path / "seen", seen, np.arange(14.0).reshape(7, 2))
    table(tmp_path / "unseen", unseen, 100 + np.arange(18.0).reshape(9, 2))
    described = [16, 3, 2, 1, 11, 12, 13, 14, 15, 99]
    table(tmp_path / "word2vec", described, [[each, -each, 0] for each in described])
    return tmp_path


def write(folder, lists):
    (folder / "imagenet-testsets.json").write_text(json.dumps(lists))


def lists_of(folder):
    return json.loads((folder / "imagenet-testsets.json").read_text())


def load(folder, **settings):
    return ImageNet(root=folder, **settings).load()


def unseen_of(source):
    labels = source.labels[source.splits.test_unseen]
    return [source.classes[index] for index in np.unique(labels)]


@pytest.mark.parametrize(
    ("split", "expected"),
    [("2-hops", (12, 11)), ("3-hops", (12, 11, 13)), ("all", (16, 11, 12, 13, 14, 15))],
)
def test_a_split_is_its_list_after_the_seen_classes(folder, split, expected):
    source = load(folder, split=split)
    assert source.classes == (*wnids([1, 2, 3]), *wnids(expected))
    assert unseen_of(source) == wnids(expected)
    assert source.notes == ()


def test_rows_and_vectors_are_those_of_their_class(folder):
    source = load(folder)
    names = np.array(source.classes)[source.labels]
    assert names.tolist() == wnids([1, 2, 3, 1, 2, 3, 1, 11, 12, 11, 12, 12])
    rows = source.arrays["image"].values
    np.testing.assert_array_equal(rows[:7], np.arange(14).reshape(7, 2))
    np.testing.assert_array_equal(rows[7:, 0], [100, 102, 112, 114, 116])
    assert source.arrays["word2vec"].values[:, 0].tolist() == [1, 2, 3, 12, 11]
    assert len(source.splits.train) == 7
    assert len(source.splits.test_seen) == 0, "rows of unseen classes alone are asked"


def test_classes_without_vector_or_features_are_left_out_and_counted(folder):
    table(folder / "word2vec", [1, 2, 11, 12, 13, 14], np.ones((6, 3)))
    table(folder / "unseen", [11, 13, 15], np.ones((3, 2)))
    source = load(folder, split="all")
    assert source.classes == tuple(wnids([1, 2, 11, 13]))
    assert source.notes == (
        "'train': 2 of 3 classes; 1 without a word vector",
        "'all': 2 of 6 classes; 2 without a word vector and 2 without features",
    )


def test_caps_take_the_first_and_say_so(folder):
    source = load(folder, split="all", seen_classes=2, unseen_classes=3, seen_rows=1, unseen_rows=2)
    assert source.classes == tuple(wnids([1, 2, 16, 11, 12]))
    assert source.arrays["image"].values[:, 0].tolist() == [0, 2, 100, 102, 110, 112, 114]
    assert source.notes == (
        "reduced: 2 of 3 seen classes",
        "reduced: 3 of 6 unseen classes",
        "reduced: 2 of these classes' 5 rows in seen.npy",
        "reduced: 5 of these classes' 6 rows in unseen.npy",
    )
    assert load(folder, seen_rows=3, seen_classes=3).notes == (), "nothing was cut off"


def test_the_data_set_conforms(folder):
    for check in checks(ImageNet(root=folder, split="3-hops")):
        check()


def test_hashes_are_of_files_and_of_the_rows_taken(folder):
    whole, some = load(folder).hashes, load(folder, unseen_rows=1).hashes
    assert list(whole) == [
        *("imagenet-testsets.json", "word2vec.npy", "word2vec.txt"),
        *("seen.npy, 7 rows as float32", "unseen.npy, 5 rows as float32"),
    ]
    assert whole["seen.npy, 7 rows as float32"] == some["seen.npy, 7 rows as float32"]
    values = np.load(folder / "seen.npy")
    values[3] += 1
    np.save(folder / "seen.npy", values)
    changed = load(folder).hashes
    assert {key for key in whole if whole[key] != changed[key]} == {"seen.npy, 7 rows as float32"}


@pytest.mark.parametrize("kind", [np.float16, np.float64, np.int32])
def test_safetensors_and_other_numbers_are_the_same_data(folder, kind):
    expected = load(folder).arrays["image"].values
    for name in ("seen", "unseen"):
        values = np.load(folder / f"{name}.npy").astype(kind)
        save_file({"features": values}, folder / f"{name}.safetensors")
    source = load(folder, seen=Path("seen.safetensors"), unseen=Path("unseen.safetensors"))
    np.testing.assert_array_equal(source.arrays["image"].values, expected)


def test_classes_are_called_by_their_words_where_a_file_has_them(folder):
    words = "n00000001\ttench, Tinca tinca\nn00000012\tcrane\n\nn00000011\tcrane\n"
    (folder / "words.txt").write_text(words)
    assert load(folder, names=Path("words.txt")).classes == (
        *("n00000001 tench, Tinca tinca", "n00000002", "n00000003"),
        *("n00000012 crane", "n00000011 crane"),
    )


def populated(folder, count):
    """So many unseen classes of one row each, in no order, with counts that have ties.

    Class 1000 + i has i images, but 1090 to 1109 have 100 each, and 1490 to 1509 have 500.
    """
    numbers = 1000 + np.random.default_rng(0).permutation(count)
    images = {1000 + i: i for i in range(count)}
    images |= dict.fromkeys(range(1090, 1110), 100) | dict.fromkeys(range(1490, 1510), 500)
    write(folder, {"train": lists_of(folder)["train"], "all": wnids(numbers)})
    table(folder / "unseen", numbers, np.ones((count, 2)))
    table(folder / "word2vec", [1, 2, 3, *numbers], np.ones((count + 3, 3)))
    return {f"n{number:08d}": count for number, count in images.items()}


def counted(folder, images, suffix):
    if suffix == ".json":
        (folder / "counts.json").write_text(json.dumps(images))
    else:
        lines = ["wnid,images", *(f"{key},{value}" for key, value in images.items())]
        (folder / "counts.csv").write_text("\n".join(lines) + "\n")
    return Path(f"counts{suffix}")


@pytest.mark.parametrize("suffix", [".json", ".csv"])
def test_m_and_l_are_the_most_and_the_least_populated_worked_out_by_hand(folder, suffix):
    path = counted(folder, populated(folder, 600), suffix)
    most = load(folder, split="M500", counts=path)
    # 1510 to 1599, the 20 of 500, 1110 to 1489 are 490; of the 20 of 100 the first 10 ids.
    expected = {*range(1510, 1600), *range(1490, 1510), *range(1110, 1490), *range(1090, 1100)}
    assert set(unseen_of(most)) == set(wnids(expected))
    assert most.classes[3:5] == ("n00001599", "n00001598"), "the most populated first"
    least = load(folder, split="L500", counts=path)
    # 1000 to 1089, the 20 of 100, 1110 to 1489 are 490; of the 20 of 500 the first 10 ids.
    expected = {*range(1000, 1090), *range(1090, 1110), *range(1110, 1490), *range(1490, 1500)}
    assert set(unseen_of(least)) == set(wnids(expected))
    few = load(folder, split="M500", counts=path, unseen_classes=2)
    assert few.classes[3:] == ("n00001599", "n00001598")


def test_without_a_file_rows_are_counted(folder):
    populated(folder, 501)
    numbers = np.arange(1000, 1501)
    # Class 1250 alone has one row, all others have two.
    table(folder / "unseen", [*numbers, *np.delete(numbers, 250)], np.ones((1001, 2)))
    assert "n00001250" not in unseen_of(load(folder, split="M500"))
    # Rows are counted before a cap takes some away.
    assert load(folder, split="L500", unseen_rows=1).classes[3] == "n00001250"


@pytest.mark.parametrize("split", ["M1K", "L1K", "M5K", "L5K"])
def test_a_split_of_more_classes_than_there_are_is_refused(folder, split):
    populated(folder, 600)
    size = "1,000" if "1K" in split else "5,000"
    with pytest.raises(MmalignError, match=f"{split} takes {size} classes, but 600 of 'all'"):
        load(folder, split=split)


def test_counts_must_cover_the_classes(folder):
    images = populated(folder, 600)
    del images["n00001007"], images["n00001003"]
    with pytest.raises(MmalignError, match=r"counts.csv: 2 of the 600 .* the first is n00001003"):
        load(folder, split="M500", counts=counted(folder, images, ".csv"))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("c.json", '{"n00000001": -3}', "no WordNet id with a whole number"),
        ("c.json", '{"n00000001": 3.5}', "no WordNet id with a whole number"),
        ("c.json", "[1]", "JSON object"),
        ("c.json", "{", "no JSON"),
        ("c.csv", "id,images\nn1,3\n", "no WordNet id with a whole number"),
        ("c.csv", "n00000001,3\nn00000001,4\n", "n00000001 is counted twice"),
        ("c.csv", "n00000001,3\nn00000002\n", "no WordNet id with a whole number"),
        ("c.txt", "n00000001,3\n", ".json or a .csv"),
    ],
)
def test_wrong_counts_are_refused(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(MmalignError, match=said):
        read_counts(tmp_path / name)


def test_counts_may_have_no_header(tmp_path):
    (tmp_path / "c.csv").write_text("n00000001,3\n\nn00000002, 4\n")
    assert read_counts(tmp_path / "c.csv") == {1: 3, 2: 4}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"train": None}, "no list 'train'"),
        ({"2-hops": None}, "no list '2-hops'"),
        ({"train": []}, "'train' is no list of WordNet ids, or an empty one"),
        ({"2-hops": "n00000011"}, "'2-hops' is no list"),
        ({"2-hops": ["n00000011", "n11"]}, "entry 2 of '2-hops' is 'n11', no WordNet id"),
        ({"2-hops": ["n00000011", 12]}, "entry 2 of '2-hops' is 12"),
        ({"train": wnids([1, 2, 2, 3])}, "'train' holds 1 ids twice, the first n00000002"),
        ({"all": wnids([11, 1])}, "1 classes of 'all' are also in 'train'.* n00000001"),
        ({"2-hops": wnids([77])}, "no class of '2-hops' is left of 1: 1 without a word vector"),
    ],
)
def test_wrong_lists_are_refused(folder, change, said):
    lists = lists_of(folder) | change
    write(folder, {key: value for key, value in lists.items() if value is not None})
    with pytest.raises(MmalignError, match=said):
        load(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "\x80"])
def test_lists_that_are_no_json_object_are_refused(folder, text):
    (folder / "imagenet-testsets.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(MmalignError, match=r"imagenet-testsets\.json: "):
        load(folder)


@pytest.mark.parametrize(
    ("name", "numbers", "values", "said"),
    [
        ("seen", [1, 2], [[1.0, 2.0], [1.0, np.nan]], r"seen.npy: row 1 \(n00000002\) holds NaN"),
        ("unseen", [11, 12], [[1e300, 2.0], [1.0, 0.0]], r"row 0 \(n00000011\) holds NaN"),
        ("word2vec", [1, 2, 11], [[np.inf], [1.0], [1.0]], r"word2vec.npy: row 0 \(n00000001\)"),
        ("word2vec", [1, 2, 2], np.ones((3, 2)), "word2vec.txt holds 1 ids twice, the first n0*2"),
        ("seen", [1, 2], np.ones((3, 2)), "seen.txt: 2 lines for 3 rows of seen.npy"),
        ("seen", [1, 2], np.ones(2), r"shape \(rows, dim\) were expected, not float64 \(2,\)"),
        ("seen", [], np.ones((0, 2)), "real numbers of shape"),
        ("seen", [1], [["a", "b"]], "real numbers of shape"),
        ("seen", [1], np.ones((1, 3)), "2 numbers a row, but 3 in seen.npy"),
        ("seen", [1, 11], np.ones((2, 2)), "seen.txt: line 2 is n00000011, an unseen class"),
        ("seen", [88, 1], np.ones((2, 2)), "seen.txt: line 1 is n00000088, in no list of"),
        ("unseen", [11, 1], np.ones((2, 2)), "unseen.txt: line 2 is n00000001, a class of 'train'"),
        ("unseen", [11, 88], np.ones((2, 2)), "unseen.txt: line 2 is n00000088, in no list of"),
        ("unseen", [14], np.ones((1, 2)), "no class of '2-hops' is left of 2: 2 without features"),
    ],
)
def test_wrong_tables_are_refused(folder, name, numbers, values, said):
    table(folder / name, numbers, values)
    with pytest.raises(MmalignError, match=said):
        load(folder)


def test_a_row_that_is_not_taken_may_be_wrong(folder):
    values = np.load(folder / "unseen.npy")
    values[5] = np.nan  # of class 16, which is not in 2-hops
    np.save(folder / "unseen.npy", values)
    assert len(load(folder).labels) == 12
    with pytest.raises(MmalignError, match=r"unseen.npy: row 5 \(n00000016\)"):
        load(folder, split="all")


def test_files_of_another_kind_are_refused(folder):
    np.save(folder / "objects.npy", np.array([[{}]], dtype=object), allow_pickle=True)
    np.savez(folder / "several.npz", a=np.ones((2, 2)))
    (folder / "several.npz").rename(folder / "zip.npy")
    (folder / "cut.npy").write_bytes((folder / "seen.npy").read_bytes()[:-3])
    (folder / "text.npy").write_text("1 2 3")
    (folder / "text.safetensors").write_text("1 2 3")
    two = {"a": np.ones((2, 2)), "b": np.ones((2, 2))}
    save_file(two, folder / "two.safetensors")
    (folder / "rows.csv").write_text("1,2")
    for name in (
        *("objects.npy", "zip.npy", "cut.npy", "text.npy", "text.safetensors"),
        *("two.safetensors", "rows.csv"),
    ):
        (folder / name).with_suffix(".txt").write_text("n00000001\n")
        with pytest.raises(MmalignError, match=name):
            load(folder, seen=Path(name))


def test_files_that_are_not_there_are_named(folder):
    (folder / "word2vec.npy").unlink()
    with pytest.raises(MmalignError, match=r"no file for dataset.vectors \(.*word2vec.npy\)"):
        load(folder)
    with pytest.raises(MmalignError, match=r"dataset.seen \(.*dataset.unseen \("):
        load(folder / "nowhere")
    with pytest.raises(MmalignError, match="cannot be looked into"):
        load(Path("~no-such-user/x"))


def test_a_table_needs_its_ids(folder):
    (folder / "seen.txt").unlink()
    with pytest.raises(MmalignError, match=r"seen\.txt: cannot be read: No such file"):
        load(folder)


@pytest.mark.parametrize(
    "text", [b"n00000001\nn12345678\n", b"n00000001\nn12345678", b"n00000001\r\nn12345678\r\n\n"]
)
def test_ids_are_read_with_any_ending(tmp_path, text):
    (tmp_path / "ids.txt").write_bytes(text)
    assert read_ids(tmp_path / "ids.txt").tolist() == [1, 12345678]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"", 1),
        (b"n00000001\n\nn00000002\n", 2),
        (b"n00000001\nx00000002\n", 2),
        (b"n00000001\nn0000000a\n", 2),
        (b"n00000001\nn0000000/\n", 2),
        (b"n00000001\nn00000002 n00000003", 2),
        (b"n00000001\nn00000002\nn3\n", 3),
        (b"n00000001\nn0000\x8002\n", 2),
    ],
)
def test_a_line_that_is_no_id_is_named(tmp_path, text, line):
    (tmp_path / "ids.txt").write_bytes(text)
    with pytest.raises(MmalignError, match=f"ids.txt: line {line} is .* no WordNet id"):
        read_ids(tmp_path / "ids.txt")


@pytest.mark.parametrize("line", ["n00000001 tench", "n1\ttench", "n00000001\t "])
def test_wrong_names_are_refused(folder, line):
    (folder / "words.txt").write_text(f"n00000002\tshark\n{line}\n")
    with pytest.raises(MmalignError, match=r"words.txt: line 2 is no WordNet id, tab"):
        load(folder, names=Path("words.txt"))


def test_the_first_rows_of_each_class_in_the_order_of_the_file():
    ids = np.array([5, 7, 5, 9, 7, 5, 9, 7])
    rows, of_class = first_rows(ids, (7, 5), 2)
    assert rows.tolist() == [0, 1, 2, 4]
    assert of_class.tolist() == [1, 0, 1, 0]
    rows, of_class = first_rows(ids, (9,), None)
    assert (rows.tolist(), of_class.tolist()) == ([3, 6], [0, 0])


@pytest.mark.shared
@pytest.mark.skipif(not LISTS.exists(), reason="no shared data beside the repository")
def test_the_published_lists(tmp_path):
    make = [sys.executable, TOOL, tmp_path, "--classes", LISTS, "--seen", "30", "--unseen", "40"]
    subprocess.run(list(map(str, make)), check=True, capture_output=True)
    published = json.loads(LISTS.read_text())
    for split, count, size in (("2-hops", 10, 1549), ("3-hops", 20, 7860), ("all", 40, 20842)):
        source = load(tmp_path, split=split, classes=LISTS)
        assert source.classes[:30] == tuple(published["train"][:30])
        assert len(source.classes[30:]) == count
        assert set(source.classes[30:]) < set(published[split])
        assert f"'{split}': {count} of {size:,} classes" in source.notes[1]
    near = load(tmp_path, split="2-hops", classes=LISTS, unseen_classes=3)
    assert near.classes[30:] == tuple(published["2-hops"][:3])
