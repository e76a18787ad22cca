"""The commands predict and export: rows in, classes out, and files that are wrong."""

import csv
import io
import pickle
import re
from dataclasses import replace

import numpy as np
import pytest
from commands import SMALL, call, installed, only, refused

import mmalign
import mmalign_synthetic.dataset

ODD = ("comma, inside", 'a "quoted" one', "two\nlines", "[bold]", "ünïcode", " ", "=1", "'", ";")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a finished run over classes of odd names, in runs/synthetic."""
    folder = tmp_path_factory.mktemp("place")
    kind = mmalign_synthetic.dataset.Synthetic
    with pytest.MonkeyPatch.context() as patch:
        load = kind.load
        patch.setattr(kind, "load", lambda self: replace(load(self), classes=ODD))
        done = call("run", "synthetic", *SMALL, "--seeds", 1, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def finished(place):
    return only(place / "runs" / "synthetic")


def rows(count=3):
    return np.random.default_rng(0).random((count, 64))


def table(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_prediction_writes_the_scores_of_the_model(place, finished):
    np.save(place / "rows.npy", rows())
    done = installed("predict", finished, "rows.npy", "--top", 9, cwd=place)
    expected = mmalign.load(finished).predict(rows(), top=9)
    assert [
        (int(each["row"]), int(each["rank"]), each["class"]) for each in table(done.stdout)
    ] == [(i, j + 1, name) for i, best in enumerate(expected) for j, (name, _) in enumerate(best)]
    scores = [float(each["score"]) for each in table(done.stdout)]
    assert scores == pytest.approx([score for best in expected for _, score in best], rel=1e-5)
    assert {each["class"] for each in table(done.stdout)} == set(ODD)


def test_prediction_goes_to_a_file_or_to_the_output(place, finished):
    np.save(place / "rows.npy", rows())
    said = call("predict", finished, "rows.npy", "--top", 2, cwd=place).stdout
    arguments = ("--top", 2, "--modality", "image", "--out", "best.csv")
    assert call("predict", finished, "rows.npy", *arguments, cwd=place).stdout == ""
    assert (place / "best.csv").read_text(encoding="utf-8") == said


def test_several_modalities_of_the_same_rows_are_fused(place, finished):
    described = np.random.default_rng(1).random((3, 24))
    described[1] = np.nan
    np.save(place / "rows.npy", rows())
    np.save(place / "words.npy", described)
    given = ("image=rows.npy", "attributes=words.npy")
    found = table(call("predict", finished, *given, "--top", 1, cwd=place).stdout)
    model = mmalign.load(finished)
    best = model.predict({"image": rows(), "attributes": described})
    assert [each["class"] for each in found] == [each[0][0] for each in best]
    alone = table(call("predict", finished, given[0], "--top", 1, cwd=place).stdout)
    assert alone[1] == found[1]  # the row that lacks the other modality


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("image=rows.npy", "rows.npy"), "each says its modality"),
        (("image=rows.npy", "image=rows.npy"), "has a file already"),
        (("sound=rows.npy",), "no modality 'sound'"),
    ],
)
def test_files_that_name_their_modality_wrongly_are_refused(place, finished, given, said):
    np.save(place / "rows.npy", rows())
    assert said in refused("predict", finished, *given, cwd=place)


@pytest.mark.parametrize(
    "values",
    [np.ones((2, 64), np.int64), np.ones(64), np.ones((2, 64), ">f8"), np.asfortranarray(rows())],
    ids=["whole numbers", "one row", "big-endian", "Fortran order"],
)
def test_any_real_numbers_will_do(place, finished, values):
    np.save(place / "real.npy", values)
    found = table(call("predict", finished, "real.npy", "--top", 1, cwd=place).stdout)
    best = mmalign.load(finished).predict(np.atleast_2d(values).astype(np.float32))
    assert [each["class"] for each in found] == [each[0][0] for each in best]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.zeros((2, 63)), "63 numbers a row"),
        (np.full((2, 64), np.nan), "row 0 holds NaN"),
        (np.full((2, 64), 1e300), "row 0 holds NaN or infinity"),
        (np.zeros((0, 64)), r"\(rows, dim\) was expected"),
        (np.zeros((1, 2, 64)), r"\(rows, dim\) was expected"),
        (np.array([["a"] * 64]), "real numbers were expected"),
        (np.ones((2, 64), complex), "real numbers were expected"),
        (np.array([{"a": 1}], dtype=object), "not readable as .npy numbers"),
    ],
    ids=["width", "NaN", "too large", "empty", "three axes", "text", "complex", "pickled"],
)
def test_wrong_features_are_refused(place, finished, values, said):
    np.save(place / "wrong.npy", values, allow_pickle=True)
    message = refused("predict", finished, "wrong.npy", "--out", "none.csv", cwd=place)
    assert re.search(said, message), message
    assert not (place / "none.csv").exists()


class Trap:
    """Unpickling it would be seen."""

    def __reduce__(self):
        return (exec, ("raise AssertionError('unpickled')",))


@pytest.mark.parametrize(
    "content", [b"", b"no array", b"\x93NUMPY\x01\x00", pickle.dumps(Trap())],
    ids=["empty", "text", "cut", "pickled"],
)  # fmt: skip
def test_files_that_are_no_array_are_refused(place, finished, content):
    (place / "file.npy").write_bytes(content)
    assert "not readable" in refused("predict", finished, "file.npy", cwd=place)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("predict", "nowhere", "rows.npy"), "no model at"),
        (("predict", "~no-such-user", "rows.npy"), "no model at"),
        (("predict", "RUN", "nowhere.npy"), "No such file"),
        (("predict", "RUN", "."), "not readable"),
        (("predict", "RUN", "rows.npy", "--top", 0), "at least one class"),
        (("predict", "RUN", "rows.npy", "--modality", "sound"), "no modality 'sound'"),
        (("predict", "RUN", "rows.npy", "--out", "nowhere/best.csv"), "cannot write"),
        (("export", "nowhere", "other"), "no model at"),
        (("export", "RUN", "rows.npy/other"), "cannot write"),
        (("export", "RUN", "runs"), "is there already"),
    ],
)
def test_wrong_calls_are_refused(place, finished, arguments, said):
    np.save(place / "rows.npy", rows())
    given = [finished if each == "RUN" else each for each in arguments]
    assert said in refused(*given, cwd=place)


def test_export_copies_a_whole_model(place, finished):
    done = call("export", finished, "mine", cwd=place)
    assert "9 classes, rows of image" in done.stdout
    model, copy = mmalign.load(finished), mmalign.load(place / "mine")
    assert copy.classes == model.classes == ODD
    assert np.array_equal(copy.scores(rows()), model.scores(rows()))


def test_the_confusion_holds_names_as_they_are(finished):
    text = (finished / "confusion.csv").read_text(encoding="utf-8")
    found = table(text)
    assert {each["true"] for each in found} == set(ODD)
    assert sum(int(each["count"]) for each in found) == 6 * 1 + 3 * 6
