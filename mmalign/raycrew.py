"""A crew on a Ray cluster: Ray chooses the machine, a worker process there does the job."""

from __future__ import annotations

import importlib
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import mmalign
from mmalign.crew import Crew, News
from mmalign.errors import MmalignError
from mmalign.extras import need
from mmalign.job import Job
from mmalign.workers import THREADS, Workers

GIVEN = "given"  # in a job's folder: the word by which its worker knows that it is the same folder
PATIENCE = 15.0  # seconds for a shared file system to show a new file
INHERITED = "MMALIGN_PLUGINS"
MOST_PORT = 65535


@contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """Ray, connected to the cluster at an address, or to one of this machine's own.

    Without an address ``RAY_ADDRESS`` names it; without that a cluster of this machine alone
    begins and ends here. Raises MmalignError where there is no such cluster.
    """
    need("ray", "ray")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anyone
    ray = importlib.import_module("ray")
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    if address not in ("local", "auto"):
        _refuse_unreachable(address)
    # What machines and workers say of their end would go through our display, and we say it.
    vars(importlib.import_module("ray._private.worker"))["_worker_logs_enabled"] = False
    own = {"include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", **own)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        said = " ".join(str(error).split())
        said = "none runs on this machine" if address == "auto" else said
        if address != "local" and os.environ.get("RAY_AUTH_MODE") != "token":
            said += "; one that asks for a token needs RAY_AUTH_MODE=token here too"
        raise MmalignError(f"--ray-address: no Ray cluster at '{address}': {said}") from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _refuse_unreachable(address: str) -> None:
    """Say at once what Ray would say after minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > MOST_PORT or "://" in address:
        raise MmalignError(
            f"--ray-address: HOST:PORT of a cluster's head, or auto on one of its machines, was"
            f" expected (got '{address}'); Ray Client (ray://) will not do"
        )
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        said = error.strerror or error
        raise MmalignError(f"--ray-address: no Ray cluster at '{address}': {said}") from None


class RayCrew(Crew):
    """So many jobs at once on a cluster; Ray lets those wait that it has no room for.

    A job takes as many processors as ``run.threads`` says, else one, and on a GPU all of it.
    """

    def __init__(self, ray: Any, count: int) -> None:
        super().__init__(count)
        self.ray = ray
        self.streams: dict[int, Any] = {}

    def start(self, place: int, job: Job) -> None:
        """Hand a job to Ray. Raises MmalignError where no machine is large enough for it."""
        self._refuse_too_large(demand(job))
        word = uuid.uuid4().hex
        job.folder.mkdir(parents=True, exist_ok=True)
        (job.folder / GIVEN).write_text(word, encoding="utf-8")
        task = self.ray.remote(work).options(
            num_cpus=demand(job)["CPU"], num_gpus=demand(job)["GPU"],
            max_retries=0, num_returns="streaming",
        )  # fmt: skip
        given = os.environ.get(INHERITED)
        self.streams[place] = task.remote(job, Path.cwd(), word, mmalign.__version__, given)

    def news(self, seconds: float) -> Iterator[tuple[int, News]]:
        """What the jobs' streams bring. Raises MmalignError for what stops every job."""
        by_stream = {stream: place for place, stream in self.streams.items()}
        if not by_stream:
            time.sleep(seconds)
            return
        every = list(by_stream)
        ready, _ = self.ray.wait(every, num_returns=1, timeout=seconds)
        if ready:  # and whoever else has something to say: none may drown another
            ready, _ = self.ray.wait(every, num_returns=len(every), timeout=0)
        for stream in ready:
            place = by_stream[stream]
            said = self._heard(stream)
            if said[0] != "said":
                del self.streams[place]
            yield place, said

    def close(self) -> None:
        """Stop the jobs that are at work, with their processes."""
        for stream in self.streams.values():
            with suppress(Exception):  # it has ended, or its machine has
                self.ray.cancel(stream, force=True)
        self.streams.clear()

    def _heard(self, stream: Any) -> News:
        errors = self.ray.exceptions
        try:
            what, said = self.ray.get(next(stream))
        except errors.NodeDiedError:
            return "lost", "its machine went"
        except errors.RayTaskError as error:  # of ours, or of what is installed there
            raise MmalignError(f"on a machine of the cluster: {_last_line(error)}") from None
        except (errors.RayError, StopIteration) as error:
            return "died", f"its process died ({_first_line(error)})"
        if what == "refused":
            raise MmalignError(said)
        return what, said

    def _refuse_too_large(self, asked: dict[str, int]) -> None:
        alive = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        if not any(all(has.get(k, 0) >= n for k, n in asked.items()) for has in alive):
            gpu = " and a GPU" if asked["GPU"] else ""
            raise MmalignError(
                f"no machine of the cluster has {asked['CPU']} processor(s){gpu}, which one job"
                " takes (run.threads, run.device)"
            )


def demand(job: Job) -> dict[str, int]:
    """What a job takes of a machine."""
    run = job.table.get("run", {})
    gpu = str(run.get("device", "cpu")).startswith("cuda")
    return {"CPU": int(run.get("threads") or 1), "GPU": int(gpu)}


def work(job: Job, home: Path, word: str, version: str, plugins: str | None) -> Iterator[News]:
    """Do a job on the machine that Ray chose, and pass on what it tells.

    ``home`` is the folder where mmalign was called, from which relative paths go; ``word``
    stands in the job's folder.
    """
    threading.Thread(target=_die_with_machine, args=(os.getppid(),), daemon=True).start()
    if (wrong := refusal(home / job.folder, home, word, version)) is not None:
        yield "refused", wrong  # type: ignore[misc]
        return
    os.chdir(home)
    os.environ.update(dict.fromkeys(THREADS, "1"))
    if plugins is not None:
        os.environ[INHERITED] = plugins
    crew = _crew()
    crew.start(0, job)
    while True:
        for _, news in crew.news(1.0):
            yield news
            if news[0] != "said":
                return


def refusal(folder: Path, home: Path, word: str, version: str) -> str | None:
    """Why a job cannot be done on this machine, or None."""
    host = socket.gethostname()
    if version != mmalign.__version__:
        return (
            f"machine {host} of the cluster has mmalign {mmalign.__version__}, and this is"
            f" {version}; install the same on all"
        )
    end = time.monotonic() + PATIENCE
    while not _reads(folder / GIVEN, word):
        if time.monotonic() > end:
            return (
                f"machine {host} of the cluster does not see {folder} as it is here; the folder"
                " must be on a file system that all machines share, at the same path"
            )
        time.sleep(0.2)
    if not home.is_dir():
        return (
            f"machine {host} of the cluster has no folder {home}; call mmalign in a folder that"
            " all machines share"
        )
    return None


def _reads(path: Path, word: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") == word
    except OSError:
        return False


KEPT: list[Workers] = []


def _crew() -> Workers:
    """The worker process of this process of Ray's, kept from job to job: torch takes seconds."""
    if not KEPT:
        KEPT.append(Workers(1))
    return KEPT[0]


def _die_with_machine(parent: int) -> None:
    """End this process with Ray's daemon: what a machine given up still wrote would be in the way.

    Ray's own check takes seconds, in which the job begins again elsewhere.
    """
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(1)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _last_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]
