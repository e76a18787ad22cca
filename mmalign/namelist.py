"""Names and what they are, laid out for the width there is: the look of ``mmalign ls``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

NAME, TITLE, ASIDE = "cyan", "bold", "dim"
NARROW = 64  # columns below which what a name is stands below it
INDENT = 2


@dataclass(frozen=True)
class NameList:
    """A title, and names with what they are.

    In columns; on a narrow terminal one below the other; and where the output is no terminal,
    each on a line of its own, however long, for other programs to read.
    """

    title: str
    rows: Sequence[tuple[str, str | Text]]
    least: int = 0  # characters of the column of names, so that lists line up

    @property
    def longest(self) -> int:
        """Of the names, in characters."""
        return max((cell_len(name) for name, _ in self.rows), default=0)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The title, and a line or more for each name."""
        yield Text(self.title, style=TITLE)
        column = max(self.longest, self.least)
        for name, about in self.rows:
            text = Text(about) if isinstance(about, str) else about
            opening = Text.assemble((" " * INDENT + name, NAME))
            if not console.is_terminal:
                opening.pad_right(column - cell_len(name) + 2)
                whole = Text("  ").join(text.split("\n"))
                yield Text.assemble(opening, whole, no_wrap=True, overflow="ignore")
            elif options.max_width < NARROW:
                yield opening
                yield from _indented(console, text, 2 * INDENT, options.max_width)
            else:
                width = INDENT + column + 2
                opening.pad_right(width - cell_len(opening.plain))
                first, *others = _indented(console, text, width, options.max_width)
                yield opening + first[width:]
                yield from others
        yield Text()


def _indented(console: Console, text: Text, indent: int, width: int) -> list[Text]:
    """The text's lines, each after so many spaces; one empty line for none."""
    lines = list(text.wrap(console, max(width - indent, 20))) or [Text()]
    return [Text(" " * indent) + line for line in lines]
