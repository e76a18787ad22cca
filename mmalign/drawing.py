"""Draws a sweep's figure: SVG for print, PNG to look at, the same bytes every time."""

from __future__ import annotations

import io
from collections.abc import Sequence
from math import ceil
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from mmalign.errors import MmalignError, did_you_mean
from mmalign.figure import Figure
from mmalign.results import Row
from mmalign.series import Series, called, matrix, series
from mmalign.writing import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

INCHES = {"column": 3.3, "page": 6.9}
LETTERS = 19  # of 7 points to an inch
PUBLISHED = "published"
# Okabe and Ito's palette in an order of falling lightness steps, so that neighbours are told
# apart in grey too; markers and hatches say it once more.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000", "#F0E442")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("-", "--", "-.", ":")
HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\", "++++", "oooo", "----")
STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "hatch.linewidth": 0.4,
    "errorbar.capsize": 1.5,
    "svg.hashsalt": "mmalign",
    "svg.fonttype": "none",  # text stays text: it can be searched and edited
    "figure.constrained_layout.use": True,
}


def draw(figure: Figure, rows: Sequence[Row], folder: Path) -> list[Path]:
    """Write figure.svg and figure.png; raises MmalignError for what the rows do not hold."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    shown = [row for row in rows if figure.hue == "variant" or row["variant"] == figure.variant]
    if not shown:
        names = {row["variant"] for row in rows}
        raise MmalignError(
            f"figure.variant: no variant '{figure.variant}'; {did_you_mean(figure.variant, names)}"
        )
    made = []
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        canvas = Canvas(figsize=_size(figure))
        FigureCanvasAgg(canvas)
        axes = canvas.add_subplot()
        {"bars": _bars, "lines": _lines, "heatmap": _heatmap}[figure.kind](axes, figure, shown)
        if figure.title:
            canvas.suptitle(figure.title, fontsize=8)
        for kind, options in (("svg", {"metadata": {"Date": None}}), ("png", {"dpi": 300})):
            content = io.BytesIO()
            canvas.savefig(content, format=kind, **options)
            path = folder / f"figure.{kind}"
            write_whole(path, content.getvalue())
            made.append(path)
    return made


def _size(figure: Figure) -> tuple[float, float]:
    width = INCHES[figure.width]
    height = {"bars": 2.3, "lines": 2.4, "heatmap": 2.7}[figure.kind]
    return width, figure.height or height


def _finish(axes: Axes, figure: Figure, many: Sequence[Series]) -> None:
    """Labels, grid, legend, and what the error bars are."""
    only = figure.names.get(figure.y[0], figure.y[0]) + " " if len(figure.y) == 1 else ""
    axes.set_ylabel(figure.ylabel or f"{only}(%)" if only else figure.ylabel or "%")
    axes.set_xlabel(
        figure.xlabel
        or ("" if figure.x in ("cell", "part", "variant") else called(figure, figure.x))
    )
    axes.grid(axis="y", linewidth=0.4, alpha=0.5)
    axes.set_axisbelow(True)
    axes.margins(y=0.08)  # so that no marker is cut in half
    handles, labels = axes.get_legend_handles_labels()
    if len(labels) > 1:
        # matplotlib lists lines before bars; what was published comes last.
        last = [place for place, label in enumerate(labels) if label == PUBLISHED]
        order = [place for place in range(len(labels)) if place not in last] + last
        most = max(1, int(INCHES[figure.width] * LETTERS / (max(map(len, labels)) + 5)))
        columns = ceil(len(labels) / ceil(len(labels) / most))  # rows of one length
        _whole(axes).legend(
            [handles[place] for place in order], [labels[place] for place in order],
            loc="outside lower center", ncols=columns,
            frameon=False, handlelength=1.8, columnspacing=1.0, handletextpad=0.5,
            title=_caption(many), title_fontsize=7,
        )  # fmt: skip
    elif _caption(many):
        axes.set_title(_caption(many), fontsize=7, loc="right")


def _whole(axes: Axes) -> Canvas:
    """The figure that the axes stand in."""
    whole = axes.get_figure(root=True)
    assert whole is not None
    return whole


def _caption(many: Sequence[Series]) -> str:
    """What the error bars are; nothing where there are none."""
    counts = {point.count for each in many for point in each.points}
    if max(counts, default=0) < 2:
        return ""
    low, high = min(counts), max(counts)
    number = f"{low}" if low == high else f"{low} to {high}"
    return f"mean ± standard deviation of {number} runs"


def _bars(axes: Axes, figure: Figure, rows: Sequence[Row]) -> None:
    many = series(figure, rows)
    places = list(dict.fromkeys(point.x for each in many for point in each.points))
    places = [
        *(p for p in figure.order if p in places),
        *(p for p in places if p not in figure.order),
    ]
    width = 0.8 / len(many)
    for number, each in enumerate(many):
        at = [places.index(p.x) + (number - (len(many) - 1) / 2) * width for p in each.points]
        axes.bar(
            at, [p.mean for p in each.points], width * 0.92,
            color=COLOURS[number % len(COLOURS)], edgecolor="black", linewidth=0.4,
            hatch=HATCHES[number % len(HATCHES)], label=each.name,
            yerr=[p.std for p in each.points] if any(p.std for p in each.points) else None,
            error_kw={"elinewidth": 0.7},
        )  # fmt: skip
        goals = [(x, p.published) for x, p in zip(at, each.points, strict=True) if p.published]
        _published(axes, goals)
    _named(axes, figure, places)
    _finish(axes, figure, many)
    axes.set_ylim(bottom=0)


def _published(axes: Axes, goals: Sequence[tuple[float, float]]) -> None:
    """Published numbers as open diamonds, once in the legend."""
    if goals:
        known = PUBLISHED in axes.get_legend_handles_labels()[1]
        axes.plot(
            *zip(*goals, strict=True), "D", markerfacecolor="white", markeredgecolor="black",
            markersize=3.6, markeredgewidth=0.8, zorder=5, label=None if known else PUBLISHED,
        )  # fmt: skip


def apart(names: Sequence[str]) -> list[str]:
    """Names of cells without the ends that all share, such as the one data set at hand."""
    parts = [name.split(", ") for name in names]
    while min(map(len, parts)) > 1 and len({each[-1] for each in parts}) == 1 < len(parts):
        parts = [each[:-1] for each in parts]
    return [", ".join(each) for each in parts]


def _named(axes: Axes, figure: Figure, places: Sequence[str]) -> None:
    """Names below bars: on several lines, or turned where a word is too long for its bar."""
    names = apart([figure.names.get(place, place) for place in places])
    room = int(0.88 * INCHES[figure.width] * LETTERS / len(places)) - 1
    if max(len(word) for name in names for word in name.split()) <= room:
        wrapped = ["\n".join(wrap(name, room)) for name in names]
        axes.set_xticks(range(len(places)), wrapped, linespacing=1.1)
        if not any("\n" in name for name in wrapped):  # letters on one line, tails or not
            axes.tick_params(axis="x", pad=9)
            for text in axes.get_xticklabels():
                text.set_verticalalignment("baseline")
        return
    axes.set_xticks(range(len(places)), names, rotation=35, ha="right", rotation_mode="anchor")


def _lines(axes: Axes, figure: Figure, rows: Sequence[Row]) -> None:
    many = series(figure, rows, numbers=True)
    for number, each in enumerate(many):
        points = sorted(each.points, key=lambda p: p.at)
        colour = COLOURS[number % len(COLOURS)]
        axes.errorbar(
            [p.at for p in points], [p.mean for p in points],
            yerr=[p.std for p in points] if any(p.std for p in points) else None,
            color=colour, marker=MARKERS[number % len(MARKERS)],
            linestyle=DASHES[number % len(DASHES)], elinewidth=0.7, label=each.name,
        )  # fmt: skip
        goals = [(p.at, p.published) for p in points if p.published is not None]
        _published(axes, goals)
    if figure.log:
        axes.set_xscale("log")
    ticks = sorted({p.at for each in many for p in each.points})
    if len(ticks) <= 8:
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
    _finish(axes, figure, many)


def _heatmap(axes: Axes, figure: Figure, rows: Sequence[Row]) -> None:
    across, up, values = matrix(figure, rows)
    there = [value for line in values for value in line if value == value]
    low, high = min(there), max(there)
    image = axes.imshow(values, cmap="cividis", aspect="auto", origin="lower")
    axes.set_xticks(range(len(across)), [figure.names.get(v, v) for v in across])
    axes.set_yticks(range(len(up)), [figure.names.get(v, v) for v in up])
    axes.set_xlabel(figure.xlabel or called(figure, figure.x))
    axes.set_ylabel(figure.ylabel or called(figure, figure.rows))
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    bar = _whole(axes).colorbar(image, ax=axes, pad=0.02)
    bar.set_label(f"{figure.names.get(figure.y[0], figure.y[0])} (%)")
    bar.outline.set_visible(False)
    for i, line in enumerate(values):
        for j, value in enumerate(line):
            if value == value:
                light = (value - low) / (high - low or 1) > 0.55
                axes.text(
                    j, i, f"{value:.1f}", ha="center", va="center", fontsize=7,
                    color="black" if light else "white",
                )  # fmt: skip
