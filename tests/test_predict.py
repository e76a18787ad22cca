"""The commands predict and export: rows in, classes out, and files that are wrong."""

import csv
import io
import json
import pickle
import re
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import SMALL, call, installed, only, refused
from safetensors.numpy import save_file
from vision import made_folder, network

import mmalign
import mmalign.inputs
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
        (("predict", "RUN", "."), "does not say which backbone"),
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


def test_probabilities_are_those_of_the_model(place, finished):
    np.save(place / "rows.npy", rows())
    found = table(call("predict", finished, "rows.npy", "--top", 9, cwd=place).stdout)
    model = mmalign.load(finished)
    assert model.temperature > 0
    likely = model.probabilities(rows())
    assert likely.sum(1) == pytest.approx(np.ones(3), abs=1e-5)
    for each in found:
        expected = likely[int(each["row"]), model.known_classes.index(each["class"])]
        assert float(each["probability"]) == pytest.approx(expected, rel=1e-3)
    some = model.probabilities(rows(), ODD[:2])
    assert some == pytest.approx(likely[:, :2] / likely[:, :2].sum(1, keepdims=True), rel=1e-4)


def test_a_model_without_a_temperature_says_so(place, finished, tmp_path):
    model = mmalign.load(finished)
    cold = replace(model, fitted=replace(model.fitted, temperature=None))
    mmalign.save_model(cold, tmp_path / "cold")
    np.save(tmp_path / "rows.npy", rows())
    done = call("predict", "cold", "rows.npy", "--top", 1, cwd=tmp_path)
    assert "not calibrated" in done.stderr
    assert {each["probability"] for each in table(done.stdout)} == {""}
    with pytest.raises(mmalign.MmalignError, match="not calibrated"):
        mmalign.load(tmp_path / "cold").probabilities(rows())


def test_some_classes_are_asked_among(place, finished):
    np.save(place / "rows.npy", rows())
    with (place / "some.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["class", "description"], [ODD[2], "x"], [ODD[7], "y"]])
    given = ("--among", "some.csv", "--among", ODD[0])
    found = table(call("predict", finished, "rows.npy", *given, cwd=place).stdout)
    some = [ODD[2], ODD[7], ODD[0]]
    expected = mmalign.load(finished).predict(rows(), top=5, classes=some)
    assert [each["class"] for each in found] == [name for best in expected for name, _ in best]
    assert {each["probability"] for each in found} == {""}
    assert "knows no class 'z'" in refused(
        "predict", finished, "rows.npy", "--among", "z", cwd=place
    )


NAMED = ["ä.png", "b, c", "d"]


def written(folder, kind):
    """The same three rows in each kind of file, and whether it names them."""
    values = rows().astype(np.float32)
    columns = {f"c{place}": values[:, place] for place in range(64)}
    path = folder / f"rows.{kind.partition(' ')[2]}"
    if kind == "named safetensors":
        save_file({"features": values}, path, {"names": json.dumps(NAMED)})
    elif kind == "nameless safetensors":
        save_file({"anything": values}, path)
    elif kind == "columns parquet":
        pq.write_table(pa.table({"name": NAMED, **columns}), path)
    elif kind == "lists parquet":
        pq.write_table(pa.table({"features": list(values), "sample": NAMED}), path)
    else:
        lists = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), 64)
        pq.write_table(pa.table({"features": lists}), path)
    return path


@pytest.mark.parametrize(
    "kind",
    [
        "named safetensors",
        "nameless safetensors",
        "columns parquet",
        "lists parquet",
        "fixed parquet",
    ],
)
def test_any_file_of_rows_is_answered_alike(place, finished, tmp_path, kind):
    np.save(place / "rows.npy", rows().astype(np.float32))
    expected = table(call("predict", finished, "rows.npy", cwd=place).stdout)
    path = written(tmp_path, kind)
    found = table(call("predict", finished, path, cwd=place).stdout)
    named = kind not in ("nameless safetensors", "fixed parquet")
    assert [each["name"] for each in found[::5]] == (NAMED if named else ["", "", ""])
    assert [{**each, "name": ""} for each in found] == expected


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ({"name": NAMED, "text": ["a", "b", "c"]}, "column 'text' holds string"),
        ({"name": NAMED}, "no column of numbers"),
        ({"f": [[1.0, 2.0], [1.0], [3.0]]}, "lists of one length"),
        ({"f": [[1.0], None, [3.0]]}, "lists of one length"),
        ({"a": [1.0, None, 2.0]}, "row 1 holds NaN"),
        ({"a": pa.array([], pa.float32())}, "has no row"),
    ],
    ids=["text", "names alone", "ragged", "no list", "null", "empty"],
)
def test_a_wrong_parquet_file_is_refused(place, finished, made, said):
    pq.write_table(pa.table(made), place / "wrong.parquet")
    assert said in refused("predict", finished, "wrong.parquet", cwd=place)


@pytest.mark.parametrize(
    ("tensors", "metadata", "said"),
    [
        ({"a": rows(), "b": rows()}, {}, "none of them 'features'"),
        ({"features": rows()}, {"names": "[1, 2]"}, "JSON list"),
        ({"features": rows()[0]}, {}, r"(rows, dim) was expected"),
        ({"features": rows() > 0}, {}, "real numbers were expected"),
    ],
    ids=["several", "names", "one axis", "bool"],
)
def test_a_wrong_safetensors_file_is_refused(place, finished, tensors, metadata, said):
    save_file(tensors, place / "wrong.safetensors", metadata)
    assert said in refused("predict", finished, "wrong.safetensors", cwd=place)


@pytest.mark.parametrize("suffix", ["safetensors", "parquet"])
@pytest.mark.parametrize("content", [b"", b"nothing of the kind", pickle.dumps(Trap())])
def test_junk_is_refused_whatever_it_is_called(place, finished, suffix, content):
    (place / f"junk.{suffix}").write_bytes(content)
    assert "not readable as" in refused("predict", finished, f"junk.{suffix}", cwd=place)


def test_json_lines_hold_what_csv_holds(place, finished):
    path = written(place, "named safetensors")
    found = table(call("predict", finished, path, "--top", 2, cwd=place).stdout)
    call("predict", finished, path, "--top", 2, "--out", "best.jsonl", cwd=place)
    lines = [json.loads(line) for line in (place / "best.jsonl").read_text("utf-8").splitlines()]
    assert [line["name"] for line in lines] == NAMED
    for line, first in zip(lines, found[::2], strict=True):
        assert line["row"] == int(first["row"])
        assert line["best"][0]["class"] == first["class"]
        assert line["best"][0]["probability"] == pytest.approx(
            float(first["probability"]), rel=1e-3
        )


def test_a_person_reads_a_table(place, finished):
    path = written(place, "named safetensors")
    said = call("predict", finished, path, "--top", 2, "--format", "table", cwd=place).stdout
    assert said.splitlines()[0].split() == ["row", "class", "score", "%"]
    assert sum(name in said for name in NAMED) == 3


def test_a_file_is_read_in_parts(place, finished, monkeypatch):
    np.save(place / "rows.npy", rows(23))
    whole = call("predict", finished, "rows.npy", cwd=place).stdout
    monkeypatch.setattr(mmalign.inputs, "ROWS", 5)
    parted = call("predict", finished, "rows.npy", cwd=place).stdout
    # The last bits of a product depend on how many rows it has.
    for one, other in zip(table(whole), table(parted), strict=True):
        assert {**one, "score": "", "probability": ""} == {**other, "score": "", "probability": ""}
        assert float(one["score"]) == pytest.approx(float(other["score"]), abs=1e-5)


def test_files_of_other_lengths_and_names_are_refused(place, finished, tmp_path):
    np.save(place / "rows.npy", rows())
    np.save(place / "short.npy", np.ones((2, 24)))
    given = ("image=rows.npy", "attributes=short.npy")
    assert "the same rows" in refused("predict", finished, *given, cwd=place)
    one = {"features": rows().astype(np.float32)}
    save_file(one, place / "a.safetensors", {"names": json.dumps(NAMED)})
    other = {"features": np.ones((3, 24), np.float32)}
    save_file(other, place / "b.safetensors", {"names": json.dumps(NAMED[::-1])})
    given = ("image=a.safetensors", "attributes=b.safetensors")
    assert "row 0 is 'ä.png' in one" in refused("predict", finished, *given, cwd=place)


def test_a_file_that_breaks_in_the_middle_leaves_nothing(place, finished, monkeypatch):
    values = rows(12)
    values[11] = np.nan
    np.save(place / "late.npy", values)
    monkeypatch.setattr(mmalign.inputs, "ROWS", 5)
    said = refused("predict", finished, "late.npy", "--out", "late.csv", cwd=place)
    assert "row 11 holds NaN" in said
    assert not list(place.glob("late.csv*"))


def test_pictures_go_through_the_backbone_of_training(tmp_path):
    # Features of made pictures, under the names of the made data's samples.
    names = [f"train/sample {place:04d}.png" for place in range(54)]
    made_folder(tmp_path, names)
    net = network(tmp_path / "net.onnx")
    fields = (f"file={net}", "size=8", "output=features")
    laid = [part for each in fields for part in ("--set", each)]
    made = ("extract", "train", "f.safetensors", "--backbone", "onnx", *laid)
    assert call(*made, cwd=tmp_path).returncode == 0
    given = ("--set", "modality.image.file=f.safetensors", "--seeds", 1)
    done = call("run", "synthetic", *SMALL, *given, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    model = only(tmp_path / "runs" / "synthetic")
    asked = call("predict", model, "f.safetensors", "--top", 2, cwd=tmp_path)
    found = call("predict", model, "train", "--top", 2, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert found.stdout == asked.stdout
    single = table(call("predict", model, f"{names[7]}", "--top", 1, cwd=tmp_path).stdout)
    assert single[0]["name"] == "sample 0007.png"
    assert single[0]["class"] == table(asked.stdout)[14]["class"]
    (tmp_path / "train" / "broken.png").write_bytes(b"no picture")
    assert "broken.png" in refused("predict", model, "train", cwd=tmp_path)
