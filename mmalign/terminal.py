"""The console that every command writes to."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


RED, GREEN = 31, 32  # ANSI


def coloured(word: str, colour: int) -> str:
    """The word in this colour where standard output shows colours; without Rich, in no time."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return word
    return f"\x1b[{colour}m{word}\x1b[0m"


def make_console() -> Console:
    """A console that prints names and paths as they are: "[new]" is no markup, ":key:" no emoji."""
    from rich.console import Console

    # What standard output is now: while a plugin's code runs, it is another (see ``guard``).
    console = Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console = Console(file=sys.stdout, highlight=False, markup=False, emoji=False, width=100)
    return console
