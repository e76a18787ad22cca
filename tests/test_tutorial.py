"""docs/tutorial.md is done from top to bottom, and its outputs are compared with real ones."""

import csv
import io
import re
import shlex
import shutil
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import call

from mmalign.recipe import shipped
from mmalign_emoji.dataset import Emoji

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.M | re.S)
# Another processor rounds otherwise, and training enlarges that as another seed would: S of the
# quickstart's seeds differs by 2 points, U and H by 1.
POINTS = {"S": 4.0, "U": 2.5, "H": 3.0, "T1": 2.5, "AUSUC": 1.5}
SCORE = 1.0  # scores of one class, of models that are as far apart
TINY = (
    *("method.epochs=1", "method.latent=4", "method.batch=1024", "head.epochs=1"),
    *("head.epochs_unseen_only=1", "head.seen=1", "head.unseen=2", "head.unseen_only=2"),
    *("modality.image.hidden=[8, 8]", "modality.sentences.hidden=[8, 8]"),
)
SMALL = [word for setting in TINY for word in ("--set", setting)]


def written(language):
    return [text for each, text in BLOCKS if each == language]


def commands():
    return [line for text in written("bash") for line in text.splitlines()]


def opened(word, folder):
    return [str(path) for path in folder.glob(word)] if "*" in word else [word]


def follow(folder, monkeypatch, small=False):
    """Do the page in this folder; pairs of a block of output and what was printed."""
    monkeypatch.chdir(folder)
    shutil.copytree(ROOT / "examples" / "new-emoji", folder / "examples" / "new-emoji")
    said, pairs = "", []
    for language, text in BLOCKS:
        if language == "python":
            exec(text, {})
        elif language == "csv" and "lighthouse" in text:
            (folder / "mine.csv").write_text(text, encoding="utf-8")
        elif language == "toml":
            edit(folder / "mine.toml", text)
        elif language == "text":
            pairs.append((text, said))
        elif language == "bash":
            for line in text.splitlines():
                program, *words = shlex.split(line)
                if program != "mmalign":
                    continue  # the environment: this one
                words = [each for word in words for each in opened(word, folder)]
                words += SMALL if small and words[0] == "run" else ()
                done = call(*words, cwd=folder)
                said = done.stdout + done.stderr
                assert done.returncode == (2 if "unsen" in line else 0), said
    return pairs


def edit(recipe, change):
    """Give the keys of a table the values that the page shows."""
    text = recipe.read_text(encoding="utf-8")
    for key, value in re.findall(r"^(\w+) = (.*)$", change, re.M):
        text, count = re.subn(rf"^{key} = .*$", f"{key} = {value}", text, flags=re.M)
        assert count == 1, key
    recipe.write_text(text, encoding="utf-8")


def test_quoted_files_and_the_picture_are_as_they_are(tmp_path, monkeypatch):
    assert written("csv")[0] == (ROOT / "examples/new-emoji/new.csv").read_text(encoding="utf-8")
    pictures = pytest.importorskip("PIL.Image")
    monkeypatch.chdir(tmp_path)
    (code,) = written("python")
    exec(code, {})
    shown = np.asarray(pictures.open(ROOT / "docs" / "figures" / "lighthouse.png").convert("RGB"))
    drawn = np.asarray(pictures.open(tmp_path / "lighthouse.png").convert("RGB"))
    np.testing.assert_array_equal(drawn, shown)


def test_what_is_installed_is_what_there_is():
    install = next(line for line in commands() if line.startswith("pip"))
    (extras,) = re.findall(r"'\.\[(.*)\]'", install)
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for extra in extras.split(","):
        assert re.search(rf"^{extra} = \[", project, re.M)
    assert "constraints.txt" in install
    assert "quickstart" in shipped()


class Encoder:
    """Stands in for the sentence model: 384 numbers that depend on the text alone."""

    def __init__(self, *_, **__):
        self.max_seq_length = 256

    def encode(self, texts, **_):
        seeds = [sum(text.encode()) for text in texts]
        return np.stack([np.random.default_rng(seed).normal(size=384) for seed in seeds])


@pytest.fixture
def stand_in(monkeypatch, tmp_path):
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


@pytest.fixture
def few(monkeypatch):
    """Every twelfth class of the data set: most of a small run's time goes with their number."""
    whole = Emoji().load()
    kept = np.arange(0, len(whole.classes), 12)
    rows = np.flatnonzero(np.isin(whole.labels, kept))
    splits = {
        name: np.flatnonzero(np.isin(rows, getattr(whole.splits, name)))
        for name in ("train", "test_seen", "test_unseen")
    }
    validating = np.flatnonzero(np.isin(kept, whole.splits.validation_classes))
    taken = {"sample": rows, "class": kept}
    cut = replace(
        whole,
        classes=tuple(whole.classes[index] for index in kept),
        labels=np.searchsorted(kept, whole.labels[rows]),
        arrays={name: view.take(taken[view.level]) for name, view in whole.arrays.items()},
        splits=replace(whole.splits, validation_classes=validating, **splits),
        texts={},
        samples=tuple(whole.samples[row] for row in rows),
    )
    monkeypatch.setattr(Emoji, "load", lambda self: cut)


@pytest.mark.usefixtures("stand_in", "few")
def test_page_can_be_followed_at_small_size(tmp_path, monkeypatch):
    """Every command in its order, one epoch, and a stand-in for the sentence model."""
    pytest.importorskip("efficientnet_lite_pytorch")
    for shown, said in follow(tmp_path, monkeypatch, small=True):
        if shown.startswith("row,"):  # the same rows and ranks; what it says differs
            key = [(row["name"], row["rank"]) for row in rows_of(shown)]
            assert key == [(row["name"], row["rank"]) for row in rows_of(said)]
        elif metrics_of(shown):
            assert metrics_of(shown).keys() <= metrics_of(said).keys()
        else:
            assert [line for line in uncounted(shown) if line not in uncounted(said)] == []


@pytest.mark.slow
def test_page_shows_what_comes_out(tmp_path, monkeypatch):
    pytest.importorskip("sentence_transformers", reason="needs the extra 'minilm'")
    pytest.importorskip("efficientnet_lite_pytorch")
    monkeypatch.setenv("MMALIGN_CACHE", str(tmp_path / "cache"))
    compared = 0
    for shown, said in follow(tmp_path, monkeypatch):
        if shown.startswith("row,"):
            compare_answers(shown, said)
        elif metrics_of(shown):
            compare_metrics(metrics_of(shown), metrics_of(said))
        else:
            assert [line for line in shown.splitlines() if line not in said] == []
        compared += 1
    assert compared == len(written("text"))


def uncounted(text):
    return re.sub(r"\d+", "N", text).splitlines()


def rows_of(text):
    start = text.index("row,name,rank")
    lines = [line for line in text[start:].splitlines() if line.count(",") == 5]
    return list(csv.DictReader(io.StringIO("\n".join(lines))))


def metrics_of(text):
    """(system, metric) to points, of a run's lines and of a table of systems."""
    found = {("", m): float(v) for m, v in re.findall(r"^(\w+) +(\d+\.\d)  ", text, re.M)}
    head = re.search(r"^system +(S .*)$", text, re.M)
    for line in re.findall(r"^(?:quickstart|mine) .*$", text, re.M) if head else ():
        system, *values = line.split()
        named = zip(head[1].split(), values, strict=False)
        found |= {(system, name): float(v) for name, v in named if name in POINTS}
    return found


def compare_metrics(shown, said):
    for (system, metric), value in shown.items():
        assert said[system, metric] == pytest.approx(value, abs=POINTS[metric]), (system, metric)


def compare_answers(shown, said):
    """Scores within a tolerance; of each picture's best answers all but one picture's the same."""
    there = {(row["name"], row["class"]): float(row["score"]) for row in rows_of(said)}
    best = {row["name"]: row["class"] for row in rows_of(said) if row["rank"] == "1"}
    rows = rows_of(shown)
    wrong = {
        row["name"] for row in rows if row["rank"] == "1" and best[row["name"]] != row["class"]
    }
    # All the same where the page was written; README's test allows one miss of three as well.
    assert len(wrong) <= 1
    near = [
        abs(there[row["name"], row["class"]] - float(row["score"])) <= SCORE
        for row in rows
        if (row["name"], row["class"]) in there
    ]
    assert len(near) >= len(rows) / 2
    assert all(near)
