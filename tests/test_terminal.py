"""What the commands look like: on a terminal, wide and narrow, without colour, and in a pipe."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios

import pytest
from commands import PROGRAM, call
from rich.cells import cell_len

from mmalign.report import Measures, Report
from mmalign.summary import as_text
from mmalign.terminal import make_console

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-7]|9[0-7])[;m]")


def on_terminal(*arguments, columns, cwd, **environment):
    """What the installed program writes to a terminal of so many columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    kept = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "FORCE_COLOR")}
    with subprocess.Popen(
        [PROGRAM, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, cwd=cwd,
        env={**kept, "TERM": "xterm-256color", **environment},
    ):  # fmt: skip
        os.close(theirs)
        said = b""
        while True:
            try:
                said += os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
    os.close(ours)
    return said.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("columns", [80, 40])
@pytest.mark.parametrize("command", ["ls", "plugins", "ls softmax"])
def test_no_line_is_wider_than_the_terminal(command, columns, tmp_path):
    said = on_terminal(*command.split(), columns=columns, cwd=tmp_path)
    assert COLOUR.search(said)
    lines = ESCAPE.sub("", said).splitlines()
    assert len(lines) > 10
    assert max(map(cell_len, lines)) <= columns
    # What a thing is stands below its name where there is no room beside it.
    name = next(line for line in lines if line.split()[:1] in (["softmax"], ["gzsl"], ["batch"]))
    assert (len(name.split()) == 1) == (columns == 40)


def test_no_color_takes_the_colour_away(tmp_path):
    said = on_terminal("plugins", columns=80, cwd=tmp_path, NO_COLOR="1")
    assert "aligned-vae" in said
    assert not COLOUR.search(said)


def test_a_pipe_gets_whole_lines_and_no_escape(tmp_path):
    said = subprocess.run([PROGRAM, "ls"], cwd=tmp_path, capture_output=True, text=True).stdout
    assert "\x1b" not in said
    (line,) = (line for line in said.splitlines() if line.split()[:1] == ["emoji_table"])
    assert line.endswith("the benchmark that comes with mmalign.")


def test_right_and_wrong_recipes_differ_in_colour(tmp_path):
    (tmp_path / "wrong.toml").write_text("[dataset]\n")
    said = on_terminal("check", "wrong.toml", "synthetic", columns=80, cwd=tmp_path)
    assert "\x1b[31mwrong\x1b[0m  wrong.toml" in said
    assert "\x1b[32mok\x1b[0m     synthetic" in said


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("mmalign run quick", "quickstart"),
        ("mmalign cp synthetic_t", "synthetic_table"),
        ("mmalign ls wass", "wasserstein"),
        ("mmalign reprod", "reproduce"),
    ],
)
def test_the_shell_completes_commands_recipes_and_components(words, found, tmp_path, monkeypatch):
    monkeypatch.setenv("_MMALIGN_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    assert call(cwd=tmp_path).stdout.split() == [found]


@pytest.mark.parametrize(("width", "explained"), [(80, True), (60, False)])
def test_a_reports_table_leaves_out_what_has_no_room(width, explained):
    measures = Measures(0.5, 0.4, 0.45, 0.6, 0.3, {0: 0.5}, {(0, 0): 1})
    report = Report("it", (0, 1), (measures, measures), ("a",))
    console = make_console()
    console.width = width
    with console.capture() as said:
        console.print(as_text(report, width))
    assert ("harmonic mean of S and U" in said.get()) == explained
    assert "45.0 ± 0.0" in said.get()
