"""What a run's folder keeps until the run is over, so that one that was killed can go on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmalign.answering import Answer
from mmalign.checkpoints import Checkpoints
from mmalign.errors import TRACEBACK, MmalignError
from mmalign.plugins import Registry
from mmalign.recipe import Recipe, read
from mmalign.report import METRICS, Measures
from mmalign.writing import write_whole

UNFINISHED = "unfinished"  # folder within a run's, gone when the run is over
ANSWER = "answer.json"
SAME = "same.json"


class ChangedError(MmalignError):
    """What a run was begun with is not what is here now, so it cannot go on to the bit."""


@dataclass(frozen=True)
class FitFolder:
    """What the fit of one seed and one draw keeps: its checkpoints, and then its answer."""

    path: Path

    def checkpoints(self, every: float) -> Checkpoints:
        """Those of its loops, ``every`` so many seconds."""
        return Checkpoints(self.path, every)

    @property
    def answer(self) -> Answer | None:
        """What it came to, if it has come to its end."""
        try:
            said = json.loads((self.path / ANSWER).read_text(encoding="utf-8"))
            variants = {name: _measures(each) for name, each in said["variants"].items()}
            return Answer(_measures(said["measures"]), variants, said["facts"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep(self, answer: Answer) -> None:
        """Keep what it came to; its checkpoints have served."""
        variants = {name: _table(each) for name, each in answer.variants.items()}
        said = {"measures": _table(answer.measures), "variants": variants}
        text = json.dumps({**said, "facts": dict(answer.facts)})
        self.path.mkdir(parents=True, exist_ok=True)
        write_whole(self.path / ANSWER, text.encode())
        for each in self.path.glob("*.safetensors"):
            with suppress(OSError):
                each.unlink()


def fit_folder(seed_folder: Path, draw: int | None) -> FitFolder:
    """The folder of one draw within its seed's."""
    return FitFolder(seed_folder if draw is None else seed_folder / f"draw-{draw}")


def seed_folder(run_folder: Path, seed: int) -> Path:
    """Where a seed keeps what it has, within the run's folder."""
    return run_folder / UNFINISHED / f"seed-{seed}"


def check_same(folder: Path, now: Mapping[str, Any]) -> None:
    """Keep what a fit depends on in its folder, or compare it with what is kept there.

    Raises ChangedError, naming each thing that is another one.
    """
    path, now = folder / SAME, json.loads(json.dumps(now))
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, (json.dumps(now, indent=1) + "\n").encode())
        return
    if lines := list(differences(before, now)):
        raise ChangedError(
            "\n  ".join([f"{folder}: it was begun with something else", *lines])
            + "\n  leave out --resume to begin anew"
        )


def threads_of(folder: Path) -> int | None:
    """How many threads a run that was left in the middle computed on, if that is known."""
    for path in sorted(folder.glob(f"{UNFINISHED}/**/{SAME}")):
        with suppress(OSError, ValueError, KeyError, TypeError):
            return int(json.loads(path.read_text(encoding="utf-8"))["threads"])
    return None


def differences(before: Any, now: Any, path: str = "") -> list[str]:
    """One line for each value of two JSON tables that is not the same."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        return [
            line
            for key in sorted({*before, *now})
            for line in differences(
                before.get(key), now.get(key), f"{path}.{key}" if path else str(key)
            )
        ]
    return [] if before == now else [f"{path}: {_said(before)} then, {_said(now)} now"]


def _said(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value)


def latest(parent: Path) -> Path | None:
    """The newest run in a folder of runs that has not come to its end.

    One that was killed after its end, while it cleared away, is cleared away.
    """
    for each in parent.glob(f"*/{UNFINISHED}"):
        if (each.parent / "report.json").exists() and not any(each.rglob(TRACEBACK)):
            shutil.rmtree(each, ignore_errors=True)
    found = [each.parent for each in parent.glob(f"*/{UNFINISHED}") if is_unfinished(each.parent)]
    return max(
        found, key=lambda each: ((each / "recipe.toml").stat().st_mtime, each.name), default=None
    )


def is_unfinished(folder: Path) -> bool:
    """Whether it is a run's folder whose run has not come to its end."""
    begun = (folder / UNFINISHED).is_dir() and (folder / "recipe.toml").is_file()
    return begun and not (folder / "report.json").exists()


def going_on(
    what: str, registry: Registry, settings: Sequence[str], out: Path
) -> tuple[Recipe, Path | None]:
    """A recipe and the folder of its run that is to go on, None where there is none.

    ``what`` is such a folder, or a recipe, whose newest run in ``out`` is meant. Raises
    MmalignError for a folder that is none of a run left in the middle.
    """
    folder = Path(what)
    if not folder.is_dir():
        recipe = read(what, registry, settings)
        return recipe, latest(out / recipe.name)
    if not is_unfinished(folder):
        raise MmalignError(f"{folder}: no run that was left in the middle")
    if settings:
        raise MmalignError(
            f"{folder}: it goes on with its own settings; leave out --set and --seeds"
        )
    folder = folder.resolve()
    recipe = read(str(folder / "recipe.toml"), registry)
    return replace(recipe, name=folder.parent.name), folder


def _table(measures: Measures) -> dict[str, Any]:
    return {
        **measures.summary(),
        "per_class": list(measures.per_class.items()),
        "confusion": [[*pair, count] for pair, count in measures.confusion.items()],
        "curve": measures.curve,
    }


def _measures(said: Mapping[str, Any]) -> Measures:
    return Measures(
        **{name: float(said[name]) for name in METRICS},
        per_class={int(index): float(share) for index, share in said["per_class"]},
        confusion={(int(true), int(answer)): int(n) for true, answer, n in said["confusion"]},
        # An older mmalign kept none.
        curve=tuple((float(u), float(s)) for u, s in said.get("curve", ())),
    )
