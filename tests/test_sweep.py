"""Sweeps through the installed program: one table, whatever is killed on the way."""

import csv
import io
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pyarrow.parquet
import pytest
from commands import PROGRAM, SMALL, call, installed, refused

BASE = """
[dataset]
use = "synthetic"
seen = 6
validation = 2
unseen = 3
samples = 6

[modality.image]
use = "image"
hidden = [16, 16]

[modality.attributes]
use = "attributes"
hidden = [16, 16]

[method]
use = "aligned-vae"
latent = 4
epochs = 2

[loss.cross]
weight = 1.0

[loss.distribution]
use = "wasserstein"
weight = 1.0

[head]
use = "softmax"
most_epochs = 3
"""
ONE = ("--workers", 1)  # each costs an import of torch
GRID = """
[sweep]
seeds = 2
"method.latent" = [2, 3]
"loss.cross.weight" = [0.0, 1.0]
"""


def write(folder, text, name="mine"):
    (folder / f"{name}.toml").write_text(BASE + text, encoding="utf-8")
    return f"{name}.toml"


def sweep_of(folder, name="mine"):
    return folder / "runs" / name / "sweep"


def table(folder, name="mine"):
    """The rows of results.csv without their times."""
    text = (sweep_of(folder, name) / "results.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def stages(folder):
    """Of every finished job, the stages that it trained."""
    return {
        str(path.parent.relative_to(sweep_of(folder) / "cells").parts[:2]): {
            json.loads(line)["stage"] for line in path.read_text().splitlines()
        }
        for path in sweep_of(folder).glob("cells/*/*/*/*/metrics.jsonl")
    }


def children(pid):
    """The worker processes of a sweep."""
    found = []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        words = Path(f"/proc/{child}/cmdline").read_bytes()
        if b"spawn_main" in words:
            found.append(int(child))
    return found


@pytest.fixture
def started():
    """Starts the installed program, and ends what a failing test left."""
    running = []

    def start(*arguments, cwd):
        command = [PROGRAM, *map(str, arguments)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        running.append(subprocess.Popen(command, cwd=cwd, text=True, **pipes))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.communicate()


def soon(what, seconds=60):
    """Wait until ``what()`` is something."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.02)
    return found


def gone(pid):
    """Whether a process has ended, or nobody but its parent has yet to hear of it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.fixture(scope="module")
def through(tmp_path_factory):
    """A sweep of four cells and two seeds that ran through in two processes."""
    folder = tmp_path_factory.mktemp("through")
    done = installed("run", write(folder, GRID), "--workers", 2, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    (folder / "output.txt").write_text(done.stdout, encoding="utf-8")
    return folder


def test_the_table_has_a_row_for_each_cell_and_seed(through):
    rows = table(through)
    assert [(row["cell"], row["seed"]) for row in rows] == [
        (f"latent={latent}, weight={weight}", seed)
        for latent in "23"
        for weight in "01"
        for seed in "01"
    ]
    assert {row["method.latent"] for row in rows} == {"2", "3"}
    for row in rows:
        folder = sweep_of(through) / row["folder"]
        done = json.loads((folder / "done.json").read_text())
        report = json.loads((folder / done["run"] / "report.json").read_text())
        assert report["seeds"] == [int(row["seed"])]
        assert float(row["H"]) == report["summary"]["H"]["mean"]
        assert report["recipe_table"]["method"]["latent"] == int(row["method.latent"])
        assert not (folder / done["run"] / "model").exists()


def test_parquet_and_summary_say_the_same(through):
    rows = pyarrow.parquet.read_table(sweep_of(through) / "results.parquet").to_pylist()
    assert [row["H"] for row in rows] == [float(row["H"]) for row in table(through)]
    assert {type(row["method.latent"]) for row in rows} == {int}
    text = (sweep_of(through) / "summary.csv").read_text(encoding="utf-8")
    lines = list(csv.DictReader(io.StringIO(text)))
    assert [line["runs"] for line in lines] == ["2"] * 4
    first = [row["H"] for row in rows if row["cell"] == lines[0]["cell"]]
    assert float(lines[0]["H_mean"]) == pytest.approx(sum(first) / 2)


def test_a_sweep_without_terminal_speaks_a_line_for_each_job(through):
    output = (through / "output.txt").read_text(encoding="utf-8")
    assert output.count(" H = ") == 8
    assert "[8/8] " in output
    assert [sign for sign in output if not sign.isprintable() and sign != "\n"] == []
    said = ["results: runs/mine/sweep", "report: runs/mine/sweep/report.html"]
    assert output.splitlines()[-2:] == said


def test_a_finished_sweep_runs_nothing_again_and_tells_the_same(through):
    before = table(through)
    times = {p: p.stat().st_mtime_ns for p in sweep_of(through).glob("cells/**/*")}
    done = call("run", "mine.toml", cwd=through)
    assert "8 of 8 jobs are done already" in done.stdout
    assert {p: p.stat().st_mtime_ns for p in sweep_of(through).glob("cells/**/*")} == times
    assert table(through) == before


def test_a_sweep_that_is_killed_goes_on_to_the_same_table(through, tmp_path, started):
    write(tmp_path, GRID)
    for lines in (1, 2):  # killed twice
        running = started("run", "mine.toml", "--workers", 2, cwd=tmp_path)
        for _ in range(lines):
            assert running.stdout.readline()
        workers = children(running.pid)
        assert workers
        running.kill()
        running.communicate()
        soon(lambda workers=workers: all(map(gone, workers)))
    assert 1 <= len(table(tmp_path)) < 8
    done = installed("run", "mine.toml", "--workers", 2, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "jobs are done already" in done.stdout
    assert table(tmp_path) == table(through)


def test_a_job_whose_worker_is_killed_is_done_once_more(through, tmp_path, started):
    running = started("run", write(tmp_path, GRID), "--workers", 2, cwd=tmp_path)
    assert running.stdout.readline()
    os.kill(soon(lambda: children(running.pid))[0], signal.SIGKILL)
    said, wrong = running.communicate(timeout=120)
    assert running.returncode == 0, wrong
    assert "its process died (exit status -9); once more" in said
    assert table(tmp_path) == table(through)


def test_a_job_that_kills_its_worker_twice_fails_and_the_others_go_on(tmp_path, started):
    text = '[sweep]\n"method.epochs" = [1000000, 2]\n'
    running = started("run", write(tmp_path, text), "--workers", 1, cwd=tmp_path)
    for said in ("once more", "failed: its process died (exit status -9), 2 times"):
        (worker,) = soon(lambda: children(running.pid))
        os.kill(worker, signal.SIGKILL)
        assert said in running.stdout.readline()
    said, wrong = running.communicate(timeout=120)
    assert running.returncode == 2
    assert "error: 1 of 2 jobs failed, the others are done\n  epochs=1000000  seed 0: " in wrong
    assert [row["cell"] for row in table(tmp_path)] == ["epochs=2"]


def test_a_cell_that_cannot_run_is_a_line_and_stops_no_other(tmp_path):
    text = '[sweep]\nseeds = 1\n"method.lr" = [1e30, 1e-3]\n'
    done = call("run", write(tmp_path, text), *ONE, cwd=tmp_path)
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("  ")]
    assert line.startswith("  lr=1e+30  seed 0: ")
    assert "diverged" in line
    assert [row["cell"] for row in table(tmp_path)] == ["lr=0.001"]


def test_an_interrupted_sweep_stops_without_a_traceback(tmp_path, started):
    text = '[sweep]\n"method.epochs" = [1000000, 1000001]\n'
    running = started("run", write(tmp_path, text), "--workers", 2, cwd=tmp_path)
    soon(lambda: len(list(sweep_of(tmp_path).glob("cells/*/seed-0/mine"))) == 2)
    workers = children(running.pid)
    assert len(workers) == 2
    for process in (running.pid, *workers):  # as a terminal does
        os.kill(process, signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert said.strip() == "interrupted; what was written stays"
    assert all(map(gone, workers))


def test_two_sweeps_in_one_folder_are_refused(tmp_path, started):
    text = '[sweep]\n"method.epochs" = [1000000, 1000001]\n'
    running = started("run", write(tmp_path, text), "--workers", 1, cwd=tmp_path)
    soon(lambda: list(sweep_of(tmp_path).glob("cells/*/seed-0/mine")))
    said = refused("run", "mine.toml", cwd=tmp_path)
    assert f"another sweep is at work here (process {running.pid})" in said
    running.kill()  # and its lock is none any more
    running.communicate()
    text = '[sweep]\n"method.epochs" = [1, 2]\n'
    assert call("run", write(tmp_path, text), cwd=tmp_path).returncode == 0


HEADS = """
[sweep]
seeds = 2
"head.epochs" = ["validation", 2, 3]
"protocol.search" = ["all", "unseen"]
"method.latent" = [2, 3]
"""


def test_cells_that_differ_in_head_or_question_share_a_representation(tmp_path):
    done = call("run", write(tmp_path, HEADS), "--workers", 2, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    trained = list(stages(tmp_path).values())
    assert len(trained) == 3 * 2 * 2 * 2
    for stage in ("representation", "validation"):  # of two sizes and two seeds
        assert sum(stage in each for each in trained) == 2 * 2
    assert sum("head.unseen" in each for each in trained) == len(trained)


def test_a_changed_recipe_runs_the_changed_cells_only(tmp_path):
    text = '[sweep]\n"method.latent" = [2, 3]\n'
    call("run", write(tmp_path, text), *ONE, cwd=tmp_path)
    kept = table(tmp_path)
    more = '[report]\ntarget = { H = 50.0 }\n[sweep]\n"method.latent" = [5, 2, 3]\n'
    done = call("run", write(tmp_path, more), *ONE, cwd=tmp_path)
    assert "2 of 3 jobs are done already" in done.stdout
    rows = table(tmp_path)
    assert [row["method.latent"] for row in rows] == ["5", "2", "3"]
    assert {row["published_H"] for row in rows} == {"0.5"}
    assert [row["H"] for row in rows[1:]] == [row["H"] for row in kept]


def test_named_cells_leave_tables_out_and_have_targets(tmp_path):
    text = """
[sweep]
seeds = [5]
[sweep.cells.cada]
"report.target.H" = 52.4
[sweep.cells.da]
without = ["loss.cross"]
report.target.H = 45.8
[sweep.cells.none]
without = ["loss"]
method.epochs = 1
"""
    done = call("run", write(tmp_path, text), *ONE, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = table(tmp_path)
    assert [row["cell"] for row in rows] == ["cada", "da", "none"]
    assert [row["published_H"] for row in rows] == ["0.524", "0.458", ""]
    assert [row["method.epochs"] for row in rows] == ["2", "2", "1"]
    assert [row["seed"] for row in rows] == ["5"] * 3
    assert "H published" in done.stdout
    recipe = next(sweep_of(tmp_path).glob("cells/da-*/seed-5/mine/*/recipe.toml"))
    assert "loss.cross" not in recipe.read_text()


def test_seeds_of_the_command_line_go_before_those_of_the_sweep(tmp_path):
    text = '[sweep]\nseeds = 7\n"method.latent" = [2]\n'
    call("run", write(tmp_path, text), "--seeds", 1, "--set", "method.epochs=1", cwd=tmp_path)
    assert [row["seed"] for row in table(tmp_path)] == ["0"]


def test_a_model_is_kept_where_the_sweep_asks_for_it(tmp_path):
    text = '[sweep]\nmodels = true\n"method.latent" = [2]\n'
    call("run", write(tmp_path, text), *ONE, cwd=tmp_path)
    (model,) = sweep_of(tmp_path).glob("cells/*/*/*/*/model")
    assert call("export", model, "mine", cwd=tmp_path).returncode == 0


def test_without_the_extra_nothing_is_run(tmp_path, monkeypatch):
    monkeypatch.setattr("mmalign.extras.find_spec", lambda name: None)
    write(tmp_path, '[sweep]\n"method.latent" = [2]\n')
    said = refused("run", "mine.toml", cwd=tmp_path)
    assert "pyarrow: not installed; this needs the extra 'sweep': pip install" in said
    assert not (tmp_path / "runs").exists()


def test_a_report_that_is_damaged_is_named(tmp_path):
    write(tmp_path, '[sweep]\n"method.latent" = [2]\n')
    call("run", "mine.toml", *ONE, cwd=tmp_path)
    (report,) = sweep_of(tmp_path).glob("cells/*/*/*/*/report.json")
    report.write_text("{")
    assert str(report.relative_to(tmp_path)) in refused("run", "mine.toml", *ONE, cwd=tmp_path)
    (report.parents[2] / "done.json").write_text("{")  # no end: done again
    assert call("run", "mine.toml", *ONE, cwd=tmp_path).returncode == 0


def test_the_shipped_sweep_runs(tmp_path):
    laid = [*SMALL, *ONE, "--seeds", 1, "--set", "sweep.method={ latent = [2] }"]
    done = call("run", "synthetic_sweep", *laid, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    names = {path.name for path in sweep_of(tmp_path, "synthetic_sweep").iterdir()}
    assert {"results.csv", "results.parquet", "summary.csv", "figure.svg", "figure.png"} <= names


def test_a_mistake_that_stops_every_job_is_said_once(tmp_path):
    rest = BASE[BASE.index("[modality.image]") :] + '[sweep]\n"method.latent" = [2, 3]\n'
    text = f'[dataset]\nuse = "cub"\nroot = "nowhere"\n\n{rest}'
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    said = refused("run", "mine.toml", *ONE, cwd=tmp_path, by=installed)
    assert said.count("no res101.mat") == 1
    assert "latent=2" in said
    assert "latent=3" in said


ELSEWHERE = """
[sweep]
absent = "skip"
"modality.attributes.array" = ["attributes", "nowhere"]
"method.latent" = [2, 3]

[sweep.cells.both]

[sweep.cells.small]
only = { "method.latent" = [2] }
"head.most_epochs" = 2
"report.targets.synthetic" = { H = 12.0 }
"report.targets.cub" = { H = 50.0 }
"""


def test_cells_without_data_are_left_out_and_named(tmp_path):
    write(tmp_path, ELSEWHERE)
    done = call("run", "mine.toml", *ONE, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (
        "left out: 'both, array=nowhere, latent=2', 'both, array=nowhere, latent=3'" in done.stdout
    )
    assert "has no array 'nowhere'" in done.stdout
    with (tmp_path / "runs" / "mine" / "sweep" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["cell"] for row in rows] == [
        f"{name}, array=attributes, latent={latent}"
        for name, latent in (("both", 2), ("both", 3), ("small", 2))
    ]
    # The numbers published of this data set, and no other.
    assert [row["published_H"] for row in rows] == ["", "", "0.12"]


def test_a_costly_cell_may_have_fewer_seeds(tmp_path):
    text = ELSEWHERE.replace('["attributes", "nowhere"]', '["attributes"]')
    text = text.replace("[sweep.cells.small]", "[sweep.cells.small]\nseeds = 2")
    write(tmp_path, text)
    done = call("run", "mine.toml", "--workers", "1", "--seeds", "3", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "runs" / "mine" / "sweep" / "results.csv").open() as file:
        rows = [
            (row["cell"][:5], row["method.latent"], row["seed"]) for row in csv.DictReader(file)
        ]
    expected = [("both,", latent, seed) for latent in "23" for seed in "012"]
    assert sorted(rows) == sorted([*expected, ("small", "2", "0"), ("small", "2", "1")])


def test_a_sweep_without_any_data_is_refused(tmp_path):
    write(tmp_path, ELSEWHERE.replace('["attributes", "nowhere"]', '["nowhere"]'))
    said = refused("run", "mine.toml", *ONE, cwd=tmp_path)
    assert "no cell of this sweep has its data here" in said
    assert "has no array 'nowhere'" in said


def test_absent_data_fails_by_default(tmp_path):
    text = ELSEWHERE.replace('absent = "skip"', "").replace(
        '["attributes", "nowhere"]', '["nowhere"]'
    )
    write(tmp_path, text)
    assert "jobs failed" in refused("run", "mine.toml", *ONE, cwd=tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"skip"', "true", "sweep.absent: 'fail' or 'skip' was expected (got True)"),
        ("[2] }", "[5] }", "sweep.cells.small.only.method.latent: the grid has [2, 3] (got [5])"),
        ("[2] }", "[] }", "sweep.cells.small.only.method.latent: the grid has [2, 3] (got [])"),
        ("[2] }", "2 }", "sweep.cells.small.only: lists of values by key were expected"),
        (
            '"method.latent" = [2] }',
            '"a" = [2] }',
            "sweep.cells.small.only: 'a' is not in the grid",
        ),
        ("only =", "seeds = 0\nonly =", "sweep.cells.small.seeds: how many of them"),
        ("only =", "seeds = [0]\nonly =", "sweep.cells.small.seeds: how many of them"),
        ("{ H = 12.0 }", "{ K = 12.0 }", "report.targets.synthetic.K: no such key"),
    ],
)
def test_wrong_words_for_data_sets_and_grids_are_refused(tmp_path, old, new, message):
    write(tmp_path, ELSEWHERE.replace(old, new))
    assert message in refused("run", "mine.toml", cwd=tmp_path)
