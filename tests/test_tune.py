"""The search: on the validation protocol alone, resumed, its best recipe whole."""

import csv
import io
import tomllib

import numpy as np
import pytest
from commands import call, installed, only, refused, report_of
from test_sweep import BASE, soon, started  # noqa: F401 (a fixture)
from test_xlsa17 import write as write_cub

from mmalign.errors import RecipeError
from mmalign.plugins import discover
from mmalign.recipe import read
from mmalign.space import read_space

REGISTRY = discover()
TUNE = """
[tune]
metric = "U"
"method.latent" = [2, 3]
"method.lr" = { low = 1e-4, high = 1e-2, log = true }
"head.seen" = { low = 10, high = 30, step = 10 }
"""


def write(folder, text=TUNE, base=BASE):
    (folder / "mine.toml").write_text(base + text, encoding="utf-8")
    return "mine.toml"


def trials(folder):
    text = (folder / "runs" / "mine" / "tune" / "trials.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(io.StringIO(text)))


def best(folder):
    return folder / "runs" / "mine" / "tune" / "best.toml"


@pytest.fixture(scope="module")
def through(tmp_path_factory):
    """A search of eleven trials in one process: the sampler's own ten, and one that it learnt."""
    folder = tmp_path_factory.mktemp("through")
    arguments = ("tune", write(folder), "--trials", 11, "--workers", 1)
    done = installed(*arguments, "--set", "run.seeds=2", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return folder


def test_every_trial_lies_in_the_space(through):
    rows = trials(through)
    assert [row["trial"] for row in rows] == [str(number) for number in range(11)]
    assert {row["method.latent"] for row in rows} == {"2", "3"}
    assert {row["head.seen"] for row in rows} <= {"10", "20", "30"}
    rates = [float(row["method.lr"]) for row in rows]
    assert all(1e-4 <= rate <= 1e-2 for rate in rates)
    assert len(set(rates)) == len(rates)
    assert all(0 <= float(row["U_mean"]) <= 1 and row["U_std"] for row in rows)


def test_the_best_recipe_is_whole_and_asks_what_the_recipe_asked(through):
    text = best(through).read_text(encoding="utf-8")
    row = max(trials(through), key=lambda row: float(row["U_mean"]))
    table = tomllib.loads(text)
    assert table["protocol"]["split"] == "test"
    assert table["method"]["latent"] == int(row["method.latent"])
    assert table["method"]["lr"] == float(row["method.lr"])
    assert "tune" not in table
    assert text.startswith("# mmalign run runs/mine/tune/best.toml\n")
    assert call("run", best(through), "--out", "again", cwd=through).returncode == 0
    report = report_of(only(through / "again" / "best"))
    assert report["seeds"] == [0, 1]


def test_the_value_of_a_trial_is_that_of_the_recipe_on_the_validation_protocol(through):
    row = max(trials(through), key=lambda row: float(row["U_mean"]))
    laid = ("--set", "protocol.split=validation", "--out", "asked")
    call("run", best(through), *laid, cwd=through)
    summary = report_of(only(through / "asked" / "best"))["summary"]
    assert summary["U"]["mean"] == pytest.approx(float(row["U_mean"]), abs=1e-12)
    assert summary["U"]["std"] == pytest.approx(float(row["U_std"]), abs=1e-12)


@pytest.mark.slow
def test_a_search_that_is_killed_goes_on_to_the_same_trials(through, tmp_path, started):  # noqa: F811
    write(tmp_path)
    arguments = ("tune", "mine.toml", "--trials", 11, "--workers", 1, "--set", "run.seeds=2")
    running = started(*arguments, cwd=tmp_path)
    for _ in range(5):  # two trials, and half of the third
        assert running.stdout.readline()
    soon(lambda: list((tmp_path / "runs" / "mine" / "tune" / "trials").glob("*/seed-1/mine")))
    running.kill()
    running.communicate()
    done = installed(*arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "jobs are done already" in done.stdout
    one, two = trials(through), trials(tmp_path)
    for row in (*one, *two):
        del row["trial"]  # the trial that was killed has left a gap
    assert one == two


@pytest.mark.slow
def test_earlier_trials_count_and_another_space_begins_anew(tmp_path):
    assert call("tune", write(tmp_path), "--trials", 1, cwd=tmp_path).returncode == 0
    done = call("tune", "mine.toml", "--trials", 2, cwd=tmp_path)
    assert "1 of 2 jobs are done already" in done.stdout
    assert len(trials(tmp_path)) == 2
    write(tmp_path, TUNE.replace("[2, 3]", "[2, 4]"))
    assert "already" not in call("tune", "mine.toml", "--trials", 1, cwd=tmp_path).stdout


def test_nothing_of_the_test_set_has_a_part_in_a_trial(tmp_path):
    """The same trials to the last bit, whatever stands in the test rows."""
    base = BASE.replace("validation = 2", "").replace("unseen = 3", "").replace("samples = 6", "")
    base = base.replace('use = "synthetic"\nseen = 6', 'use = "cub"\nroot = "data"')
    found = []
    for name in ("one", "two"):

        def scramble(image, split, name=name):
            features = np.random.default_rng(3).random(image["features"].shape)
            asked = np.concatenate([split["test_seen_loc"], split["test_unseen_loc"]]).ravel() - 1
            if name == "two":
                features[:, asked] = 1e6 * np.random.default_rng(4).normal(size=(3, len(asked)))
            image["features"] = features

        (tmp_path / name).mkdir()
        write_cub(tmp_path / name / "data", scramble)
        arguments = ("tune", write(tmp_path / name, base=base), "--trials", 3, "--workers", 1)
        done = call(*arguments, cwd=tmp_path / name)
        assert done.returncode == 0, done.stderr
        found.append(trials(tmp_path / name))
    assert found[0] == found[1]
    assert any(float(row["U_mean"]) > 0 for row in found[0])


def test_trials_that_cannot_run_are_kept_with_their_reason(tmp_path):
    text = '[tune]\n"method.lr" = [1e-3, 1e30]\n'
    done = call("tune", write(tmp_path, text), "--trials", 6, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    failed = [row for row in trials(tmp_path) if row["failed"]]
    assert 0 < len(failed) < 6
    assert all("diverged" in row["failed"] and row["method.lr"] == "1e+30" for row in failed)


def test_a_search_of_the_head_trains_a_representation_once(tmp_path):
    text = '[tune]\n"head.seen" = [10, 20, 30]\n"head.lr" = { low = 1e-4, high = 1e-2 }\n'
    done = call("tune", write(tmp_path, text), "--trials", 3, "--workers", 2, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    fits = list((tmp_path / "runs" / "mine" / "tune" / "fits").glob("*.safetensors"))
    assert len(fits) == 2  # with that of the head's own validation


def problems(tmp_path, text):
    with pytest.raises(RecipeError) as caught:
        read_space(read(str(tmp_path / write(tmp_path, text)), REGISTRY), REGISTRY)
    return list(caught.value.problems)


def test_every_mistake_of_a_search_at_once(tmp_path):
    text = """
[tune]
metric = "HH"
"protocol.split" = ["test", "validation"]
"dataset.seed" = [1, 2]
"method.latent" = 3
"method.batch" = [2, 2]
"method.lr" = { low = 1, high = 0.1 }
"head.seen" = { low = 0, high = 3, log = true }
"head.unseen" = { low = 1, hihg = 3 }
"method.latnt" = [1, 2]
loss.cross.weight = { low = -2.0, high = 1.0 }
"""
    starts = [
        "tune.metric: no metric 'HH'; ",
        "tune: 'protocol.split' cannot be searched",
        "tune: 'dataset.seed' cannot be searched",
        "tune.method.latent: two values or more, or low and high, expected (got 3)",
        "tune.method.batch: each value once",
        "tune.method.lr: low (1) must be below high (0.1)",
        "tune.head.seen: log: needs low above 0, and no step",
        "tune.head.unseen.",
        "tune.head.unseen.",
        "tune, method.latnt = 1: method.latnt: no such key; did you mean 'latent'?",
        "tune, method.latnt = 2: method.latnt: no such key; did you mean 'latent'?",
        "tune, loss.cross.weight = -2.0: loss.cross.weight: ",
    ]
    for line, start in zip(problems(tmp_path, text), starts, strict=True):
        assert line.startswith(start), line


@pytest.mark.parametrize(
    ("text", "arguments", "said"),
    [
        ("", (), "'mine' has no [tune]"),
        ("[tune]\n", (), "tune: no key to search"),
        (TUNE, ("--set", "method.lr=1e30", "--set", 'tune={ "head.seen" = [1, 2] }'), "diverged"),
        (TUNE, ("--set", "protocol.search=unseen"), "'U' is not measured here; known: T1"),
        (TUNE, ("--timeout", 0), "no trial succeeded; --timeout came before the first ended"),
        (TUNE, ("--trials", 1, "--out", "file/below"), "cannot make"),
    ],
)
def test_what_a_user_can_mend_in_a_search(tmp_path, text, arguments, said):
    (tmp_path / "file").write_text("")
    laid = ("--trials", 2, *arguments)
    assert said in refused("tune", write(tmp_path, text), *laid, cwd=tmp_path)


def test_a_file_that_is_no_study_is_named(tmp_path):
    folder = tmp_path / "runs" / "mine" / "tune"
    folder.mkdir(parents=True)
    (folder / "study.db").write_bytes(b"no database at all" * 100)
    assert "study.db: cannot be read" in refused("tune", write(tmp_path), cwd=tmp_path)
