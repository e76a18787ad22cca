"""Draw docs/figures/growth.png from benchmarks/results/growth.json: python tools/growth_figure.py.

Above, milliseconds of a training step; below, memory of the process beyond that of one that has
trained a few rows; a column for each size that is varied. Both axes are logarithmic, and a grey
line through each curve's last point shows what linear growth would be.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mmalign.drawing import COLOURS, INCHES, MARKERS, STYLE

ROOT = Path(__file__).parents[1]
AXES = ("rows", "classes", "dims", "modalities", "seeds")
CALLED = {"dims": "dimensions"}
VALUES = {"ms_per_step": "ms per step", "own_mib": "MiB"}


def draw(curves: list[dict[str, Any]], path: Path) -> None:
    """Write the picture."""
    with mpl.rc_context(STYLE):
        canvas = Figure(figsize=(INCHES["page"], 3.4))
        FigureCanvasAgg(canvas)
        panels = canvas.subplots(len(VALUES), len(AXES), sharey="row", squeeze=False)
        for column, axis in enumerate(AXES):
            of_axis = [curve for curve in curves if curve["axis"] == axis]
            for row, (key, said) in enumerate(VALUES.items()):
                panel = panels[row][column]
                for curve in of_axis:
                    place = ("aligned VAE", "head").index(curve["part"])
                    sizes = [each["size"] for each in curve["points"]]
                    values = [each[key] for each in curve["points"]]
                    panel.plot(
                        sizes, values, color=COLOURS[place], marker=MARKERS[place],
                        label=curve["part"],
                    )  # fmt: skip
                    linear = [values[-1] * size / sizes[-1] for size in sizes]
                    panel.plot(sizes, linear, color="0.75", linewidth=0.7, zorder=0)
                panel.set(xscale="log", yscale="log")
                if axis in ("modalities", "seeds"):
                    ticks = of_axis[0]["sizes"]
                    panel.set_xticks(ticks, [str(tick) for tick in ticks])
                    panel.minorticks_off()
                if column == 0:
                    panel.set_ylabel(said)
                if row == len(VALUES) - 1:
                    panel.set_xlabel(CALLED.get(axis, axis))
        handles, labels = panels[0][0].get_legend_handles_labels()
        handles.append(panels[0][0].lines[1])
        canvas.legend(
            handles, [*labels, "linear growth"], loc="outside upper center", ncols=3, frameon=False
        )
        canvas.savefig(path, dpi=200)


def main() -> None:
    """Draw what was measured last."""
    found = json.loads((ROOT / "benchmarks" / "results" / "growth.json").read_text())
    draw(found["curves"], ROOT / "docs" / "figures" / "growth.png")


if __name__ == "__main__":
    main()
