"""The commands end to end, through the installed program."""

import csv
import io
import json
import re
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest

import mmalign
from mmalign.recipe import shipped

PROGRAM = Path(sys.executable).with_name("mmalign")
SMALL = [
    *("--set", "dataset.samples=6", "--set", "dataset.seen=6", "--set", "dataset.validation=2"),
    *("--set", "dataset.unseen=3", "--set", "method.epochs=2", "--set", "head.most_epochs=3"),
]


def call(*arguments, cwd):
    return subprocess.run(
        [PROGRAM, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=120
    )


def refused(*arguments, cwd):
    """The message of a call that must be refused."""
    done = call(*arguments, cwd=cwd)
    assert done.returncode == 2, done
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error: ")
    return done.stderr


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder in which the quickstart ran, small, over two seeds."""
    folder = tmp_path_factory.mktemp("place")
    done = call("run", "quickstart", *SMALL, "--seeds", 2, "--reuse", "fits", cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "output.txt").write_text(done.stdout, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def finished(place):
    (folder,) = (place / "runs" / "quickstart").iterdir()
    return folder


def report_of(folder):
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


def test_a_run_leaves_report_metrics_recipe_and_model(finished):
    names = {str(path.relative_to(finished)) for path in finished.rglob("*") if path.is_file()}
    assert names == {
        *("recipe.toml", "report.json", "metrics.jsonl", "confusion.csv"),
        *("model/model.safetensors", "model/config.json", "model/README.md"),
    }
    report = report_of(finished)
    for metric in ("S", "U", "H", "T1", "AUSUC"):
        each = report["summary"][metric]
        assert 0 <= each["mean"] <= 1
        assert each["mean"] == pytest.approx(np.mean(each["runs"]))
        assert each["std"] == pytest.approx(np.std(each["runs"], ddof=1))
        assert each["ci95"] >= 0
    for run in report["runs"]:
        assert run["facts"]["choice"]["validation_H"]
        assert len(run["per_class"]) == 9
    assert report["data"]["synthetic"]
    lines = (finished / "metrics.jsonl").read_text().splitlines()
    assert {json.loads(line)["stage"] for line in lines} == {
        *("validation", "representation", "head.all", "head.unseen")
    }
    rows = csv.DictReader(io.StringIO((finished / "confusion.csv").read_text(encoding="utf-8")))
    assert sum(int(row["count"]) for row in rows) == 2 * (6 * 1 + 3 * 6)


def test_a_run_without_terminal_speaks_plain_lines(place):
    output = (place / "output.txt").read_text(encoding="utf-8")
    assert "seed 0 (1/2)  representation  epoch 2/2  loss" in output
    assert "\x1b" not in output
    assert "\r" not in output
    assert "quickstart: H = " in output


def test_the_resolved_recipe_runs_again_to_the_same_numbers(place, finished):
    done = call("run", finished / "recipe.toml", "--out", "again", cwd=place)
    assert done.returncode == 0, done.stderr
    (again,) = (place / "again" / "recipe").iterdir()
    assert report_of(again)["summary"] == report_of(finished)["summary"]
    assert tomllib.loads((again / "recipe.toml").read_text())["head"]["use"] == "softmax"


def test_kept_representations_give_the_same_numbers_without_training(place, finished):
    arguments = ("run", "quickstart", *SMALL, "--seeds", 2, "--reuse", "fits", "--out", "kept")
    done = call(*arguments, cwd=place)
    assert "representation" not in done.stdout
    (kept,) = (place / "kept" / "quickstart").iterdir()
    assert report_of(kept)["summary"] == report_of(finished)["summary"]


def test_prediction_writes_the_scores_of_the_model(place, finished):
    rows = np.random.default_rng(0).random((3, 64))
    np.save(place / "rows.npy", rows)
    done = call("predict", finished, "rows.npy", "--top", 2, cwd=place)
    found = list(csv.DictReader(io.StringIO(done.stdout)))
    expected = mmalign.load(finished).predict(rows, top=2)
    assert [(int(row["row"]), int(row["rank"]), row["class"]) for row in found] == [
        (i, j + 1, name) for i, best in enumerate(expected) for j, (name, _) in enumerate(best)
    ]
    assert float(found[0]["score"]) == pytest.approx(expected[0][0][1], rel=1e-5)
    call("predict", finished, "rows.npy", "--top", 2, "--out", "best.csv", cwd=place)
    assert (place / "best.csv").read_text() == done.stdout


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.zeros((2, 63)), "63 numbers a row"),
        (np.full((2, 64), np.nan), "row 0 holds NaN"),
        (np.zeros((0, 64)), r"\(rows, dim\) was expected"),
        (np.zeros((1, 2, 64)), r"\(rows, dim\) was expected"),
        (np.array([["a"] * 64]), "real numbers were expected"),
        (np.array([{"a": 1}], dtype=object), "not readable as .npy numbers"),
    ],
    ids=["width", "NaN", "empty", "three axes", "text", "pickled"],
)
def test_wrong_features_are_refused(place, finished, values, said):
    np.save(place / "wrong.npy", values, allow_pickle=True)
    message = refused("predict", finished, "wrong.npy", cwd=place)
    assert re.search(said, message), message


def test_files_that_are_missing_or_no_array_are_refused(place, finished):
    (place / "text.npy").write_text("no array")
    for name in ("text.npy", "nowhere.npy", "."):
        assert "not readable" in refused("predict", finished, name, cwd=place)
    assert "no model at" in refused("predict", "nowhere", "text.npy", cwd=place)


def test_export_copies_a_whole_model_once(place, finished):
    assert call("export", finished, "mine", cwd=place).returncode == 0
    assert mmalign.load(place / "mine").classes == mmalign.load(finished).classes
    assert "is there already" in refused("export", finished, "mine", cwd=place)
    assert "no model at" in refused("export", "nowhere", "other", cwd=place)


def test_a_recipe_is_copied_and_never_over_another(tmp_path):
    assert call("cp", "quickstart", cwd=tmp_path).stdout.strip() == "quickstart.toml"
    (tmp_path / "quickstart.toml").write_text("mine")
    assert "is there already" in refused("cp", "quickstart", cwd=tmp_path)
    assert (tmp_path / "quickstart.toml").read_text() == "mine"
    assert call("cp", "quickstart", "--force", cwd=tmp_path).returncode == 0
    assert "did you mean 'quickstart'" in refused("cp", "quikstart", cwd=tmp_path)


def test_check_shows_every_wrong_recipe_and_goes_on(tmp_path):
    assert call("check", cwd=tmp_path).stdout.count("ok ") == len(shipped())
    (tmp_path / "wrong.toml").write_text('[dataset]\nuse = "synthetic"\nsen = 3\n')
    done = call("check", "wrong.toml", "quickstart", cwd=tmp_path)
    assert done.returncode == 2
    assert "dataset.sen: no such key; did you mean 'seen'?" in done.stdout
    assert "ok     quickstart" in done.stdout


def test_ls_and_plugins_list_what_there_is(tmp_path):
    everything = call("ls", cwd=tmp_path).stdout
    for name in ("quickstart", "cub_gzsl", "aligned-vae", "wasserstein", "softmax", "synthetic"):
        assert name in everything
    assert "epochs_unseen_only" in call("ls", "softmax", cwd=tmp_path).stdout
    assert "synthetic" not in call("ls", "head", cwd=tmp_path).stdout
    assert "did you mean 'softmax'" in refused("ls", "softmx", cwd=tmp_path)
    assert "method:aligned-vae" in call("plugins", cwd=tmp_path).stdout


def test_without_the_data_a_run_says_where_what_and_what_runs_now(tmp_path):
    message = refused("run", "cub_gzsl", cwd=tmp_path)
    for said in (str(tmp_path), "res101.mat", "att_splits.mat", "mmalign run quickstart"):
        assert said in message
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "quikstart"), "did you mean 'quickstart'"),
        (("run", "quickstart", "--device", "nonsense"), "run.device"),
        (("run", "quickstart", "--set", "head.epohcs=3"), "did you mean 'epochs'"),
        (("run", "quickstart", "--out", "file/below"), "cannot make"),
        (("run", "quickstart", *SMALL, "--set", "method.lr=1e30"), "diverged"),
    ],
)
def test_what_a_user_can_mend_is_one_message_and_status_2(tmp_path, arguments, said):
    (tmp_path / "file").write_text("")
    assert said in refused(*arguments, cwd=tmp_path)


def test_an_interrupted_run_stops_without_a_traceback(tmp_path):
    running = subprocess.Popen(
        [PROGRAM, "run", "quickstart", "--set", "method.epochs=100000"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert running.stdout is not None
    running.stdout.readline()  # the first epoch has ended
    time.sleep(0.2)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert said.strip() == "interrupted; what was written stays"


def test_a_reader_that_goes_away_is_no_error(tmp_path):
    done = subprocess.run(
        f"'{PROGRAM}' ls | head -n 1", shell=True, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stderr == ""
