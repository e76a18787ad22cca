"""A finished run done once more from what its folder keeps, and the two compared."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmalign.errors import MmalignError
from mmalign.plugins import Registry
from mmalign.recipe import Recipe, read
from mmalign.unfinished import differences
from mmalign.writing import write_whole

# What a run leaves that has no time in it.
FILES = ("metrics.jsonl", "confusion.csv", "model/model.safetensors")
BASIS = ("versions", "plugins", "data", "machine")
SAID = "reproduced.json"
# Other versions and processors round in another way, and then a fit is another draw of the same
# experiment, as that of another seed is. On CUB the seeds' standard deviation of H is 1.0 point,
# and a change of rounding moved emoji's mean by one of its standard deviations.
DEVIATIONS = 3.0
POINTS = 3.0  # where one seed says nothing of a deviation


@dataclass(frozen=True)
class Comparison:
    """What two runs of one recipe came to; ``basis`` has a line for each thing that differs.

    ``files`` says of each file whether it is the same to the bit. ``metrics`` are the means then
    and now, in [0, 1], and how far apart they may be.
    """

    basis: tuple[str, ...]
    files: Mapping[str, bool]
    metrics: Mapping[str, tuple[float, float, float]]

    @property
    def same(self) -> bool:
        """To the bit."""
        return all(self.files.values())

    @property
    def near(self) -> bool:
        """Every metric within its tolerance."""
        return all(abs(then - now) <= most for then, now, most in self.metrics.values())

    @property
    def reproduced(self) -> bool:
        """To the bit, or within the tolerance where versions or the machine are other ones.

        Other data, or other plugins, is another experiment, however near its numbers come.
        """
        excused = [line.startswith(("versions.", "machine.")) for line in self.basis]
        return self.same or (self.near and bool(excused) and all(excused))


def reproduce(
    folder: Path, registry: Registry, again: Callable[[Recipe, int], Path]
) -> tuple[Path, Comparison]:
    """Run what a finished run's folder says again; the new folder, and how they compare.

    ``again`` runs a recipe, with so many threads in one process, and gives its folder. Raises
    MmalignError for a folder of no finished run.
    """
    then = finished_report(folder)
    if "processes" in then:
        raise MmalignError(
            f"{folder}: {then['processes']} processes trained it together; run its recipe.toml"
            f" again with --devices {then['processes']}, and compare the two by mmalign table"
        )
    recipe = replace(read(str(folder / "recipe.toml"), registry), name=str(then["recipe"]))
    made = again(recipe, int(then.get("machine", {}).get("threads", 1)))
    found = compared(folder, then, made, finished_report(made))
    said = {
        "of": str(folder),
        "same": found.same,
        "reproduced": found.reproduced,
        "differs": list(found.basis),
        "files": dict(found.files),
        "metrics": {
            k: {"then": a, "now": b, "tolerance": c} for k, (a, b, c) in found.metrics.items()
        },
    }
    write_whole(made / SAID, (json.dumps(said, indent=1) + "\n").encode())
    return made, found


def finished_report(folder: Path) -> dict[str, Any]:
    """A finished run's report.json. Raises MmalignError where there is none."""
    path = folder / "report.json"
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        if not {"summary", "recipe"} <= said.keys():
            raise ValueError("it has no summary")
    except FileNotFoundError:
        raise MmalignError(f"{folder}: no finished run; it has no report.json") from None
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise MmalignError(f"{path}: no run's report ({error})") from None
    return dict(said)


def compared(
    before: Path, then: Mapping[str, Any], after: Path, now: Mapping[str, Any]
) -> Comparison:
    """Two runs of one recipe, by their folders and their reports."""
    basis = [
        line for key in BASIS for line in differences(then.get(key) or {}, now.get(key) or {}, key)
    ]
    files = {name: _same(before / name, after / name) for name in FILES}
    metrics = {}
    for name, each in then["summary"].items():
        other = now["summary"].get(name, {"mean": float("inf")})
        most = POINTS / 100 if each["std"] is None else DEVIATIONS * each["std"]
        metrics[name] = (float(each["mean"]), float(other["mean"]), float(most))
    return Comparison(tuple(basis), files, metrics)


def _same(one: Path, other: Path) -> bool:
    try:
        return one.read_bytes() == other.read_bytes()
    except OSError:
        return False
