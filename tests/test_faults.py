"""What goes wrong around a run: a full disk, a closed folder, signals, a clock that jumps."""

import os
import resource
import signal
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from commands import PROGRAM, call, only, refused
from killing import survived
from test_resume import files_of
from test_sweep import BASE

from mmalign import place, writing
from mmalign.errors import MmalignError
from mmalign.unfinished import UNFINISHED, is_unfinished

FULL = Path("/dev/full")
LAID = ("--set", "run.checkpoint=0")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "mine.toml").write_text(BASE, encoding="utf-8")
    assert call("run", "mine.toml", *LAID, cwd=folder).returncode == 0
    return only(folder / "runs" / "mine")


@pytest.fixture
def here(tmp_path):
    (tmp_path / "mine.toml").write_text(BASE, encoding="utf-8")
    return tmp_path


def goes_on(here, whole):
    """Once the fault is gone, the run comes to what it would have come to."""
    done = call("run", "mine.toml", *LAID, "--resume", cwd=here)
    assert done.returncode == 0, done.stderr
    ended = [each for each in (here / "runs" / "mine").iterdir() if not is_unfinished(each)]
    assert [files_of(each) for each in ended] == [files_of(whole)]


@pytest.mark.parametrize("most", [200, 5_000, 12_000, 20_000])
def test_no_file_may_grow_further(here, whole, most):
    """As on a disk that is full; at first no recipe can be written, at last only a model not."""

    def work():
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        said = refused("run", "mine.toml", *LAID, cwd=here)
        assert "File too large" in said, said
        assert said.count("\n") == 1, said

    assert survived(work)
    assert not list(here.rglob("*.part"))
    goes_on(here, whole)


def test_a_disk_that_is_full(here, whole):
    """A file system of its own, of 100 kB."""
    disk = here / "runs"
    disk.mkdir()
    command = f'mount -t tmpfs -o size=100k none "{disk}" && exec "$@"'
    script = ["unshare", "--mount", "--map-root-user", "sh", "-c", command, "sh"]
    if subprocess.run([*script, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no file system may be mounted here")
    done = subprocess.run(
        [*script, PROGRAM, "run", "mine.toml", *LAID], cwd=here, capture_output=True, text=True
    )
    assert done.returncode == 2, done.stderr
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    goes_on(here, whole)


def as_nobody(work):
    """In a process that may not write everywhere, as root may."""

    def lowered():
        if os.geteuid() == 0:
            os.setgid(65534)
            os.setuid(65534)
        work()

    return survived(lowered)


def test_a_folder_that_may_not_be_written_to(here):
    (here / "runs").mkdir()
    for folder in (here, *here.parents):  # others may look, as on any machine
        if folder.owner() == here.owner() and folder != folder.parent:
            folder.chmod(folder.stat().st_mode | 0o055)
    (here / "runs").chmod(0o555)

    def work():
        said = refused("run", "mine.toml", *LAID, cwd=here)
        assert "Permission denied; choose --out" in said

    try:
        assert as_nobody(work)
        assert not list((here / "runs").iterdir())
    finally:
        (here / "runs").chmod(0o755)


def test_a_run_whose_folder_is_closed_meanwhile(here, whole):
    assert call("run", "mine.toml", *LAID, cwd=here).returncode == 0
    folder = only(here / "runs" / "mine")
    before = files_of(folder)
    (folder / UNFINISHED).write_text("")  # a file where a folder is to be
    said = refused("run", folder, "--resume", cwd=here)
    assert "no run that was left in the middle" in said
    (folder / UNFINISHED).unlink()
    assert files_of(folder) == before == files_of(whole)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_a_terminal_that_is_closed_or_interrupted(here, whole, name):
    running = subprocess.Popen(
        [PROGRAM, "run", "mine.toml", *LAID, "--set", "method.epochs=2"],
        cwd=here, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    until = time.monotonic() + 60
    while not list(here.glob("runs/mine/*/unfinished/seed-0/*.safetensors")):
        assert time.monotonic() < until
        assert running.poll() is None, running.stderr.read()
        time.sleep(0.001)
    running.send_signal(getattr(signal, name))
    _, said = running.communicate(timeout=60)
    assert running.returncode in (130, -getattr(signal, name), 0), said
    if running.returncode:
        goes_on(here, whole)


class Stopped(datetime):
    """A clock that always says the same, as after it was set back."""

    @classmethod
    def now(cls, tz=None):
        return datetime(2020, 1, 1, tzinfo=UTC)


def test_a_clock_that_stands_still_or_jumps_back(here, whole, monkeypatch):
    for _ in range(2):
        monkeypatch.setattr(place, "datetime", Stopped)
        assert call("run", "mine.toml", *LAID, cwd=here).returncode == 0
    first, second = sorted((here / "runs" / "mine").iterdir())
    assert second.name == f"{first.name}-2"
    assert files_of(first) == files_of(second) == files_of(whole)


def test_what_was_there_stays_where_writing_fails(tmp_path, monkeypatch):
    path, folder = tmp_path / "a.json", tmp_path / "model"
    writing.write_whole(path, b"old")
    folder.mkdir()
    (folder / "old").write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MmalignError, match=r"cannot write .*a\.json: No space left on device"):
        writing.write_whole(path, b"new")
    with pytest.raises(MmalignError, match="model: No space left"), writing.whole_folder(folder):
        pass
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert [each.name for each in sorted(tmp_path.iterdir())] == ["a.json", "model"]
    assert only(folder).read_text() == "old"


def test_standard_output_that_is_full():
    if not FULL.exists():
        pytest.skip("there is no /dev/full")
    with FULL.open("w") as full:
        done = subprocess.run(
            [PROGRAM, "ls"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ")
    assert "No space left on device" in done.stderr
