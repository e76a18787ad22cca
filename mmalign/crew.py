"""Whoever does jobs: places for them, and what happens to each; a dead process is no end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeAlias

from mmalign.job import Job

TRIES = 2  # of a job whose process died: it may be the job's own fault
NODES = 5  # of a job whose machine went, which is none's; but some jobs bring machines down
Event: TypeAlias = tuple[Literal["said", "again", "ended"], Any]
News: TypeAlias = tuple[Literal["said", "ended", "died", "lost"], Any]


class Crew(ABC):
    """Places that do one job at a time.

    A job whose process died begins again in its place, up to ``TRIES`` times, one whose
    machine went up to ``NODES`` times; what had ended is never begun again. Leaving the
    context ends whatever is at work.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.jobs: dict[int, Job] = {}
        self.tries: dict[int, dict[str, int]] = {}

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def idle(self) -> list[int]:
        """The places that have no job."""
        return [place for place in range(self.count) if place not in self.jobs]

    def give(self, place: int, job: Job) -> None:
        """Give a job to an idle place."""
        self.jobs[place] = job
        self.tries[place] = {"died": 0, "lost": 0}
        self.start(place, job)

    def events(self, seconds: float) -> Iterator[tuple[int, Job, Event]]:
        """What happens within so many seconds: place, job, and event.

        "said" comes with what the job tells, "again" with why it begins anew, "ended" with
        None or what went wrong; the place is idle after that.
        """
        for place, (what, said) in self.news(seconds):
            if (job := self.jobs.get(place)) is None:
                continue
            if what == "died" or what == "lost":
                self.tries[place][what] += 1
                tries, most = self.tries[place][what], TRIES if what == "died" else NODES
                if tries < most:
                    self.start(place, job)
                    yield place, job, ("again", said)
                    continue
                what, said = "ended", f"{said}, {tries} times"
            if what == "ended":
                del self.jobs[place]
            yield place, job, (what, said)

    @abstractmethod
    def start(self, place: int, job: Job) -> None:
        """Begin a job in a place, from scratch."""

    @abstractmethod
    def news(self, seconds: float) -> Iterator[tuple[int, News]]:
        """What comes from places within so many seconds.

        As for ``events``, with "died", the job's process, and "lost", its machine, instead of
        "again"; either with how.
        """

    @abstractmethod
    def close(self) -> None:
        """End whatever is at work."""


Hire: TypeAlias = Callable[[int], Crew]
