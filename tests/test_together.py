"""Several seeds trained as one come to what each comes to alone."""

import json

import numpy as np
import pytest
import torch
from commands import SMALL, call, only, report_of
from helpers import Small, assert_same, training

from mmalign import (
    ERRORS,
    Aligner,
    CrossAlignment,
    MmalignError,
    Objective,
    Ramp,
    Session,
    View,
    Wasserstein,
    train_aligner,
    train_together,
    why_apart,
)
from mmalign.answering import together
from mmalign.contracts import Weighted
from mmalign.plugins import discover
from mmalign.recipe import read

SEEDS = (0, 1, 2)
SETTINGS = {
    "epochs": 4,
    "batch": 16,
    "lr": 3e-3,
    "draw": "random",
    "noise": "independent",
    "scale": "std",
}


def untrained(data, sessions):
    dims = data.signature.dims
    return [Aligner(dict.fromkeys(data.views, Small()), dims, 4, s.generator) for s in sessions]


def objective(data):
    losses = {
        "cross": Weighted(CrossAlignment(), Ramp(to=2.37, start=1, end=3)),
        "distribution": Weighted(Wasserstein(), Ramp(to=8.13, start=0, end=2)),
    }
    return Objective(dict.fromkeys(data.views, ERRORS["l1"]), Ramp(to=0.25, end=4), losses)


@pytest.mark.parametrize("draw", ["random", "shuffle"])
def test_each_seed_learns_what_it_learns_alone(draw):
    data, heard = training(), {seed: [] for seed in SEEDS}
    alone = []
    for seed in SEEDS:
        session = Session(seed, epoch_ended=lambda *said, s=seed: heard[s].append(said))
        (aligner,) = untrained(data, [session])
        train_aligner(aligner, objective(data), data, session, **SETTINGS | {"draw": draw})
        alone.append(aligner.state_dict())
    told = {seed: [] for seed in SEEDS}
    sessions = [
        Session(seed, epoch_ended=lambda *said, s=seed: told[s].append(said)) for seed in SEEDS
    ]
    aligners = untrained(data, sessions)
    count = len(SEEDS)
    train_together(aligners, objective(data), [data] * count, sessions, **SETTINGS | {"draw": draw})
    for aligner, own in zip(aligners, alone, strict=True):
        assert not aligner.training
        # Single precision's 1e-7, grown over 12 steps; the rate is 3e-3.
        assert_same(aligner.state_dict(), own, rtol=1e-4, atol=1e-5)
    for seed in SEEDS:
        for one, other in zip(told[seed], heard[seed], strict=True):
            assert one[:3] == other[:3]
            assert one[3] == pytest.approx(other[3], rel=1e-4)


def test_seeds_of_other_shapes_are_trained_apart():
    data = training()
    assert why_apart([data, data]) is None
    rows = np.arange(len(data.labels) - 1)
    views = {n: v.take(rows) if v.level == "sample" else v for n, v in data.views.items()}
    fewer = type(data)(data.classes, data.labels[rows], views, data.seen, data.unseen)
    assert why_apart([data, fewer]) == "they train on different numbers of rows"
    lacking = View(data.views["image"].values, "sample", data.labels != 0)
    data.views.update(image=lacking)
    assert why_apart([data]) == "some rows have no 'image'"


def test_one_seed_that_diverges_is_an_error():
    data = training()
    sessions = [Session(seed) for seed in SEEDS]
    with pytest.raises(MmalignError, match="training diverged: loss"):
        train_together(
            untrained(data, sessions),
            objective(data),
            [data] * 3,
            sessions,
            **SETTINGS | {"lr": 1e6},
        )
    assert torch.get_float32_matmul_precision() == "highest"


FEW = ["run", "synthetic", *SMALL, "--seeds", "2", "--set", "head.epochs=3"]


def test_a_run_of_seeds_together_is_the_run_of_each(tmp_path):
    apart = call(*FEW, "--out", "apart", cwd=tmp_path)
    joined = call(*FEW, "--out", "joined", "--set", "run.together=true", cwd=tmp_path)
    assert (apart.returncode, joined.returncode) == (0, 0), joined.stderr
    one, other = (only(tmp_path / out / "synthetic") for out in ("apart", "joined"))
    for metric, found in report_of(one)["summary"].items():
        # A row whose answer hangs on single precision would be a step of 1 in 18 or more.
        assert report_of(other)["summary"][metric]["runs"] == pytest.approx(found["runs"], abs=0.06)
    for stage in ("validation", "representation"):
        assert epochs_of(other, stage) == epochs_of(one, stage) == [(0, 1), (0, 2), (1, 1), (1, 2)]


def epochs_of(folder, stage):
    """Seed and epoch of everything that metrics.jsonl says of a stage."""
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    said = [json.loads(line) for line in lines]
    return sorted((each["seed"], each["epoch"]) for each in said if each["stage"] == stage)


def test_a_run_says_why_its_seeds_are_trained_apart(tmp_path, monkeypatch):
    monkeypatch.setattr("mmalign_aligned_vae.fitting.why_apart", lambda _: "they differ")
    done = call(*FEW, "--set", "run.together=true", cwd=tmp_path)
    assert done.returncode == 0
    assert "the seeds are trained one after another: they differ" in done.stdout


def test_shots_that_are_trained_on_are_trained_on_draw_by_draw():
    shown = ["head.use=few-shot", "protocol.shots=1"]
    assert together(checked(shown))
    assert not together(checked([*shown, "protocol.shots_in_representation=true"]))
    assert together(checked([]))
    assert not together(checked(["run.together=false"]))
    assert not together(checked(["run.seeds=1"]))


def checked(changes):
    return read("synthetic", discover(), ["run.together=true", *changes])
