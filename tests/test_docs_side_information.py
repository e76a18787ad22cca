"""What docs/side-information.md says is true: its tables, its files, its names."""

import re
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import source
from test_sentences import encoder as encoder

from mmalign.component import build
from mmalign.plugins import discover
from mmalign_word2vec.words import pieces, readings

PAGE = (Path(__file__).parents[1] / "docs" / "side-information.md").read_text(encoding="utf-8")
BIRDS = replace(source(), classes=("House Wren", "Black Tern", "Red Kite", "a", "b", "c"))


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S)


def tables():
    return [table for each in blocks("toml") for table in tomllib.loads(each)["modality"].values()]


def made(table, **change):
    table = dict(table)
    cls = discover().find("modality", table.pop("use"))
    component, problems = build(cls, table | change, "table")
    assert not problems
    return component


@pytest.mark.parametrize("table", tables(), ids=str)
def test_every_table_is_one_of_a_recipe(table):
    assert made(table).scaler == "unit"


def test_what_the_page_writes_is_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("python")
    said = {}
    exec(code, said)
    (table,) = (each for each in tables() if "file" in each and each["use"] == "sentences")
    view = made(table, missing="mask").view(BIRDS)
    np.testing.assert_array_equal(view.values[:2], said["embeddings"][::-1])
    assert view.mask.tolist() == [True, True, False, False, False, False]


def test_the_pages_texts_are_embedded(tmp_path, monkeypatch, encoder):
    monkeypatch.chdir(tmp_path)
    (text,) = blocks("csv")
    Path("birds.csv").write_text(text)
    (table,) = (each for each in tables() if "texts" in each)
    view = made(table, missing="mask").view(BIRDS)
    assert view.mask.tolist() == [True, True, False, False, False, False]
    assert len(encoder.asked[0]) == 3
    assert "sentence_transformers" in sys.modules


NAMES = dict(re.findall(r"^\| `([^`]+)` \| (\w[^|`]*) \|$", PAGE, re.M))


def test_names_become_the_words_that_the_page_says():
    assert len(NAMES) == 6
    for name, said in NAMES.items():
        words = re.sub(r":.*", "", said).replace(";", ",")
        found = {word for piece in pieces(name) for way in readings(piece) for word in way}
        assert {word.removeprefix("else ") for word in words.split(", ")} <= found, name
        if "else" not in said:
            assert {word.strip() for word in words.split(",")} == set(pieces(name)), name
