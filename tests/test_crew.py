"""Second tries: for jobs whose process died, and, more of them, for those whose machine went."""

from pathlib import Path

import pytest

from mmalign.crew import NODES, TRIES, Crew
from mmalign.job import DONE, Job, do

JOB = Job("mine", {}, 0, Path("nowhere"))


class Told(Crew):
    """A crew that hears what a test says."""

    def __init__(self, count, news):
        super().__init__(count)
        self.told, self.begun, self.closed = list(news), [], False

    def start(self, place, job):
        self.begun.append((place, job))

    def news(self, seconds):
        yield from self.told
        self.told.clear()

    def close(self):
        self.closed = True


def events(news):
    with Told(2, [(0, each) for each in news]) as crew:
        crew.give(0, JOB)
        assert crew.idle == [1]
        found = [event for _, _, event in crew.events(1.0)]
    assert crew.closed
    return crew, found


def test_what_is_said_and_how_it_ended_goes_through():
    crew, found = events([("said", ("a", 1, 2)), ("ended", None)])
    assert found == [("said", ("a", 1, 2)), ("ended", None)]
    assert crew.idle == [0, 1]
    assert crew.begun == [(0, JOB)]


@pytest.mark.parametrize(("what", "most"), [("died", TRIES), ("lost", NODES)])
def test_a_job_begins_again_so_many_times(what, most):
    crew, found = events([(what, "it went")] * most)
    assert found == [("again", "it went")] * (most - 1) + [("ended", f"it went, {most} times")]
    assert crew.begun == [(0, JOB)] * most
    assert crew.idle == [0, 1]


def test_a_machine_that_went_is_no_fault_of_the_job():
    _, found = events([("lost", "m"), ("died", "p"), ("lost", "m"), ("ended", None)])
    assert found == [("again", "m"), ("again", "p"), ("again", "m"), ("ended", None)]


def test_the_news_of_an_idle_place_is_none():
    crew, found = events([("ended", "wrong"), ("died", "late")])
    assert found == [("ended", "wrong")]
    assert crew.begun == [(0, JOB)]


def test_a_job_that_has_ended_is_not_begun_again(tmp_path):
    """Its worker may be lost between the last file and the last word."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "report.json").write_text("{}")
    done = '{"run": "run", "seconds": 1.0, "reuse": "", "version": "0"}'
    (tmp_path / DONE).write_text(done)

    class Never(Job):
        def work(self, registry, tell):
            raise AssertionError

    assert do(Never("mine", {}, 0, tmp_path), None, print) is None
    assert (tmp_path / DONE).read_text() == done
    (tmp_path / "run" / "report.json").unlink()
    assert "AssertionError" in do(Never("mine", {}, 0, tmp_path), None, print)
