"""Several seeds in processes of their own: what one after the other would come to."""

import io
import json
import os
import signal

import pytest
from commands import SMALL, call, only, refused, report_of
from rich.console import Console
from test_sweep import BASE, children, soon, started  # noqa: F401 (a fixture)

from mmalign import bundle, hookimpl
from mmalign.executors import Executor, site
from mmalign.plugins import discover
from mmalign.recipe import read
from mmalign.run import run
from mmalign.seeds import run_seeds
from mmalign.unfinished import UNFINISHED

FILES = (
    *("metrics.jsonl", "confusion.csv", "recipe.toml"),
    *("model/config.json", "model/model.safetensors", "model/README.md"),
)
SEEDS = ("--set", "run.seeds=[3, 0, 1]")


def write(folder):
    (folder / "mine.toml").write_text(BASE, encoding="utf-8")
    return "mine.toml"


def made(cwd, *arguments, out):
    """A run's folder."""
    done = call("run", "mine.toml", *arguments, "--out", out, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return only(cwd / out / "mine")


def report_without_time(folder):
    report = report_of(folder)
    assert report.pop("seconds") > 0
    return report


def assert_same_run(one, two):
    for name in FILES:
        assert (one / name).read_bytes() == (two / name).read_bytes(), name
    assert report_without_time(one) == report_without_time(two)
    assert {path.name for path in one.iterdir()} == {path.name for path in two.iterdir()}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("seeds")
    write(folder)
    return folder


@pytest.fixture(scope="module")
def three(place):
    """Three seeds in three processes."""
    return made(place, *SEEDS, "--workers", 3, out="three")


def test_the_number_of_processes_changes_no_bit_of_a_run(place, three):
    assert_same_run(made(place, *SEEDS, "--workers", 1, out="one"), three)
    assert report_of(three)["seeds"] == [3, 0, 1]


def test_seeds_in_processes_come_to_what_separate_runs_and_one_process_do(place, three):
    """Here on one thread each, so to the last bit; the report in one process is run's own."""
    registry = discover()
    recipe = read(str(place / "mine.toml"), registry, ["run.seeds=[3, 0, 1]"])
    alone = run(recipe, registry, Console(quiet=True), place / "within").folder
    for name in FILES:
        assert (alone / name).read_bytes() == (three / name).read_bytes(), name
    assert report_without_time(alone) == report_without_time(three)
    together = report_of(three)
    for number, seed in enumerate([3, 0, 1]):
        apart = report_of(made(place, "--set", f"run.seeds=[{seed}]", out=f"seed{seed}"))
        assert apart["runs"][0] == together["runs"][number]
        for metric, each in apart["summary"].items():
            assert each["runs"] == [together["summary"][metric]["runs"][number]]


def test_the_model_is_the_first_seed_s(three):
    config = json.loads((three / "model" / "config.json").read_text())
    assert config["seed"] == 3
    assert config["recipe"]["run"]["seeds"] == [3, 0, 1]
    assert bundle.load(three).fitted is not None


def test_threads_of_the_recipe_are_each_process_s(place):
    laid = ("--set", "run.seeds=2", "--set", "run.threads=2")
    assert_same_run(
        made(place, *laid, "--workers", 2, out="t2"), made(place, *laid, "--workers", 1, out="t1")
    )


def test_plugins_hear_of_one_run_and_every_epoch(place, three):
    class Tracker:
        def __init__(self):
            self.heard = []

        @hookimpl
        def mmalign_run_started(self, run):
            self.heard.append(("started", run["seeds"]))

        @hookimpl
        def mmalign_epoch_ended(self, run, epoch, losses):
            self.heard.append((run["seed"], {"stage": run["stage"], "epoch": epoch, **losses}))

        @hookimpl
        def mmalign_run_ended(self, run, report):
            self.heard.append(("ended", report.seeds))

    registry, tracker = discover(), Tracker()
    registry.manager.register(tracker)
    recipe = read(str(place / "mine.toml"), registry, ["run.seeds=[3, 0, 1]"])
    with site(Executor.processes) as at:
        run_seeds(recipe, registry, Console(quiet=True), place / "heard", None, 2, at)
    assert tracker.heard[0] == ("started", (3, 0, 1))
    assert tracker.heard[-1] == ("ended", (3, 0, 1))
    lines = [json.loads(line) for line in (three / "metrics.jsonl").read_text().splitlines()]
    written = [(line.pop("seed"), line) for line in lines]
    assert sorted(tracker.heard[1:-1], key=lambda each: [3, 0, 1].index(each[0])) == written


@pytest.mark.slow
def test_a_seed_whose_process_is_killed_is_done_once_more(tmp_path, started):  # noqa: F811
    laid = ("--set", "method.epochs=300", "--set", "run.seeds=[3, 1]", "--workers", 1)
    running = started("run", write(tmp_path), *laid, cwd=tmp_path)

    def half_way():
        return [
            path
            for path in tmp_path.glob("runs/mine/*/unfinished/seed-3.jsonl")
            if path.stat().st_size
        ]

    soon(half_way)
    (worker,) = children(running.pid)
    os.kill(worker, signal.SIGKILL)
    said, wrong = running.communicate(timeout=120)
    assert running.returncode == 0, wrong
    assert "seed 3  its process died (exit status -9); once more" in said
    assert_same_run(only(tmp_path / "runs" / "mine"), made(tmp_path, *laid, out="whole"))


def test_a_seed_that_fails_is_named_and_the_others_are_kept(tmp_path, started):  # noqa: F811
    laid = ("--set", "run.seeds=[3, 1]", "--set", "method.epochs=300")
    running = started("run", write(tmp_path), *laid, "--workers", 1, cwd=tmp_path)
    for _ in range(2):
        (worker,) = soon(lambda: children(running.pid))
        os.kill(worker, signal.SIGKILL)
        soon(lambda worker=worker: worker not in children(running.pid))
    _, wrong = running.communicate(timeout=120)
    assert running.returncode == 2
    why = "its process died (exit status -9), 2 times"
    folder = only(tmp_path / "runs" / "mine")
    assert wrong.splitlines() == [
        f"error: 1 of 2 seeds failed; the others are in {folder.relative_to(tmp_path)}",
        f"  seed 3: {why}",
        "  --set run.seeds=[3] runs what failed alone",
    ]
    report = report_of(folder)
    assert report["seeds"] == [1]
    assert report["notes"][0] == f"seed 3 failed, and is not in these numbers: {why}"
    assert json.loads((folder / "model" / "config.json").read_text())["seed"] == 1
    assert not (folder / UNFINISHED).exists()


def test_a_mistake_that_stops_every_seed_is_said_once(tmp_path):
    laid = ("--set", "run.seeds=2", "--set", "method.lr=1e30")
    said = refused("run", write(tmp_path), *laid, cwd=tmp_path)
    assert said.startswith("error: all 2 seeds failed, in runs/mine/")  # each in its own batch
    assert [line[:31] for line in said.splitlines()[1:]] == [
        f"  seed {seed}: training diverged: loss"[:31] for seed in (0, 1)
    ]
    said = refused("run", "mine.toml", "--set", "modality.image.array=x", *laid[:2], cwd=tmp_path)
    assert said.count("no array 'x'") == 1


def test_workers_are_for_sweeps_and_several_seeds(tmp_path):
    laid = ("--seeds", 1, "--workers", 2)
    said = refused("run", "synthetic", *SMALL, *laid, cwd=tmp_path)
    assert "'synthetic' is one run of one seed" in said


def test_each_seed_has_a_bar_of_its_own():
    from mmalign.progress import RunProgress

    out = Console(file=io.StringIO(), width=100, force_terminal=True)
    with RunProgress(out, several=True) as shown:

        def visible():
            return [task.description for task in shown.bar.tasks if task.visible]

        shown.epoch_ended("seed 0, draw 0 (1/4)  one", 1, 2, {})
        shown.epoch_ended("seed 1, draw 0 (3/4)  one", 1, 2, {})
        assert visible() == ["seed 0, draw 0 (1/4)  one", "seed 1, draw 0 (3/4)  one"]
        shown.epoch_ended("seed 0, draw 1 (2/4)  two", 1, 2, {})
        assert visible() == ["seed 1, draw 0 (3/4)  one", "seed 0, draw 1 (2/4)  two"]
        shown.run_ended("seed 1")
        assert visible() == ["seed 0, draw 1 (2/4)  two"]
