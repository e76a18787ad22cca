"""Jobs on a Ray cluster of two nodes, one of which is killed: nothing is lost or done twice."""

import os
import signal
from pathlib import Path

import pytest
from commands import call, installed, only, refused, report_of
from test_sweep import gone, soon, started, sweep_of, table, write  # noqa: F401 (a fixture)
from test_tune import TUNE
from test_tune import trials as trials_of

from mmalign import raycrew
from mmalign.errors import MmalignError
from mmalign.job import Job
from mmalign.raycrew import RayCrew, refusal

pytest.importorskip("ray", reason="needs the extra 'ray'")
# The cluster that is killed is tested always, what takes minutes beside it with the slow ones.
# Long enough that a kill comes in the middle of a job.
GRID = """
[sweep]
seeds = 2
"method.latent" = [2, 3]
"loss.cross.weight" = [0.0, 1.0]
"method.epochs" = [300]
"""
# A tracker in the way of any plugin: a distribution on the path, which Ray's processes inherit.
TRACKER = """
import os, time
from mmalign import hookimpl

def parent(pid):
    return int(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1])

def log(what, run):
    line = f"{what} {run['folder']} {os.getpid()} {parent(os.getppid())}\\n"
    with open(os.environ["TRACKED"], "a") as file:
        file.write(line)

@hookimpl
def mmalign_run_started(run):
    log("started", run)

@hookimpl
def mmalign_run_ended(run, report):
    log("ended", run)
"""


def tracked(folder):
    """What the tracker wrote: (what, job, its process, the raylet above that)."""
    path = folder / "tracked.txt"
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    found = []
    for line in lines:
        what, where, pid, raylet = line.split()
        found.append((what, Path(where).parents[1].as_posix(), int(pid), int(raylet)))
    return found


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Two nodes of one processor each, with the tracker installed; the folder of its log."""
    folder = tmp_path_factory.mktemp("cluster")
    about = folder / "path" / "tracker-1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: tracker\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[mmalign]\ntracker = tracker\n")
    (folder / "path" / "tracker.py").write_text(TRACKER)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder / "path"))
        patch.setenv("TRACKED", str(folder / "tracked.txt"))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        from ray.cluster_utils import Cluster

        made = Cluster(True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        made.second = made.add_node(num_cpus=1)
        made.folder = folder
        yield made
        made.shutdown()


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """The same sweep in processes of this machine."""
    folder = tmp_path_factory.mktemp("here")
    done = call("run", write(folder, GRID), "--workers", 2, cwd=folder)
    assert done.returncode == 0, done.stderr
    return table(folder)


def on(cluster):
    return ("--executor", "ray", "--ray-address", cluster.address)


def raylet(node):
    return node.all_processes["raylet"][0].process.pid


@pytest.mark.slow
def test_a_killed_node_loses_nothing_and_what_had_finished_is_not_run_again(
    cluster,
    here,
    tmp_path,
    started,  # noqa: F811
):
    running = started("run", write(tmp_path, GRID), *on(cluster), cwd=tmp_path)

    def in_the_middle():
        """A job that has just begun on the second node, when others have ended."""
        lines, second = tracked(cluster.folder), raylet(cluster.second)
        mine = [line for line in lines if line[3] == second]
        ended = {line[1] for line in lines if line[0] == "ended"}
        begun = bool(mine) and mine[-1][0] == "started"
        return mine[-1] if begun and len(ended) >= 2 else None

    _, interrupted, process, _ = soon(in_the_middle, 120)
    cluster.remove_node(cluster.second, allow_graceful=False)
    said, wrong = running.communicate(timeout=120)
    assert running.returncode == 0, wrong
    assert wrong == ""
    assert said.count("its machine went; once more") == 1
    assert "[8/8] " in said
    assert said.count(" H = ") == 8
    jobs = {path.parent.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("done.json")}
    lines = tracked(cluster.folder)
    assert len(jobs) == 8
    for job in jobs:
        assert sum(line[:2] == ("ended", job) for line in lines) == 1
        begun = sum(line[:2] == ("started", job) for line in lines)
        assert begun == (2 if job == interrupted else 1)
    assert gone(process)
    assert table(tmp_path) == here

    again = call("run", "mine.toml", cwd=tmp_path)
    assert "8 of 8 jobs are done already" in again.stdout
    assert tracked(cluster.folder) == lines


@pytest.mark.slow
def test_a_command_that_is_killed_leaves_no_job_at_work_and_goes_on(
    cluster,
    here,
    tmp_path,
    started,  # noqa: F811
):
    before = len(tracked(cluster.folder))
    running = started("run", write(tmp_path, GRID), *on(cluster), cwd=tmp_path)
    assert running.stdout.readline()
    process = soon(lambda: tracked(cluster.folder)[before:])[-1][2]
    running.kill()
    running.communicate()
    soon(lambda: gone(process))
    done = installed("run", "mine.toml", *on(cluster), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "jobs are done already" in done.stdout
    assert table(tmp_path) == here


@pytest.mark.slow
def test_a_job_whose_process_is_killed_is_done_once_more(cluster, tmp_path, started):  # noqa: F811
    before = len(tracked(cluster.folder))
    small = ("--set", "method.epochs=300", "--set", "run.seeds=[3, 1]")
    name = write(tmp_path, "")
    running = started("run", name, *small, *on(cluster), cwd=tmp_path)

    def metrics():
        return [
            path
            for path in tmp_path.glob("runs/mine/*/unfinished/seed-3.jsonl")
            if path.stat().st_size
        ]

    soon(metrics)
    (process,) = processes(cluster)
    os.kill(process, signal.SIGKILL)
    said, wrong = running.communicate(timeout=120)
    assert running.returncode == 0, wrong
    assert "its process died (exit status -9); once more" in said
    assert call("run", name, *small, "--out", "here", cwd=tmp_path).returncode == 0
    one, two = only(tmp_path / "runs" / "mine"), only(tmp_path / "here" / "mine")
    assert report_of(one)["summary"] == report_of(two)["summary"]
    for file in ("metrics.jsonl", "confusion.csv", "model/model.safetensors", "model/config.json"):
        assert (one / file).read_bytes() == (two / file).read_bytes()
    # One run of two seeds, and its tracker is the command's: the workers begin none.
    lines = tracked(cluster.folder)[before:]
    assert [(what, pid) for what, _, pid, _ in lines] == [
        ("started", running.pid),
        ("ended", running.pid),
    ]


def processes(cluster):
    """The worker processes below the first node's raylet."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"spawn_main" in path.read_bytes():
                pid = int(path.parent.name)
                if parent(parent(pid)) == raylet(cluster.head_node):
                    found.append(pid)
        except OSError:
            continue
    return found


def parent(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.slow
def test_a_search_on_a_cluster_tries_what_it_tries_here(cluster, tmp_path):
    write(tmp_path, TUNE)
    arguments = ("tune", "mine.toml", "--trials", 3, "--workers", 1)
    done = installed(*arguments, *on(cluster), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found = trials_of(tmp_path)
    assert call(*arguments, "--out", "here", cwd=tmp_path).returncode == 0
    (tmp_path / "runs").rename(tmp_path / "there")
    (tmp_path / "here").rename(tmp_path / "runs")
    assert found == trials_of(tmp_path)


@pytest.mark.slow
def test_a_job_that_no_machine_has_room_for_is_refused(cluster, tmp_path):
    laid = ("--set", "run.threads=3")
    said = refused("run", write(tmp_path, GRID), *laid, *on(cluster), cwd=tmp_path, by=installed)
    assert "no machine of the cluster has 3 processor(s)" in said
    laid = ("--set", "run.device=cuda")
    said = refused("run", "mine.toml", *laid, *on(cluster), cwd=tmp_path, by=installed)
    assert "no machine of the cluster has 1 processor(s) and a GPU" in said


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("ray://head:10001", "Ray Client (ray://) will not do"),
        ("nonsense", "HOST:PORT"),
        ("127.0.0.1:1", "no Ray cluster at '127.0.0.1:1'"),
    ],
)
def test_an_address_without_a_cluster_is_refused(tmp_path, address, said):
    laid = ("--executor", "ray", "--ray-address", address)
    assert said in refused("run", write(tmp_path, GRID), *laid, cwd=tmp_path)
    assert "say --executor ray" in refused("run", "mine.toml", *laid[2:], cwd=tmp_path)


def test_without_the_extra_a_cluster_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("mmalign.extras.find_spec", lambda name: None)
    said = refused("run", write(tmp_path, ""), "--executor", "ray", cwd=tmp_path)
    assert "ray: not installed; this needs the extra 'ray': pip install" in said


def test_a_machine_that_does_not_share_the_folder_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(raycrew, "PATIENCE", 0.1)
    version = raycrew.mmalign.__version__
    said = refusal(tmp_path / "job", tmp_path, "word", version)
    assert f"does not see {tmp_path / 'job'} as it is here" in said
    (tmp_path / "given").write_text("another word")  # a folder of this name, and another one
    assert "does not see" in refusal(tmp_path, tmp_path, "word", version)
    (tmp_path / "given").write_text("word")
    assert refusal(tmp_path, tmp_path, "word", version) is None
    assert "has no folder" in refusal(tmp_path, tmp_path / "gone", "word", version)
    assert "install the same on all" in refusal(tmp_path, tmp_path, "word", "0.0.1")


def test_what_one_machine_lacks_stops_the_sweep(tmp_path):
    """The others would go on, and that machine would take and fail one job after the other."""

    class Ray:
        exceptions = __import__("ray").exceptions

        def wait(self, streams, num_returns, timeout):
            return streams, []

        def get(self, said):
            return said

    crew = RayCrew(Ray(), 1)
    crew.jobs[0] = Job("a", {}, 0, tmp_path)
    crew.streams[0] = iter([("refused", "machine x does not see it")])
    with pytest.raises(MmalignError, match="machine x does not see it"):
        list(crew.events(1.0))
