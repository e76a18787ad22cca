"""One fit across processes: the same gradients and weights, one report; who is refused."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import across
import pytest
import torch
import torch.multiprocessing
from commands import PROGRAM, SMALL, call, installed, only, refused, report_of
from helpers import assert_same
from safetensors.torch import load_file

from mmalign import MmalignError
from mmalign.copies import told
from mmalign.group import Group
from mmalign.processes import Plan, planned

SETTINGS = [*SMALL, "--seeds", "1"]
ENDLESS = ["--set", "method.epochs=1000000"]
STEPS = [(m, r, n) for m in (0, 1) for r in ("sum", "mean") for n in across.BATCHES]
FITS = [(m, n) for m in (0, 1) for n in across.FITS]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What two processes found, and one alone."""
    folder = tmp_path_factory.mktemp("across")
    torch.multiprocessing.spawn(across.main, (str(folder),), across.SIZE)
    two = [torch.load(folder / f"{rank}.pt") for rank in range(across.SIZE)]
    (folder / "alone").mkdir()
    return two, across.everything(None, folder / "alone")


@pytest.mark.parametrize(("count", "size"), [(50, 2), (7, 3), (1, 2), (0, 2), (2, 5)])
def test_shares_are_all_rows_once_and_differ_by_one(count, size):
    rows = list(range(count))
    shares = [Group(rank, size).share(count) for rank in range(size)]
    assert [row for share in shares for row in rows[share.rows]] == rows
    lengths = {share.stop - share.start for share in shares}
    assert max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize(("masked", "reduction", "batch"), STEPS)
def test_gradients_and_terms_are_those_of_one_process(found, masked, reduction, batch):
    two, alone = found
    ours, expected = (each["steps", masked, reduction][batch] for each in (two[0], alone))
    # The same parameters have a gradient: Adam would move one by a gradient of zero.
    there = batch != "of class 2" or not masked
    assert ("decoders.attributes.output.weight" in expected) == there
    # In float64, but for the order in which the rows are added.
    assert_same(ours, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("masked", "name"), FITS)
def test_weights_and_what_is_told_are_those_of_one_process(found, masked, name):
    two, alone = found
    ours, expected = (each["fit", masked, name] for each in (two[0], alone))
    # Single precision's 1e-7 in each of up to 36 steps, which Adam makes as long as the others.
    assert_same(ours["weights"], expected["weights"], rtol=1e-4, atol=1e-6)
    assert [said[:3] for said in ours["told"]] == [said[:3] for said in expected["told"]]
    for said, wanted in zip(ours["told"], expected["told"], strict=True):
        assert said[3] == pytest.approx(wanted[3], rel=1e-5)


def test_every_process_has_the_same_bits(found):
    (first, other), _ = found
    for key in first:
        if key[0] == "fit":
            assert_same(first[key]["weights"], other[key]["weights"], rtol=0, atol=0)
            assert first[key]["told"] == other[key]["told"]


def test_the_first_process_keeps_a_fit_and_all_find_it(found):
    two, _ = found
    for each, files in zip(two, (1, 0), strict=True):
        assert (each["kept"]["told"], each["kept"]["files"]) == (2, files)  # trained once
        for weights in each["kept"]["weights"]:
            assert_same(weights, two[0]["kept"]["weights"][0], rtol=0, atol=0)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The run's folder of one process."""
    folder = tmp_path_factory.mktemp("alone")
    assert call("run", "synthetic", *SETTINGS, cwd=folder).returncode == 0
    return only(folder / "runs" / "synthetic")


def compared(folder, alone):
    """The one run in a folder is that of a process alone."""
    run = only(folder / "runs" / "synthetic")
    report, expected = report_of(run), report_of(alone)
    assert report["processes"] == 2
    assert report["summary"] == expected["summary"]  # accuracies of 45 rows: no near ties
    assert report["recipe_table"] == expected["recipe_table"]
    ours, theirs = (
        [json.loads(line) for line in (each / "metrics.jsonl").read_text().splitlines()]
        for each in (run, alone)
    )
    for line, wanted in zip(ours, theirs, strict=True):
        assert line.pop("stage") == wanted.pop("stage")
        assert line == pytest.approx(wanted, rel=1e-4)
    weights, wanted = (load_file(each / "model" / "model.safetensors") for each in (run, alone))
    assert_same(weights, wanted, rtol=1e-3, atol=1e-5)  # the head's, too


def test_a_run_on_two_processes_is_that_of_one(tmp_path, alone):
    done = installed("run", "synthetic", *SETTINGS, "--devices", 2, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("report and model: ") == 1
    assert done.stdout.count("representation  epoch 2/2") == 1
    compared(tmp_path, alone)


@pytest.mark.slow
def test_torchrun_starts_the_processes_as_well(tmp_path, alone):
    torchrun = [PROGRAM.with_name("torchrun"), "--nproc-per-node", "2", "-m", "mmalign"]
    command = [*torchrun, "run", "synthetic", *SETTINGS]
    done = subprocess.run(
        list(map(str, command)), cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("report and model: ") == 1
    compared(tmp_path, alone)


@contextlib.contextmanager
def started(*arguments, cwd, **environment):
    """The installed program, running; it is killed at the end if it still does."""
    process = subprocess.Popen(
        [PROGRAM, *map(str, arguments)], cwd=cwd, text=True, env={**os.environ, **environment},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    with process:
        try:
            yield process
        finally:
            process.kill()


def child_of(process):
    """The one process that this one has started."""
    tasks = Path(f"/proc/{process.pid}/task").glob("*/children")
    (child,) = [int(word) for task in tasks for word in task.read_text().split()]
    return child


def gone(pid):
    """Whether a process has ended, within some seconds."""
    for _ in range(200):
        stat = Path(f"/proc/{pid}/stat")
        with contextlib.suppress(OSError):
            if stat.read_text().rpartition(")")[2].split()[0] != "Z":
                time.sleep(0.05)
                continue
        return True
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_process_that_is_killed_ends_the_run_in_a_line(tmp_path):
    with started("run", "synthetic", *SETTINGS, *ENDLESS, "--devices", 2, cwd=tmp_path) as run:
        assert run.stdout.readline()  # the first epoch
        os.kill(child_of(run), signal.SIGKILL)
        _, wrong = run.communicate(timeout=60)
    assert run.returncode == 2
    assert wrong == "error: process 2 of 2 was killed by SIGKILL; the run is over\n"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_no_process_outlives_the_first(tmp_path, sign):
    with started("run", "synthetic", *SETTINGS, *ENDLESS, "--devices", 2, cwd=tmp_path) as run:
        assert run.stdout.readline()
        child = child_of(run)
        os.kill(run.pid, sign)
        _, wrong = run.communicate(timeout=60)
    assert gone(child)
    if sign == signal.SIGINT:
        assert (run.returncode, wrong) == (130, "interrupted; what was written stays\n")


@pytest.mark.slow
def test_what_befalls_every_process_is_said_once(tmp_path):
    wild = ("--set", "method.lr=1e6", "--set", "method.epochs=4")
    done = installed("run", "synthetic", *SETTINGS, *wild, "--devices", 2, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: training diverged in epoch ")


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return str(one.getsockname()[1])


@pytest.mark.slow
def test_two_hosts_that_are_started_by_hand(tmp_path, alone):
    there = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    with contextlib.ExitStack() as stack:
        hosts = []
        for rank in "01":
            (tmp_path / rank).mkdir()
            command = ("run", "synthetic", *SETTINGS, "--devices", 1, "--nodes", 2)
            host = started(*command, cwd=tmp_path / rank, **there, NODE_RANK=rank)
            hosts.append(stack.enter_context(host))
        said = [host.communicate(timeout=120) for host in hosts]
    assert [(host.returncode, wrong) for host, (_, wrong) in zip(hosts, said, strict=True)] == [
        (0, "")
    ] * 2
    assert said[1][0] == "process 2 of 2; the first one reports\n"
    assert not [*(tmp_path / "1").iterdir()]
    compared(tmp_path / "0", alone)


@pytest.mark.slow
def test_a_host_that_goes_ends_the_other_in_a_line(tmp_path):
    there = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    command = ("run", "synthetic", *SETTINGS, *ENDLESS, "--nodes", 2)
    with (
        started(*command, cwd=tmp_path, **there, NODE_RANK="0") as first,
        started(*command, cwd=tmp_path, **there, NODE_RANK="1") as second,
    ):
        assert first.stdout.readline()
        second.kill()
        _, wrong = first.communicate(timeout=60)
    assert first.returncode == 2
    assert wrong.startswith("error: process 1 of 2 has lost another one: ")
    assert wrong.count("\n") == 1


@pytest.mark.parametrize(
    ("status", "text", "said", "ours"),
    [
        (2, "error: no room on /b", "error: process 2 of 4: no room on /b", 2),
        (-15, "", "error: process 2 of 4 was killed by SIGTERM; the run is over", 2),
        (1, "Traceback", "Traceback\nerror: process 2 of 4 ended with status 1, as said above", 1),
    ],
)
def test_the_others_failures_are_told_by_the_first(status, text, said, ours):
    assert told("process 2 of 4", status, text) == (said, ours)


def test_options_and_torchrun_say_how_many():
    torchrun = {"TORCHELASTIC_RUN_ID": "none", "LOCAL_WORLD_SIZE": "4", "WORLD_SIZE": "8"}
    assert planned(None, None, {}) is None
    assert planned(1, 1, {"WORLD_SIZE": "8"}) is None
    assert planned(None, 3, {}) == Plan(1, 3)
    assert planned(None, None, torchrun) == planned(4, 2, torchrun) == Plan(4, 2)
    with pytest.raises(MmalignError, match="torchrun has started 4 processes on each of 2 hosts"):
        planned(2, None, torchrun)


BASELINE = """
[dataset]
use = "synthetic"
[modality.image]
use = "image"
[modality.attributes]
use = "attributes"
[method]
use = "eszsl"
"""
REFUSED = {
    "a sweep": (["synthetic_sweep"], "whose runs go side by side: --workers"),
    "a baseline": (["baseline.toml"], "method.use: 'eszsl' does not train across processes"),
    "a loss of batches": (
        ["synthetic", "--set", "loss.distribution.use=coral"],
        "loss.distribution: 'coral' compares whole batches",
    ),
    "seeds as one": (["synthetic", "--set", "run.together=true"], "one seed after another"),
    "a device": (["synthetic", "--device", "meta"], "'meta' is no device of several processes"),
    "one of the GPUs": (["synthetic", "--device", "cuda:1"], "each process takes a GPU of its own"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_does_not_go_across_processes_is_refused(tmp_path, what):
    arguments, said = REFUSED[what]
    (tmp_path / "baseline.toml").write_text(BASELINE, encoding="utf-8")
    assert said in refused("run", *arguments, "--devices", 2, cwd=tmp_path)
    assert not (tmp_path / "runs").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_gpus_that_are_not_there_are_named(tmp_path):
    said = refused("run", "synthetic", "--device", "cuda", "--devices", 2, cwd=tmp_path)
    assert "run.device: torch cannot use 'cuda'" in said


def test_fewer_gpus_than_devices_are_an_error(tmp_path):
    with (
        mock.patch("mmalign.processes.checked_device"),
        mock.patch("torch.cuda.device_count", return_value=1),
    ):
        said = refused("run", "synthetic", "--device", "cuda", "--devices", 2, cwd=tmp_path)
    assert said == "error: --devices 2: this host has 1 GPU\n"


def test_without_the_extra_it_is_named(tmp_path):
    with mock.patch("mmalign.extras.find_spec", return_value=None):
        said = refused("run", "synthetic", "--devices", 2, cwd=tmp_path)
    assert "pip install 'mmalign[distributed]'" in said


def test_hosts_must_know_of_one_another(tmp_path, monkeypatch):
    for name in ("LOCAL_RANK", "MASTER_PORT", "NODE_RANK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    said = refused("run", "synthetic", "--devices", 2, "--nodes", 2, cwd=tmp_path)
    assert "missing: MASTER_PORT, NODE_RANK" in said
    monkeypatch.setenv("MASTER_PORT", "1")
    monkeypatch.setenv("NODE_RANK", "2")
    said = refused("run", "synthetic", "--nodes", 2, cwd=tmp_path)
    assert "NODE_RANK=2: with --nodes 2 it is below 2" in said
