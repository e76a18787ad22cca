"""Class names to vectors: names to words, words to vectors, and files that are wrong."""

import gzip
import hashlib
import pickle
import struct
import subprocess
import sys
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import SMALL, call, only, report_of
from helpers import source
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import loadmat

from mmalign import MmalignError, View
from mmalign.component import build
from mmalign.recipe import shipped
from mmalign_word2vec.modality import Word2Vec
from mmalign_word2vec.words import fold, halves, humps, pieces, readings, spellings

SHARED = Path(__file__).parents[2] / "shared" / "data"
GLOVE = SHARED / "glove_100d_subset.txt"
VECTORS = {
    "red": [1, 2, 3],
    "bird": [3, 4, 5],
    "Paris": [0, 0, 1],
    "lean-to": [1, 0, 0],
    "to": [9, 9, 9],
    "cafe": [0, 1, 0],
    "oil": [2, 0, 0],
    "rig": [0, 2, 0],
}


def named(*classes):
    """The tiny data set with these names in place of its six."""
    names = (*classes, *(f"red {place}" for place in range(6 - len(classes))))
    return replace(source(), classes=names)


def glove(path, vectors=VECTORS):
    lines = [" ".join([word, *map(str, row)]) for word, row in vectors.items()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def text(path, vectors=VECTORS, end=""):
    """As word2vec writes it (``end`` is " ") or gensim."""
    lines = [" ".join([word, *map(str, row)]) + end for word, row in vectors.items()]
    header = f"{len(vectors)} {len(next(iter(vectors.values())))}"
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def binary(path, vectors=VECTORS, newline=b"\n"):
    """As word2vec's C program writes it (with a newline after each row) or gensim (without)."""
    dim = len(next(iter(vectors.values())))
    rows = [word.encode() + b" " + struct.pack(f"<{dim}f", *row) for word, row in vectors.items()]
    path.write_bytes(b"%d %d\n" % (len(vectors), dim) + b"".join(row + newline for row in rows))
    return path


def zipped(path, write):
    content = write(path.with_suffix("")).read_bytes()
    path.write_bytes(gzip.compress(content))
    return path


WRITERS = {
    "glove.txt": glove,
    "text.txt": text,
    "text.vec": lambda path: text(path, end=" "),
    "binary.bin": binary,
    "gensim.bin": lambda path: binary(path, newline=b""),
    "glove.txt.gz": lambda path: zipped(path, glove),
    "binary.bin.gz": lambda path: zipped(path, binary),
}


@pytest.mark.parametrize(("name", "write"), WRITERS.items(), ids=WRITERS)
def test_every_format_gives_the_mean_of_the_words(tmp_path, name, write):
    view = Word2Vec(file=write(tmp_path / name)).view(named("001.Red_bird", "bird", "Paris"))
    assert view.level == "class"
    assert view.values[:4].tolist() == [[2, 3, 4], [3, 4, 5], [0, 0, 1], [1, 2, 3]]
    assert view.notes == ()
    assert list(view.hashes) == [name]


def test_what_gensim_writes_is_read(tmp_path):
    from gensim.models import KeyedVectors

    vectors = KeyedVectors(3)
    vectors.add_vectors(list(VECTORS), np.array(list(VECTORS.values()), dtype=np.float32))
    given = named("red", "bird")
    for file, as_binary in (("g.txt", False), ("g.bin", True)):
        vectors.save_word2vec_format(str(tmp_path / file), binary=as_binary)
        assert Word2Vec(file=tmp_path / file).view(given).values[1].tolist() == [3, 4, 5]
    vectors.save(str(tmp_path / "native.kv"))
    with pytest.raises(MmalignError, match=r"a pickle.*KeyedVectors\.load.*save_word2vec_format"):
        Word2Vec(file=tmp_path / "native.kv").view(given)


def test_formats_agree_with_their_names(tmp_path):
    given = named("red")
    for format, write in (("glove", glove), ("text", text), ("binary", binary)):
        view = Word2Vec(file=write(tmp_path / format), format=format).view(given)
        assert view.values[0].tolist() == [1, 2, 3]
    with pytest.raises(MmalignError, match='format = "glove"'):
        Word2Vec(file=tmp_path / "glove", format="text").view(given)


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("RED", [1, 2, 3]),  # lower case
        ("paris", [0, 0, 1]),  # capitalised
        ("lean-to", [1, 0, 0]),  # whole before its parts
        ("Lean-To", [1, 0, 0]),
        ("Red-Bird", [2, 3, 4]),  # its parts
        ("RedBird", [2, 3, 4]),
        ("red+bird", [2, 3, 4]),
        ("Bird's", [3, 4, 5]),
        ("Café", [0, 1, 0]),
        (unicodedata.normalize("NFD", "café"), [0, 1, 0]),
        ("red bird, red", [5 / 3, 8 / 3, 11 / 3]),
        ("bird12", [3, 4, 5]),
    ],
)
def test_names_are_read_as_words(tmp_path, name, row):
    values = Word2Vec(file=glove(tmp_path / "v.txt")).view(named(name)).values
    np.testing.assert_allclose(values[0], row, rtol=1e-6)


def test_the_case_of_the_name_comes_first(tmp_path):
    file = glove(tmp_path / "v.txt", {"Bird": [1, 1], "bird": [2, 2], "red": [0, 1]})
    values = Word2Vec(file=file).view(named("Bird", "bird", "BIRD")).values
    assert values[:3].tolist() == [[1, 1], [2, 2], [2, 2]]


def test_words_without_a_vector_are_counted_and_named(tmp_path):
    view = Word2Vec(file=glove(tmp_path / "v.txt")).view(named("red grebe", "Horned_bird"))
    assert view.values[:2].tolist() == [[1, 2, 3], [3, 4, 5]]
    assert view.notes == ("2 of 8 words have no vector: grebe (red grebe), Horned (Horned_bird)",)


def test_a_class_without_any_known_word_is_an_error_that_says_what_helps(tmp_path):
    file = glove(tmp_path / "v.txt")
    with pytest.raises(MmalignError) as caught:
        Word2Vec(file=file).view(named("110.Geococcyx", "oilrig", "red"))
    said = str(caught.value)
    assert "no word of 2 classes has a vector: '110.Geococcyx' (tried Geococcyx), 'oilrig'" in said
    assert 'aliases = { geococcyx = "..." }' in said
    assert "compounds = true would read oilrig as oil rig" in said
    assert "\n" not in said
    with pytest.raises(MmalignError, match=r"'\+\+' \(tried nothing\)"):
        Word2Vec(file=file).view(named("++"))


def test_aliases_and_compounds(tmp_path):
    file = glove(tmp_path / "v.txt")
    given = named("110.Geococcyx", "oilrig")
    made = Word2Vec(file=file, aliases={"Geococcyx": "red bird"}, compounds=True)
    view = made.view(given)
    assert view.values[:2].tolist() == [[2, 3, 4], [1, 1, 0]]
    assert view.notes == ("1 words were cut in two: oilrig as oil rig",)
    with pytest.raises(MmalignError, match=r"no class's name has 'oilrigg'.*mean 'oilrig'"):
        Word2Vec(file=file, aliases={"oilrigg": "oil"}).view(given)
    with pytest.raises(MmalignError, match="alias of 'oilrig' has no word: '--'"):
        Word2Vec(file=file, aliases={"oilrig": "--"}).view(given)


def test_a_data_sets_own_vectors(tmp_path):
    own = View(np.eye(6, dtype=np.float32), "class")
    given = replace(source(), arrays={"word2vec": own})
    assert Word2Vec().view(given) is own
    with pytest.raises(MmalignError, match="no array 'word2vec'; give a file"):
        Word2Vec().view(source())


def test_a_recipe_is_read_strictly():
    table = {"file": "v.txt", "aliases": {"a": "b c"}, "format": "glove"}
    made, problems = build(Word2Vec, table, "modality.words")
    assert not problems
    assert made == Word2Vec(file=Path("v.txt"), aliases={"a": "b c"}, format="glove")
    _, problems = build(Word2Vec, {"format": "kv", "aliases": {"a": 1}}, "modality.words")
    assert sorted(problem.split(":")[0] for problem in problems) == [
        "modality.words.aliases.a",
        "modality.words.format",
    ]


def test_a_run_reports_the_words_without_a_vector_and_the_file(tmp_path):
    glove(tmp_path / "v.txt", {"seen": [1, 2], "red": [3, 4]})
    recipe = shipped()["synthetic"].read_text(encoding="utf-8")
    words = '[modality.words]\nuse = "word2vec"\nfile = "v.txt"\naliases = { unseen = "red hue" }\n'
    (tmp_path / "words.toml").write_text(f"{recipe}\n{words}")
    done = call("run", "words.toml", *SMALL, "--seeds", 1, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = report_of(only(tmp_path / "runs" / "words"))
    assert "words: 3 of 12 words have no vector: hue (unseen 000)" in " ".join(report["notes"])
    digest = hashlib.sha256((tmp_path / "v.txt").read_bytes()).hexdigest()
    assert report["data"]["words/v.txt"] == digest
    assert "words scaling unit" in report["reading"]


def bytes_of(write, tmp_path):
    return write(tmp_path / "sound").read_bytes()


WRONG = {
    "empty": (lambda path: b"", "is empty"),
    "no numbers": (lambda path: b"<html>\n404\n", "no file of word vectors"),
    "a picture": (lambda path: bytes(range(256)) * 9, "no file of word vectors"),
    "pickle": (lambda path: pickle.dumps({"red": [1.0]}), "a pickle"),
    "zip": (lambda path: b"PK\x03\x04" + bytes(99), "a ZIP archive; unpack it"),
    "NaN": (lambda path: b"red 1 nan 3\nbird 1 2 3\n", "'red' holds NaN or infinity"),
    "infinity": (lambda path: b"bird 1 2 3\nred 1e39 2 3\n", "'red' holds NaN or infinity"),
    "too few": (lambda path: b"bird 1 2 3\nred 1 2\n", "line 2 is not a word and 3 numbers"),
    "no number": (lambda path: b"bird 1 2 3\nred 1 2 x\n", "line 2 is not a word and 3 numbers"),
    "other dim": (lambda path: b"2 4\nbird 1 2 3\nred 1 2 3\n", "line 2 is not a word and 4"),
    "text too short": (lambda path: b"9 3\nbird 1 2 3\nred 1 2 3\n", "says 9 words; it has 2"),
    "text too long": (lambda path: b"1 3\nbird 1 2 3\nred 1 2 3\n", "says 1 words; it has 2"),
    "only a header": (lambda path: b"2 3\n", "cut short"),
    "last line": (lambda path: b"bird 1 2 3\nred 1 2 3\nplover 1", "last line is not"),
    "no words": (lambda path: b"0 3\n", "says 0 words of 3 numbers"),
    "binary cut": (lambda path: bytes_of(binary, path)[:-60], "cut short"),
    "binary cut little": (
        lambda path: bytes_of(lambda at: binary(at, newline=b""), path)[:-1],
        "cut short",
    ),
    "a word without end": (lambda path: b"9 3\n" + b"x" * 300_000, "no word ends within 4096"),
    "a line without end": (
        lambda path: b"bird 1 2 3\nred 1 2 3\n" + b"x" * 1_100_000,
        "line 3 has no end within",
    ),
    "enormous": (lambda path: b"999999999999 300\n\x00\x01", "at hand"),
    "native with other bytes": (lambda path: b"\x80\x04" + bytes(50), "a pickle"),
}


@pytest.mark.parametrize(("content", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_file_is_one_sentence(tmp_path, content, message):
    path = tmp_path / "vectors.bin"
    path.write_bytes(content(tmp_path))
    with pytest.raises(MmalignError, match=message) as caught:
        Word2Vec(file=path).view(named("red"))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["glove.txt.gz", "binary.bin.gz"])
def test_a_compressed_file_cut_short_is_refused(tmp_path, name):
    path = WRITERS[name](tmp_path / name)
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(MmalignError, match=r"cannot be read|cut short"):
        Word2Vec(file=path).view(named("red"))


def test_a_file_that_is_not_there_or_a_folder_is_refused(tmp_path):
    for path in (tmp_path / "nowhere.txt", tmp_path):
        with pytest.raises(MmalignError, match=f"{path}: cannot be read"):
            Word2Vec(file=path).view(named("red"))


@pytest.mark.parametrize("write", [glove, text, binary])
def test_of_a_word_that_is_there_twice_the_first_counts(tmp_path, write):
    path = write(tmp_path / "v", {"red": [1, 2], "bird": [3, 4], "blue": [5, 6]})
    # The same length in every format, so that no count changes.
    path.write_bytes(path.read_bytes().replace(b"bird", b"redx").replace(b"blue", b"redx"))
    view = Word2Vec(file=path).view(named("redx"))
    assert view.values[0].tolist() == [3, 4]
    assert view.notes == ("v has 1 words twice, of which the first counts: redx",)


def test_a_word_with_spaces_inside_is_another_word(tmp_path):
    path = tmp_path / "v.txt"
    path.write_text("bird 1 2\nred house 5 6\nred 3 4\n")
    assert Word2Vec(file=path).view(named("red")).values[0].tolist() == [3, 4]


def test_without_the_extra_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "gensim.models", None)
    with pytest.raises(MmalignError, match=r"extra 'text': pip install 'mmalign\[text\]'"):
        Word2Vec(file=glove(tmp_path / "v.txt")).view(named("red"))


def test_listing_it_imports_neither_gensim_nor_torch():
    code = (
        "import sys, mmalign_word2vec, mmalign_sentences;"
        "mmalign_word2vec.mmalign_modalities(), mmalign_sentences.mmalign_modalities();"
        "assert not {'gensim', 'torch', 'sentence_transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@given(st.text(max_size=40))
def test_any_name_is_taken_apart(name):
    found = pieces(name)
    assert all(found)
    digits = [piece.isdigit() for piece in found]
    assert not any(digits) or all(digits)
    composed = unicodedata.normalize("NFC", name)
    assert sum(map(str.isalpha, "".join(found))) == sum(map(str.isalpha, composed)) or all(digits)
    assert pieces(" ".join(found)) == found
    for piece in found:
        for words in readings(piece):
            assert words
            assert all(words)
        letters = "".join(character for character in piece if character not in "-'")
        assert "".join(readings(piece)[-1]) in (letters, letters[:-1])


@given(st.from_regex(r"[A-Za-zÀ-ÿ]{1,12}", fullmatch=True))
def test_spellings_begin_with_the_word_itself_and_are_apart(word):
    made = spellings(word)
    assert made[0] == word
    assert len(set(made)) == len(made)
    assert fold(word).isascii()
    assert "".join(humps(word)) == word
    for left, right in halves(word):
        assert left + right == word.lower()
        assert min(len(left), len(right)) >= 2


# What no file can know: genera, and a word that is written as two.
ALIASES = {
    "CUB": {"geococcyx": "ground cuckoo", "sayornis": "flycatcher"},
    "SUN": {"thriftshop": "second hand shop"},
}


@pytest.mark.shared
@pytest.mark.skipif(not GLOVE.is_file(), reason="no shared data beside the repository")
@pytest.mark.parametrize("folder", ["CUB", "AWA1", "AWA2", "SUN", "APY"])
def test_every_class_of_the_public_sets_has_a_vector(folder):
    cells = loadmat(SHARED / "xlsa17" / folder / "att_splits.mat")["allclasses_names"].ravel()
    given = replace(
        source(),
        arrays={},
        classes=tuple(str(cell[0]) for cell in cells),
    )
    made = Word2Vec(file=GLOVE, aliases=ALIASES.get(folder, {}), compounds=True)
    view = made.view(given)
    assert view.values.shape == (len(cells), 100)
    assert view.mask.all()
    assert np.linalg.norm(view.values, axis=1).min() > 0
    if folder in ALIASES:
        with pytest.raises(MmalignError, match=f"{len(ALIASES[folder])} class"):
            Word2Vec(file=GLOVE, compounds=True).view(given)


@pytest.mark.shared
@pytest.mark.skipif(not GLOVE.is_file(), reason="no shared data beside the repository")
def test_real_vectors_put_albatrosses_nearer_to_each_other_than_to_wrens():
    given = named("001.Black_footed_Albatross", "Laysan_Albatross", "Marsh_Wren")
    values = Word2Vec(file=GLOVE).view(given).values[:3]
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    assert unit[0] @ unit[1] > unit[0] @ unit[2]
