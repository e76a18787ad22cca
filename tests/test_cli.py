"""The commands end to end: run, check, ls, cp and plugins."""

import csv
import io
import json
import signal
import subprocess
import time
import tomllib

import numpy as np
import pytest
from commands import PROGRAM, SMALL, call, installed, only, refused, report_of

from mmalign.recipe import shipped


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder in which the installed program ran `synthetic`, small, over two seeds."""
    folder = tmp_path_factory.mktemp("place")
    done = installed("run", "synthetic", *SMALL, "--seeds", 2, "--reuse", "fits", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    (folder / "output.txt").write_text(done.stdout, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def finished(place):
    return only(place / "runs" / "synthetic")


def test_a_run_leaves_report_metrics_recipe_and_model(finished):
    names = {str(path.relative_to(finished)) for path in finished.rglob("*") if path.is_file()}
    assert names == {
        *("recipe.toml", "report.json", "metrics.jsonl", "confusion.csv"),
        *("report.html", "figures.json"),
        *("model/model.safetensors", "model/config.json", "model/README.md"),
    }
    lines = (finished / "metrics.jsonl").read_text().splitlines()
    assert {json.loads(line)["stage"] for line in lines} == {
        *("validation", "representation", "head.all", "head.unseen")
    }
    rows = csv.DictReader(io.StringIO((finished / "confusion.csv").read_text(encoding="utf-8")))
    assert sum(int(row["count"]) for row in rows) == 2 * (6 * 1 + 3 * 6)


def test_the_report_holds_the_metrics_over_the_seeds(finished):
    report = report_of(finished)
    for metric in ("S", "U", "H", "T1", "AUSUC"):
        each = report["summary"][metric]
        assert 0 <= each["mean"] <= 1
        assert len(each["runs"]) == 2
        assert each["mean"] == pytest.approx(np.mean(each["runs"]))
        assert each["std"] == pytest.approx(np.std(each["runs"], ddof=1))
        assert each["ci95"] >= 0
    for run in report["runs"]:
        assert run["facts"]["choice"]["validation_H"]
        assert len(run["per_class"]) == 9
    assert report["data"]["synthetic"]


def test_a_run_without_terminal_speaks_plain_lines(place):
    output = (place / "output.txt").read_text(encoding="utf-8")
    assert "seed 0 (1/2)  representation  epoch 2/2  loss" in output
    assert [sign for sign in output if not sign.isprintable() and sign != "\n"] == []
    assert "synthetic: H = " in output


def test_the_resolved_recipe_runs_again_to_the_same_numbers(place, finished):
    assert call("run", finished / "recipe.toml", "--out", "again", cwd=place).returncode == 0
    again = only(place / "again" / "recipe")
    assert report_of(again)["summary"] == report_of(finished)["summary"]
    assert tomllib.loads((again / "recipe.toml").read_text())["head"]["use"] == "softmax"


def test_kept_representations_give_the_same_numbers_without_training(place, finished):
    arguments = ("run", "synthetic", *SMALL, "--seeds", 2, "--reuse", "fits", "--out", "kept")
    done = call(*arguments, cwd=place)
    assert "representation" not in done.stdout
    assert (
        report_of(only(place / "kept" / "synthetic"))["summary"] == (report_of(finished)["summary"])
    )


TEXTS = {name: path.read_text(encoding="utf-8") for name, path in shipped().items()}
MADE_UP = [n for n, t in TEXTS.items() if 'use = "synthetic"' in t and "[sweep]" not in t]


@pytest.mark.parametrize("name", MADE_UP)
def test_a_shipped_recipe_that_needs_no_data_runs(tmp_path, name):
    assert call("run", name, *SMALL, "--seeds", 1, cwd=tmp_path).returncode == 0
    assert 0 <= report_of(only(tmp_path / "runs" / name))["summary"]["H"]["mean"] <= 1


def test_settings_reach_the_run(tmp_path):
    laid = ["head.epochs=5", "head.epochs_unseen_only=1", "protocol.search=unseen"]
    laid += ["run.seeds=[4, 2]", "loss.cross.weight={ to = 1, end = 1 }"]
    laid = [word for setting in laid for word in ("--set", setting)]
    done = call("run", "synthetic", *SMALL, *laid, cwd=tmp_path)
    folder = only(tmp_path / "runs" / "synthetic")
    report = report_of(folder)
    assert report["seeds"] == [4, 2]
    assert set(report["summary"]) == {"T1"}
    assert "synthetic: T1 = " in done.stdout
    table = tomllib.loads((folder / "recipe.toml").read_text())
    assert table["head"]["epochs"] == 5
    assert table["loss"]["cross"]["weight"] == {"to": 1.0, "start": 0.0, "end": 1.0}


def test_a_recipe_may_have_any_file_name(tmp_path):
    name = "a [new] one, :key:"
    (tmp_path / f"{name}.toml").write_text(shipped()["synthetic"].read_text(encoding="utf-8"))
    done = call("run", f"{name}.toml", *SMALL, "--seeds", 1, cwd=tmp_path)
    folder = only(tmp_path / "runs" / name)
    said = folder.relative_to(tmp_path)
    assert done.stdout.splitlines()[-2:] == [
        f"report and model: {said}",
        f"report: {said / 'report.html'}",
    ]


def test_a_recipe_is_copied_and_never_over_another(tmp_path):
    assert call("cp", "synthetic", cwd=tmp_path).stdout.strip() == "synthetic.toml"
    assert call("check", "synthetic.toml", cwd=tmp_path).returncode == 0
    (tmp_path / "synthetic.toml").write_text("mine")
    assert "is there already" in refused("cp", "synthetic", cwd=tmp_path)
    assert (tmp_path / "synthetic.toml").read_text() == "mine"
    assert call("cp", "synthetic", "--force", cwd=tmp_path).returncode == 0
    assert "did you mean 'synthetic'" in refused("cp", "synthetik", cwd=tmp_path)
    assert "cannot write" in refused("cp", "synthetic", "nowhere/mine.toml", cwd=tmp_path)


def test_check_shows_every_wrong_recipe_and_goes_on(tmp_path):
    assert call("check", cwd=tmp_path).stdout.count("ok ") == len(shipped())
    (tmp_path / "wrong.toml").write_text('[dataset]\nuse = "synthetic"\nsen = 3\n')
    done = call("check", "wrong.toml", "synthetic", cwd=tmp_path)
    assert done.returncode == 2
    assert "dataset.sen: no such key; did you mean 'seen'?" in done.stdout
    assert "ok     synthetic" in done.stdout


def test_ls_and_plugins_list_what_there_is(tmp_path):
    everything = call("ls", cwd=tmp_path).stdout
    for name in ("synthetic", "cub_gzsl", "aligned-vae", "wasserstein", "softmax", "synthetic"):
        assert name in everything
    assert "epochs_unseen_only" in call("ls", "softmax", cwd=tmp_path).stdout
    assert "synthetic" not in call("ls", "head", cwd=tmp_path).stdout
    assert "did you mean 'softmax'" in refused("ls", "softmx", cwd=tmp_path)
    assert "method:aligned-vae" in call("plugins", cwd=tmp_path).stdout


def test_without_the_data_a_run_says_where_what_and_what_runs_now(tmp_path):
    message = refused("run", "cub_gzsl", cwd=tmp_path, by=installed)
    for said in (str(tmp_path), "res101.mat", "att_splits.mat", "mmalign run quickstart"):
        assert said in message
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "synthetik"), "did you mean 'synthetic'"),
        (("run", "~no-such-user/mine.toml"), "no recipe"),
        (("run", "long" * 100), "no recipe"),
        (("run", "synthetic", "--device", "nonsense"), "run.device"),
        (("run", "synthetic", "--device", "meta"), "run.device"),
        (("run", "synthetic", "--seeds", "0"), "run.seeds"),
        (("run", "synthetic", "--set", "head.epohcs=3"), "did you mean 'epochs'"),
        (("run", "synthetic", "--out", "file/below"), "cannot make"),
        (("run", "synthetic", "--reuse", "file"), "--reuse: cannot make file"),
        (("run", "synthetic", *SMALL, "--set", "method.lr=1e30"), "diverged"),
        (("run", "synthetic", *SMALL, "--set", "modality.image.array=x"), "no array 'x'"),
    ],
)
def test_what_a_user_can_mend_is_one_message_and_status_2(tmp_path, arguments, said):
    (tmp_path / "file").write_text("")
    assert said in refused(*arguments, cwd=tmp_path)
    assert (tmp_path / "file").read_text() == ""


def test_a_wrong_call_is_status_2_without_a_traceback(tmp_path):
    for arguments in (("run",), ("run", "synthetic", "--sed", 1), ("nonsense",)):
        done = call(*arguments, cwd=tmp_path)
        assert done.returncode == 2
        assert "Error: " in done.stderr


def test_an_interrupted_run_stops_without_a_traceback(tmp_path):
    running = subprocess.Popen(
        [PROGRAM, "run", "synthetic", "--set", "method.epochs=100000"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert running.stdout is not None
    running.stdout.readline()  # the first epoch has ended
    time.sleep(0.2)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    folder = only(tmp_path / "runs" / "synthetic").relative_to(tmp_path)
    assert said.splitlines() == [
        f"go on with: mmalign run {folder} --resume",
        "interrupted; what was written stays",
    ]


def test_a_reader_that_goes_away_is_no_error(tmp_path):
    for reader in ("head -n 1", "true"):
        done = subprocess.run(
            f"'{PROGRAM}' ls | {reader}", shell=True, cwd=tmp_path, capture_output=True, text=True
        )
        assert done.stderr == ""
