"""Progress: plain lines where the output is no terminal, a bar where it is one."""

import io

import pytest
from rich.console import Console

from mmalign import progress
from mmalign.progress import RunProgress


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until a test moves it."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def console(terminal):
    return Console(
        file=io.StringIO(), width=100, highlight=False,
        force_terminal=terminal, color_system="standard" if terminal else None,
    )  # fmt: skip


def lines(clock, epochs, seconds):
    """What is printed of a stage whose epochs take so many seconds."""
    out = console(terminal=False)
    with RunProgress(out) as shown:
        for epoch in range(1, epochs + 1):
            clock[0] += seconds
            shown.epoch_ended("seed 0  stage", epoch, epochs, {"loss": 12.3456, "kl": 1e-5})
    return out.file.getvalue().splitlines()


def test_a_quick_stage_says_its_first_and_its_last_epoch(clock):
    assert lines(clock, 50, 0.01) == [
        "seed 0  stage  epoch 1/50  loss 12.3  kl 1e-05",
        "seed 0  stage  epoch 50/50  loss 12.3  kl 1e-05",
    ]


def test_a_slow_stage_speaks_at_intervals_and_says_what_is_left(clock):
    said = lines(clock, 20, 4.0)
    assert [line.split("  ")[2] for line in said] == [
        *("epoch 1/20", "epoch 4/20", "epoch 7/20", "epoch 10/20", "epoch 13/20"),
        *("epoch 16/20", "epoch 19/20", "epoch 20/20"),
    ]
    assert said[1].endswith("  64 s left")


def test_a_stage_of_one_epoch_is_one_line(clock):
    assert len(lines(clock, 1, 1.0)) == 1


def test_plain_lines_hold_no_control_characters_and_names_as_they_are():
    out = console(terminal=False)
    with RunProgress(out) as shown:
        shown.epoch_ended("[red] :key: " + "long " * 40, 1, 2, {"loss": 1.0})
    (line,) = out.file.getvalue().splitlines()
    assert line.startswith("[red] :key: long")
    assert line.isprintable()


def test_a_terminal_gets_a_bar_that_shows_each_term_and_goes_away():
    out = console(terminal=True)
    with RunProgress(out) as shown:
        shown.epoch_ended("seed 0  stage", 1, 2, {"loss": 12.3456, "my-loss": 0.5})
        assert shown.bar is not None
        shown.bar.refresh()
        shown.epoch_ended("seed 0  next", 1, 3, {"loss": 1.0})
        shown.bar.refresh()
        visible = [task.description for task in shown.bar.tasks if task.visible]
    said = out.file.getvalue()
    for part in ("1/2", "seed 0  stage", "loss 12.3", "my-loss 0.5", "1/3"):
        assert part in said
    assert visible == ["seed 0  next"]
    assert "\x1b[?25h" in said  # the cursor is back


def test_the_bar_goes_away_when_a_run_fails():
    shown = RunProgress(console(terminal=True))

    def fail():
        with shown:
            shown.epoch_ended("stage", 1, 2, {"loss": 1.0})
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert shown.bar is not None
    assert not shown.bar.live.is_started
