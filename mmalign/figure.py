"""A recipe's [figure]: what of a sweep is drawn, and how."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mmalign.component import component

Inches = Annotated[float, Field(gt=0.5, le=20)]


@component
class Figure:
    """The figure of a sweep."""

    kind: Literal["bars", "lines", "heatmap"]
    """Bars for cells, lines over a number, or a heat map over two keys."""
    x: str = "cell"
    """What goes along: a key of the sweep, "cell", "variant", or a cell's "part" or "at"."""
    y: Annotated[tuple[str, ...], Field(min_length=1)] = ("H",)
    """Metrics: the height of bars and lines, the colour of a heat map (one only)."""
    hue: str = ""
    """What tells bars or lines of one metric apart; as for x."""
    rows: str = ""
    """What goes up in a heat map: a key of the sweep."""
    variant: str = ""
    """Which variant of the evaluation is drawn; the plain one by default."""
    order: tuple[str, ...] = ()
    """Values of x that come first, in this order."""
    names: dict[str, str] = Field(default_factory=dict)
    """How keys, cells, values and metrics are called, such as { da = "DA-VAE" }."""
    title: str = ""
    """Above the figure."""
    xlabel: str = ""
    """Along x; the key by default."""
    ylabel: str = ""
    """Up y; the metric in per cent by default."""
    log: bool = False
    """A logarithmic x; for lines."""
    width: Literal["column", "page"] = "column"
    """3.3 or 6.9 inches, a column or the page of a paper."""
    height: Inches | None = None
    """Inches; chosen by kind and width by default."""

    def __post_init__(self) -> None:
        if self.kind == "heatmap" and (not self.rows or self.x == "cell"):
            raise ValueError("a heat map needs two keys, x and rows")
        if self.kind == "heatmap" and self.hue:
            raise ValueError("hue: a heat map has none")
        if self.kind != "heatmap" and self.rows:
            raise ValueError("rows: only a heat map has them")
        if len(self.y) > 1 and (self.hue or self.kind == "heatmap"):
            raise ValueError("y: one metric, where colour tells something else")

    @property
    def keys(self) -> tuple[str, ...]:
        """What of the sweep the figure asks for."""
        return tuple(key for key in (self.x, self.hue, self.rows) if key)
