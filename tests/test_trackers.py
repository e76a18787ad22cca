"""The trackers tensorboard and mlflow: what they were told is what the run's own files say."""

import json
from collections import defaultdict

import pytest
from commands import SMALL, call, only, refused, report_of

from mmalign.plugins import discover

events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder in which a small recipe ran, two seeds, with both trackers."""
    folder = tmp_path_factory.mktemp("tracked")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        more = ("--seeds", 2, "--workers", 1, "--track", "tensorboard", "--track", "mlflow")
        done = call("run", "synthetic", *SMALL, *more, cwd=folder)
        assert done.returncode == 0, done.stderr
        assert "warning" not in done.stdout
        yield folder


@pytest.fixture(scope="module")
def finished(place):
    return only(place / "runs" / "synthetic")


def curves_of(folder):
    """What metrics.jsonl says: by seed and stage, the terms of each epoch; stages numbered."""
    found, last = defaultdict(dict), {}
    for line in (folder / "metrics.jsonl").read_text().splitlines():
        said = json.loads(line)
        seed, stage, epoch = (said.pop(key) for key in ("seed", "stage", "epoch"))
        last.setdefault((seed, stage), [])
        if not last[seed, stage] or epoch <= last[seed, stage][-1]:
            last[seed, stage].append(0)
        count = len(last[seed, stage])
        last[seed, stage][-1] = epoch
        found[seed, stage if count == 1 else f"{stage}-{count}"][epoch] = said
    return found


def read(folder):
    return events.EventAccumulator(str(folder)).Reload()


def test_tensorboard_has_every_term_of_every_epoch(finished):
    curves = curves_of(finished)
    assert ("0", "head.unseen-2") in {(str(seed), stage) for seed, stage in curves}
    for (seed, stage), epochs in curves.items():
        board = read(finished / "tensorboard" / f"seed-{seed}" / stage)
        terms = {term for terms in epochs.values() for term in terms}
        assert set(board.Tags()["scalars"]) == {f"loss/{term}" for term in terms}
        for term in terms:
            there = {each.step: each.value for each in board.Scalars(f"loss/{term}")}
            said = {epoch: terms[term] for epoch, terms in epochs.items() if term in terms}
            assert there == pytest.approx(said, rel=1e-4)  # metrics.jsonl is rounded


def test_tensorboard_has_the_result_and_the_recipe(finished):
    board, report = read(finished / "tensorboard" / "result"), report_of(finished)
    for name, each in report["summary"].items():
        (mean,) = board.Scalars(f"mean/{name}")
        assert mean.value == pytest.approx(each["mean"], rel=1e-6)
        runs = [point.value for point in board.Scalars(f"run/{name}")]
        assert runs == pytest.approx(each["runs"], rel=1e-6)
    assert "recipe/text_summary" in board.Tags()["tensors"]


@pytest.fixture(scope="module")
def store(place):
    mlflow = pytest.importorskip("mlflow")
    client = mlflow.MlflowClient((place / "mlruns").as_uri())
    experiment = client.get_experiment_by_name("synthetic")
    return client, {
        each.data.tags["mmalign.part"]: each
        for each in client.search_runs([experiment.experiment_id])
    }


def test_mlflow_has_the_run_with_its_recipe_metrics_and_files(store, finished):
    client, runs = store
    whole, report = runs["all"], report_of(finished)
    assert set(runs) == {"all", "seed 0", "seed 1"}
    assert {each.info.status for each in runs.values()} == {"FINISHED"}
    assert whole.data.params["method.use"] == "aligned-vae"
    assert whole.data.params["run.trackers"] == "['tensorboard', 'mlflow']"
    for name, each in report["summary"].items():
        assert whole.data.metrics[name] == pytest.approx(each["mean"])
        assert whole.data.metrics[f"{name}_std"] == pytest.approx(each["std"])
        assert runs["seed 1"].data.metrics[name] == pytest.approx(each["runs"][1])
    kept = {each.path for each in client.list_artifacts(whole.info.run_id)}
    assert {"report.json", "recipe.toml", "confusion.csv", "metrics.jsonl"} <= kept


def test_mlflow_has_every_term_of_every_epoch_below_it(store, finished):
    client, runs = store
    for (seed, stage), epochs in curves_of(finished).items():
        mine = runs[f"seed {seed}"]
        assert mine.data.tags["mlflow.parentRunId"] == runs["all"].info.run_id
        for term in next(iter(epochs.values())):
            there = client.get_metric_history(mine.info.run_id, f"{stage}/{term}")
            said = {epoch: terms[term] for epoch, terms in epochs.items() if term in terms}
            assert {each.step: each.value for each in there} == pytest.approx(said, rel=1e-4)


def test_a_tracker_that_is_none_is_refused_before_anything_runs(tmp_path):
    more = ("--track", "tensorbord", "--track", "softmax")
    said = refused("run", "synthetic", *more, cwd=tmp_path)
    assert "run.trackers.0: no tracker 'tensorbord'; did you mean 'tensorboard'?" in said
    assert "run.trackers.1: no tracker 'softmax'; known: mlflow, tensorboard" in said
    said = refused("run", "synthetic", "--track", "mlflow", "--track", "mlflow", cwd=tmp_path)
    assert "run: trackers: each of them once" in said
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", ["tensorboard", "mlflow"])
def test_without_the_extra_it_is_named(tmp_path, monkeypatch, name):
    monkeypatch.setattr("mmalign.extras.find_spec", lambda _: None)
    said = refused("run", "synthetic", "--track", name, cwd=tmp_path)
    assert f"run.trackers.0: {name}: not installed" in said
    assert f"pip install 'mmalign[{name}]'" in said


def told(hook, run, *epochs):
    for epoch in epochs:
        hook.mmalign_epoch_ended(run=run, epoch=epoch, losses={"loss": 1.0 / epoch})


def test_what_goes_on_after_a_kill_goes_on_in_the_same_place(tmp_path, monkeypatch):
    import mmalign_mlflow.client
    import mmalign_tensorboard.events

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    asked = {"run": {"trackers": ["tensorboard", "mlflow"]}}
    run = {"name": "it", "folder": str(tmp_path / "run"), "recipe": asked}
    part = {**run, "seed": 3, "draw": 1, "stage": "head"}
    for epochs in ((1, 2, 3), (3, 4)):  # the third was not in the last checkpoint
        hook = discover().manager.hook
        hook.mmalign_run_started(run=run)
        told(hook, part, *epochs)
        # As a killed process leaves it: nothing is closed, nothing is known.
        monkeypatch.setattr(mmalign_mlflow.client, "_OPEN", {})
        monkeypatch.setattr(mmalign_tensorboard.events, "_OPEN", {})
    points = read(tmp_path / "run" / "tensorboard" / "seed-3" / "draw-1" / "head")
    assert [each.step for each in points.Scalars("loss/loss")] == [1, 2, 3, 4]
    client = pytest.importorskip("mlflow").MlflowClient((tmp_path / "mlruns").as_uri())
    (experiment,) = (each for each in client.search_experiments() if each.name == "it")
    found = client.search_runs([experiment.experiment_id])
    assert {each.data.tags["mmalign.part"] for each in found} == {"all", "seed 3 draw 1"}
    assert len(found) == 2
