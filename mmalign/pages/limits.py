"""How much of a run a page shows: a page stays below 5 MB, and says what it left out."""

from __future__ import annotations

from dataclasses import dataclass, fields

LARGEST = 5_000_000  # bytes of a page


@dataclass(frozen=True)
class Limits:
    """The most of each thing."""

    classes: int = 1000  # in the table
    mistakes: int = 60
    places: int = 1500  # on the map
    runs: int = 12  # lines of a learning curve, and curves of seen against unseen
    points: int = 120  # of a line
    panels: int = 60  # learning curves
    notes: int = 60
    letters: int = 60_000  # of a recipe
    listed: int = 300  # hashes, and facts of a run
    cells: int = 1500  # of a sweep's table

    def tighter(self, by: int) -> Limits:
        """Everything divided by a number."""
        return Limits(**{f.name: max(2, getattr(self, f.name) // by) for f in fields(self)})


TRIED = (Limits(), Limits().tighter(4), Limits().tighter(30))
