"""The display of a sweep: lines where the output is no terminal, one display where it is."""

import io

import pytest
from rich.console import Console

from mmalign import board
from mmalign.board import Board, duration


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until a test moves it."""
    now = [0.0]
    monkeypatch.setattr(board.time, "monotonic", lambda: now[0])
    return now


def console(terminal, width=80):
    return Console(
        file=io.StringIO(), width=width, highlight=False, markup=False, emoji=False,
        force_terminal=terminal, color_system="standard" if terminal else None,
    )  # fmt: skip


def test_plain_lines_are_of_jobs_and_now_and_then_of_life(clock):
    out = console(terminal=False)
    with Board(out, workers=2, total=5, done=1) as shown:
        shown.began_job(0, "[a] :key:  seed 0")
        shown.began_job(1, "b  seed 0")
        for _ in range(50):
            clock[0] += 1
            shown.epoch_ended(0, "representation", 1, 2)
            shown.tick()
        shown.ended_job(0, "H = 50.0 %")
        shown.began_job(0, "c  seed 0")
        clock[0] += 31
        shown.tick()
        shown.again(0, "its process died; once more")
    assert out.file.getvalue().splitlines() == [
        "1 of 5 jobs are done already",
        "1/5 jobs; at work: [a] :key:  seed 0; b  seed 0",
        "[2/5] [a] :key:  seed 0  H = 50.0 %",
        "2/5 jobs, 119 s left; at work: b  seed 0; c  seed 0".replace("119 s", "2 min"),
        "c  seed 0  its process died; once more",
    ]


def test_a_terminal_has_one_display_with_a_line_for_each_worker(clock):
    out = console(terminal=True)
    with Board(out, workers=2, total=3, done=0) as shown:
        shown.began_job(0, "a  seed 0")
        shown.began_job(1, "b  seed 0")
        shown.epoch_ended(1, "representation", 3, 20)
        shown.bar.refresh()
        lines = [task.description for task in shown.bar.tasks if task.visible]
        assert lines == ["0/3 jobs", "a  seed 0", "b  seed 0  representation 3/20"]
        clock[0] = 10
        shown.ended_job(0, "H = 50.0 %")
        shown.tick()
        lines = [task.description for task in shown.bar.tasks if task.visible]
        assert lines == ["1/3 jobs, 20 s left", "b  seed 0  representation 3/20"]
        shown.again(1, "its process died; once more")
    said = out.file.getvalue()
    assert "a  seed 0  H = 50.0 %" in said
    assert "b  seed 0  its process died; once more" in said
    assert "\x1b[?25h" in said  # the cursor is back


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (89, "89 s"), (120, "2 min"), (9000, "2.5 h")]
)
def test_a_duration_has_a_unit_that_fits(seconds, said):
    assert duration(seconds) == said
