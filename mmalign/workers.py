"""Worker processes on this machine: jobs go in, what happens to them comes out."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from mmalign.crew import Crew, News
from mmalign.job import Job, do

# A worker computes on one thread; the workers together use the processors.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(eq=False)
class Worker:
    """One process, and the pipe to it."""

    process: SpawnProcess
    # A pipe for each: a worker that is killed while it speaks breaks no other's channel.
    pipe: Connection


class Workers(Crew):
    """So many worker processes here; none is started before it has a job."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.alive: dict[int, Worker] = {}

    def start(self, place: int, job: Job) -> None:
        """Give a job to a worker; one that is not there is started."""
        if place not in self.alive:
            self.alive[place] = _started()
        with suppress(OSError):  # it has just died, which news() will say
            self.alive[place].pipe.send(job)

    def news(self, seconds: float) -> Iterator[tuple[int, News]]:
        """What the pipes bring; the end of one is the death of its process."""
        by_pipe = {worker.pipe: place for place, worker in self.alive.items()}
        for pipe in wait(list(by_pipe), seconds):
            place = by_pipe[pipe]  # type: ignore[index]
            try:
                yield place, self.alive[place].pipe.recv()
            except (EOFError, OSError):
                yield place, ("died", f"its process died (exit status {self._buried(place)})")

    def close(self) -> None:
        """Kill the processes."""
        for worker in self.alive.values():
            worker.process.kill()
        for worker in self.alive.values():
            worker.process.join()
            worker.pipe.close()

    def _buried(self, place: int) -> int | None:
        worker = self.alive.pop(place)
        worker.pipe.close()
        worker.process.join(5)
        return worker.process.exitcode


def _started() -> Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs,))
    # Ctrl-C reaches every process of the terminal; only this one answers. A signal that is
    # ignored stays so in the process that is started.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process.start()
    finally:
        signal.signal(signal.SIGINT, before)
    theirs.close()  # so that the end of the process is the end of the pipe
    return Worker(process, ours)


def serve(pipe: Connection) -> None:
    """A worker's life: do jobs until the pipe or the parent ends."""
    threading.Thread(target=_die_with_parent, daemon=True).start()
    for name in THREADS:
        os.environ.setdefault(name, "1")
    import torch

    from mmalign.plugins import discover

    registry = discover()
    with suppress(EOFError, OSError):
        while True:
            job: Job = pipe.recv()
            torch.set_num_threads(1)  # a job before it may have taken more
            wrong = do(job, registry, lambda *said: pipe.send(("said", said)))
            pipe.send(("ended", wrong))


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
