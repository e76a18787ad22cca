"""Pictures of the terminal for the docs: python tools/terminal_shots.py [NAME ...].

Each command runs in a pseudo-terminal of so many columns, in a folder of its own; a terminal
emulator (pyte) says what the screen shows at the end, and Rich draws that as an SVG, which asks
nobody for a font. ``docs/figures/terminal_NAME.svg`` is written.
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import tempfile
import termios
from itertools import groupby
from pathlib import Path

import pyte
from rich.console import Console
from rich.style import Style
from rich.text import Text

FIGURES = Path(__file__).parents[1] / "docs" / "figures"
PROGRAM = Path(sys.executable).with_name("mmalign")
HEIGHT = 500  # lines, more than any command writes
SHOTS = {
    "run_80": (80, "mmalign run synthetic --seeds 3 --workers 1"),
    "run_48": (48, "mmalign run synthetic --seeds 3 --workers 1"),
    "ls_80": (80, "mmalign ls"),
    "fields_80": (80, "mmalign ls softmax"),
    "sweep_80": (80, "mmalign run synthetic_sweep"),
    "check_80": (80, "mmalign check wrong.toml quickstart"),
    "plugins_48": (48, "mmalign plugins"),
}
WRONG = '[dataset]\nuse = "synthetik"\nsen = 3\n[modality.image]\nhiden = [8, 8]\n'
BRIGHT = {"brown": "yellow"}  # pyte's name of it


def screen_of(command: str, columns: int, folder: Path) -> pyte.Screen:
    """What a terminal shows when the command has ended."""
    screen = pyte.Screen(columns, HEIGHT)
    stream = pyte.ByteStream(screen)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    words = shlex.split(command)
    environment = {**os.environ, "TERM": "xterm-256color"}
    with subprocess.Popen(
        [str(PROGRAM), *words[1:]],
        stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=environment,
    ):  # fmt: skip
        os.close(theirs)
        while True:
            try:
                content = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            stream.feed(content)
    os.close(ours)
    return screen


def drawn(command: str, screen: pyte.Screen) -> str:
    """The screen as SVG, the command above it."""
    console = Console(
        record=True, width=screen.columns, file=io.StringIO(), force_terminal=True,
        color_system="truecolor",
    )  # fmt: skip
    console.print(Text.assemble(("$ ", "dim"), (command, "bold")))
    lines = [line_of(screen, row) for row in range(HEIGHT)]
    last = max(row for row, line in enumerate(lines) if line.plain.strip())
    for line in lines[: last + 1]:
        console.print(line, soft_wrap=True)
    svg = console.export_svg(title="", unique_id="terminal")
    return re.sub(r"\s*@font-face \{.*?\}\n", "\n", svg, flags=re.DOTALL)


def line_of(screen: pyte.Screen, row: int) -> Text:
    """One line, with its colours."""
    line = Text()
    cells = (screen.buffer[row][column] for column in range(screen.columns))
    for style, alike in groupby(cells, style_of):
        line.append("".join(cell.data for cell in alike), style)
    line.rstrip()
    return line


def style_of(cell: pyte.screens.Char) -> Style:
    """A cell's colour and weight."""
    colour = BRIGHT.get(cell.fg, cell.fg)
    colour = f"#{colour}" if re.fullmatch("[0-9a-f]{6}", colour) else colour
    return Style(color=colour, bold=cell.bold, italic=cell.italics)


def main() -> None:
    """Draw those that are named, or all."""
    for name in sys.argv[1:] or SHOTS:
        columns, command = SHOTS[name]
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "wrong.toml").write_text(WRONG, encoding="utf-8")
            screen = screen_of(command, columns, Path(folder))
        path = FIGURES / f"terminal_{name}.svg"
        path.write_text(drawn(command, screen), encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
