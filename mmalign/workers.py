"""Worker processes: jobs go in, what happens to them comes out; a dead one is replaced."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Literal, TypeAlias

from mmalign.job import Job

# A worker computes on one thread; the workers together use the processors.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
Event: TypeAlias = tuple[Literal["epoch", "ended", "died"], Any]


@dataclass(eq=False)
class Worker:
    """One process, and the job that it is at."""

    place: int
    process: SpawnProcess
    # A pipe for each: a worker that is killed while it speaks breaks no other's channel.
    pipe: Connection
    job: Job | None = field(default=None)


class Workers:
    """So many worker processes; none is started before it has a job."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.alive: dict[int, Worker] = {}

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.alive.values():
            worker.process.kill()
        for worker in self.alive.values():
            worker.process.join()
            worker.pipe.close()

    @property
    def idle(self) -> list[int]:
        """The places of workers that have no job."""
        return [
            place
            for place in range(self.count)
            if place not in self.alive or self.alive[place].job is None
        ]

    def give(self, place: int, job: Job) -> None:
        """Give a job to an idle worker; one that is not there is started."""
        if place not in self.alive:
            self.alive[place] = _started(place)
        self.alive[place].job = job
        with suppress(OSError):  # it has just died, which events() will say
            self.alive[place].pipe.send(job)

    def events(self, seconds: float) -> Iterator[tuple[int, Job, Event]]:
        """What happens within so many seconds: place, job, and event.

        "epoch" comes with (stage, epoch, epochs), "ended" with None or what went wrong,
        "died" with the exit status; the worker is idle after the last two.
        """
        by_pipe = {worker.pipe: worker for worker in self.alive.values()}
        for pipe in wait(list(by_pipe), seconds):
            worker = by_pipe[pipe]  # type: ignore[index]
            job = worker.job
            try:
                event: Event = worker.pipe.recv()
            except (EOFError, OSError):
                event = ("died", self._buried(worker))
            if event[0] != "epoch":
                worker.job = None
            if job is not None:
                yield worker.place, job, event

    def _buried(self, worker: Worker) -> int | None:
        del self.alive[worker.place]
        worker.pipe.close()
        worker.process.join(5)
        return worker.process.exitcode


def _started(place: int) -> Worker:
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
    return Worker(place, process, ours)


def serve(pipe: Connection) -> None:
    """A worker's life: do jobs until the pipe or the parent ends."""
    threading.Thread(target=_die_with_parent, daemon=True).start()
    for name in THREADS:
        os.environ.setdefault(name, "1")
    import torch

    from mmalign.job import do
    from mmalign.plugins import discover

    torch.set_num_threads(1)
    registry = discover()
    with suppress(EOFError, OSError):
        while True:
            job: Job = pipe.recv()
            wrong = do(job, registry, lambda *said: pipe.send(("epoch", said)))
            pipe.send(("ended", wrong))


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
