"""Everything that is wrong with a folder, gathered while it is read."""

from __future__ import annotations

from collections.abc import Sequence

MOST = 5  # lines of one kind: who mends the first few finds the others


class Problems:
    """One line per mistake: file, line and column, what is wrong, and what to do."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, where: str, wrong: str) -> None:
        """One mistake."""
        self.lines.append(f"{where}: {wrong}")

    def several(self, lines: Sequence[str]) -> None:
        """Mistakes of one kind, of which the first few are said."""
        self.lines += lines[:MOST]
        if len(lines) > MOST:
            where = lines[MOST].partition(":")[0]
            self.lines.append(f"{where}: this and {len(lines) - MOST - 1} more of the same kind")


def some_names(names: Sequence[str], most: int = MOST) -> str:
    """The first few names in quotes, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(f"'{name}'" for name in names[:most]) + more
