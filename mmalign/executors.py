"""Where jobs are done: in processes of this machine, or on a Ray cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING

from mmalign.errors import MmalignError

if TYPE_CHECKING:  # the command line names executors, and must start at once
    from mmalign.crew import Hire


class Executor(StrEnum):
    """Who does the jobs of a sweep, a search and a run of several seeds."""

    processes = "processes"
    ray = "ray"


@dataclass(frozen=True)
class Site:
    """Whom to hire, and how many processors there are for them."""

    hire: Hire
    processors: int


@contextmanager
def site(executor: Executor, address: str | None = None) -> Iterator[Site]:
    """The place of work, for as long as it is needed. ``address`` is a Ray cluster's.

    Raises MmalignError where there is no cluster.
    """
    if executor is Executor.processes:
        if address is not None:
            raise MmalignError("--ray-address: say --executor ray too")
        from mmalign.workers import Workers

        yield Site(Workers, processors())
        return
    from mmalign.raycrew import RayCrew, connected

    with connected(address) as ray:
        yield Site(partial(RayCrew, ray), max(1, int(ray.cluster_resources().get("CPU", 0))))


def processors() -> int:
    """How many processors this process may use."""
    known = getattr(os, "sched_getaffinity", None)  # where it is told
    return len(known(0)) if known else os.cpu_count() or 1
