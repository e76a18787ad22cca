"""ImageNet's recipe at a reduced size, through the installed program, against brute force."""

import csv
import json
import subprocess
import sys
import tomllib
import typing

import numpy as np
import pytest
from commands import call, installed, only, refused, report_of
from test_imagenet import LISTS, ROOT, TOOL

import mmalign
from mmalign_imagenet.dataset import Split

RECIPE = ROOT / "recipes" / "imagenet.toml"
SPLITS = ROOT / "recipes" / "imagenet_splits.toml"
SEEN, UNSEEN = 40, 60
# Small networks that learn in seconds; what the recipe is about stays as it is.
SMALL = {
    "modality.image.hidden": "[128, 128]",
    "modality.word2vec.hidden": "[128, 128]",
    "method.latent": 16,
    "method.epochs": 40,
    "method.batch": 64,
    "method.lr": 1e-3,
    "method.noise": "independent",
    "method.scale": "std",
    "method.kl": "{ to = 0.25, start = 0, end = 30 }",
    "loss.cross.weight": "{ to = 1.0, start = 5, end = 20 }",
    "loss.distribution.weight": "{ to = 2.0, start = 2, end = 10 }",
    "head.batch": 32,
    "head.most_epochs": 20,
    "run.threads": 1,
}


def sets(folder, **settings):
    """--set of everything, the data set's settings by their own names."""
    given = SMALL | {"dataset.root": folder}
    given |= {f"dataset.{key}": value for key, value in settings.items()}
    return [word for key, value in given.items() for word in ("--set", f"{key}={value}")]


def make(folder, *options):
    words = [sys.executable, TOOL, folder, *options]
    subprocess.run(list(map(str, words)), check=True, capture_output=True)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("imagenet")
    make(folder, "--seen", SEEN, "--unseen", UNSEEN)
    return folder


@pytest.fixture(scope="module")
def ran(data, tmp_path_factory):
    """The recipe with the split "all", as a user runs it: what it said, and its folder."""
    cwd = tmp_path_factory.mktemp("cwd")
    done = installed("run", RECIPE, *sets(data, split="all"), cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr, only(cwd / "runs" / "imagenet")


def asked(data, most=5):
    """The rows that the recipe asks, and their classes: the first five of each unseen class."""
    ids = (data / "unseen.txt").read_text().split()
    rows = [row for row, each in enumerate(ids) if ids[:row].count(each) < most]
    return np.load(data / "unseen.npy")[rows], [ids[row] for row in rows]


def shares(right, classes):
    """Mean over classes, and over rows, of what is right."""
    of_class = [np.mean([r for r, c in zip(right, classes, strict=True) if c == each])
                for each in set(classes)]  # fmt: skip
    return np.mean(of_class), np.mean(right)


def test_the_search_is_the_split_and_the_seen_classes(data, ran):
    lists = json.loads((data / "imagenet-testsets.json").read_text())
    model = mmalign.load(ran[1] / "model")
    assert model.classes == (*lists["train"], *lists["all"])
    report = report_of(ran[1])
    assert (report["seen"], report["unseen"]) == (SEEN, UNSEEN)


def test_rows_of_unseen_classes_alone_are_asked(data, ran):
    unseen = set(json.loads((data / "imagenet-testsets.json").read_text())["all"])
    assert set(report_of(ran[1])["runs"][0]["per_class"]) == unseen
    with (ran[1] / "confusion.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert {line["true"] for line in lines} == unseen
    assert sum(int(line["count"]) for line in lines) == len(asked(data)[1])
    assert {line["predicted"] for line in lines} - unseen, "no seen class is ever answered"


def test_top_1_and_top_5_are_those_of_a_brute_force(data, ran):
    rows, classes = asked(data)
    model = mmalign.load(ran[1] / "model")
    best = model.predict(rows, top=5)
    first = [line[0][0] == true for line, true in zip(best, classes, strict=True)]
    five = [true in [name for name, _ in line] for line, true in zip(best, classes, strict=True)]
    among = model.predict(rows, top=1, classes=sorted(set(classes)))
    alone = [line[0][0] == true for line, true in zip(among, classes, strict=True)]
    found = {key: each["mean"] for key, each in report_of(ran[1])["summary"].items()}
    assert found.keys() == {"U", "T1", "U5", "U_rows", "U5_rows"}
    assert (found["U"], found["U_rows"]) == pytest.approx(shares(first, classes))
    assert (found["U5"], found["U5_rows"]) == pytest.approx(shares(five, classes))
    assert found["T1"] == pytest.approx(shares(alone, classes)[0])


def test_it_is_well_above_chance_and_says_so(ran):
    found = {key: each["mean"] for key, each in report_of(ran[1])["summary"].items()}
    chance = 1 / (SEEN + UNSEEN)
    assert found["U"] > 10 * chance
    assert found["U5"] > 6 * 5 * chance
    assert f"imagenet: U = {100 * found['U']:.1f} %" in ran[0]
    assert "as U, right among the best five" in ran[0]
    assert "warning: reduced: 300 of" in ran[0].replace("\n", " ")


@pytest.mark.parametrize(("split", "count"), [("2-hops", 15), ("3-hops", 30)])
def test_other_splits_run_too_and_find_the_representation_again(data, tmp_path, split, count):
    quick = ("--set", "method.epochs=2", "--set", "head.epochs=1", "--set")
    for each in (split, "all"):
        done = call(
            *("run", RECIPE, *sets(data, split=each), *quick, "head.epochs_unseen_only=1"),
            *("--reuse", "kept"),
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
    reports = [report_of(folder) for folder in sorted((tmp_path / "runs/imagenet").iterdir())]
    assert sorted(report["unseen"] for report in reports) == [count, UNSEEN]
    assert len(list((tmp_path / "kept").iterdir())) == 1


def test_a_sweep_over_the_splits_trains_one_representation_and_draws_its_figure(data, tmp_path):
    done = call(
        *("run", SPLITS, *sets(data), "--workers", 1, "--set", "method.epochs=2"),
        *("--set", 'sweep={"dataset.split"=["2-hops", "3-hops", "all"]}'),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    sweep = tmp_path / "runs" / "imagenet_splits" / "sweep"
    with (sweep / "summary.csv").open() as file:
        lines = {line["dataset.split"]: line for line in csv.DictReader(file)}
    assert list(lines) == ["2-hops", "3-hops", "all"]
    assert all(float(line["U5_mean"]) >= float(line["U_mean"]) for line in lines.values())
    texts = [path.read_text() for path in sweep.rglob("metrics.jsonl")]
    heard = [json.loads(line) for text in texts for line in text.splitlines()]
    for stage in ("representation", "validation"):
        assert sum(each["stage"] == stage for each in heard) == 2, "epochs of one fit"
    assert list(sweep.glob("*.svg")) + list(sweep.glob("*.png")), "no figure"


def test_both_recipes_are_the_same_but_for_the_splits():
    one, other = (tomllib.loads(path.read_text()) for path in (RECIPE, SPLITS))
    assert other.pop("sweep")["dataset.split"] == list(typing.get_args(Split))
    assert other.pop("figure")["y"] == ["U", "U5"]
    assert one["dataset"].pop("split") == "2-hops"
    assert one == other


@pytest.mark.slow
def test_scores_in_parts_give_the_same_report(data, ran, tmp_path, monkeypatch):
    from mmalign import answers

    monkeypatch.setattr(answers.read_parts, "__defaults__", (7 * (SEEN + UNSEEN),))
    done = call("run", RECIPE, *sets(data, split="all"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    again = report_of(only(tmp_path / "runs" / "imagenet"))
    # Products of other sizes add up in another order, which may turn a row that is on the edge.
    for name, each in report_of(ran[1])["summary"].items():
        assert again["summary"][name]["mean"] == pytest.approx(each["mean"], abs=0.02), name


def test_too_few_classes_are_refused_by_the_program(data, tmp_path):
    said = refused("run", RECIPE, *sets(data, split="M5K"), cwd=tmp_path)
    assert "M5K takes 5,000 classes, but 60 of 'all' have features" in said.replace("\n", " ")
    assert "dataset.split" in refused("run", RECIPE, *sets(data, split="m500"), cwd=tmp_path)


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.skipif(not LISTS.exists(), reason="no shared data beside the repository")
def test_the_published_lists_run_at_a_reduced_size(tmp_path):
    make(tmp_path / "data", "--classes", LISTS, "--seen", 50, "--unseen", 80)
    reduced = {"split": "3-hops", "classes": LISTS, "seen_classes": 40, "unseen_classes": 30}
    done = call("run", RECIPE, *sets(tmp_path / "data", **reduced), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = only(tmp_path / "runs" / "imagenet")
    published = json.loads(LISTS.read_text())
    classes = mmalign.load(folder / "model").classes
    assert classes[:40] == tuple(published["train"][:40])
    assert set(classes[40:]) < set(published["3-hops"])
    assert len(classes) == 70
    assert report_of(folder)["summary"]["U"]["mean"] > 5 / 70
