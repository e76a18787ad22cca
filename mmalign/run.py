"""The main job: a recipe in, a report and a model out."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
import torch
from rich.console import Console

import mmalign
from mmalign import bundle, summary
from mmalign.contracts import Fitted
from mmalign.errors import MmalignError
from mmalign.plugins import Registry
from mmalign.progress import RunProgress
from mmalign.protocol import pose
from mmalign.recipe import Recipe
from mmalign.report import Measures, Report, measure
from mmalign.types import Problem, Session, Source, View


@dataclass(frozen=True)
class Outcome:
    """A finished run: its report and its folder."""

    report: Report
    folder: Path


def run(
    recipe: Recipe,
    registry: Registry,
    console: Console,
    out: Path = Path("runs"),
    reuse: Path | None = None,
) -> Outcome:
    """Load, pose, fit and measure once per seed; write the report and the first seed's model.

    ``reuse`` is a folder where fitted representations are kept and found again.
    """
    device = checked_device(recipe.run.device)
    if reuse is not None:
        made_folder(reuse, "--reuse")
    if recipe.run.threads is not None:
        torch.set_num_threads(recipe.run.threads)
    began = time.perf_counter()
    source = recipe.dataset.load()
    views = {name: each.view(source) for name, each in recipe.parts.modalities.items()}
    read = {name: digest for view in views.values() for name, digest in view.hashes.items()}
    source = replace(source, hashes={**source.hashes, **read})
    folder = new_folder(out / recipe.name)
    (folder / "recipe.toml").write_text(tomli_w.dumps(recipe.table), encoding="utf-8")
    about = {"name": recipe.name, "folder": str(folder), "recipe": recipe.table}
    registry.manager.hook.mmalign_run_started(run={**about, "seeds": recipe.seeds})

    done: list[tuple[Problem, Fitted, Measures]] = []
    with (
        RunProgress(console) as progress,
        (folder / "metrics.jsonl").open("w", encoding="utf-8") as metrics,
    ):
        for place, seed in enumerate(recipe.seeds):

            def told(
                stage: str, epoch: int, epochs: int, terms: Mapping[str, float],
                seed: int = seed, place: int = place,
            ) -> None:  # fmt: skip
                title = f"seed {seed} ({place + 1}/{len(recipe.seeds)})  {stage}"
                progress.epoch_ended(title, epoch, epochs, terms)
                line = {"seed": seed, "stage": stage, "epoch": epoch, **terms}
                metrics.write(json.dumps(line) + "\n")
                registry.manager.hook.mmalign_epoch_ended(
                    run={**about, "seed": seed, "stage": stage}, epoch=epoch, losses=terms
                )

            session = Session(seed, device, told, reuse)
            done.append(one_seed(recipe, source, views, session))
            metrics.flush()

    report = reported(recipe, registry, source, done, time.perf_counter() - began)
    write(folder, recipe, report, done[0])
    registry.manager.hook.mmalign_run_ended(run=about, report=report)
    return Outcome(report, folder)


def one_seed(
    recipe: Recipe, source: Source, views: Mapping[str, View], session: Session
) -> tuple[Problem, Fitted, Measures]:
    """Pose the problem, fit the method, and measure its scores."""
    problem = pose(source, views, recipe.parts.modalities, recipe.protocol, session.seed)
    question = problem.question
    fitted = recipe.method.fit(problem.training, recipe.parts, session)
    scores = fitted.scores(question.views, question.search.tolist())
    asked = np.flatnonzero(np.isin(question.labels, question.unseen))
    rows = {name: view.take(asked) for name, view in question.views.items()}
    alone = fitted.scores(rows, question.unseen.tolist())
    return problem, fitted, measure(scores, question, alone)


def reported(
    recipe: Recipe,
    registry: Registry,
    source: Source,
    done: list[tuple[Problem, Fitted, Measures]],
    seconds: float,
) -> Report:
    """The report, with all that is needed to judge it."""
    training = done[0][0].training
    used = {p.name: f"{p.distribution} {p.version}" for p in registry.plugins if p.components}
    context = {
        "dataset": source.name,
        "seen": len(training.seen),
        "unseen": len(training.unseen),
        "side_information": [n for n, v in training.views.items() if v.level == "class"],
        "features": [n for n, v in training.views.items() if v.level == "sample"],
        "reading": reading(recipe),
        "data": dict(source.hashes),
        "versions": versions(),
        "plugins": used,
        "seconds": round(seconds, 1),
        "recipe_table": dict(recipe.table),
    }
    protocol = recipe.protocol
    notes = [*done[0][0].notes, *source.notes]
    if protocol.split == "validation":
        notes.append("validation protocol: the rows asked are training rows, no test row was read")
    return Report(
        recipe=recipe.name,
        seeds=recipe.seeds,
        measures=tuple(each for _, _, each in done),
        classes=source.classes,
        target={k: v for k, v in vars(recipe.report.target).items() if v not in (None, "")},
        notes=tuple(notes),
        facts=tuple(fitted.facts for _, fitted, _ in done),
        context=context,
    )


def reading(recipe: Recipe) -> str:
    """How the formulas were read, the protocol, and the scaling, in a sentence."""
    table = recipe.table
    said = [
        f"Protocol: {table['protocol']['split']} split, search among {table['protocol']['search']}"
    ]
    said += [
        f"{name} scaling {m['scaler']}" for name, m in table["modality"].items() if "scaler" in m
    ]
    said += [
        f"{key} = {table['method'][key]}" for key in ("noise", "scale") if key in table["method"]
    ]
    return "; ".join(said) + "."


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    return {
        "mmalign": mmalign.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


def write(
    folder: Path, recipe: Recipe, report: Report, first: tuple[Problem, Fitted, Measures]
) -> None:
    """Write report.json, confusion.csv and the model of the first seed."""
    text = json.dumps(summary.as_json(report), indent=1, allow_nan=False)
    (folder / "report.json").write_text(text + "\n", encoding="utf-8")
    rows = ["seed,true,predicted,count"]
    for seed, each in zip(report.seeds, report.measures, strict=True):
        for (true, said), count in each.confusion.items():
            names = (report.classes[index].replace('"', '""') for index in (true, said))
            rows.append(",".join([str(seed), *(f'"{name}"' for name in names), str(count)]))
    (folder / "confusion.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    problem, fitted, _ = first
    keys = ("versions", "data", "plugins", "reading")
    about: dict[str, Any] = {key: report.context[key] for key in keys}
    bundle.save(
        folder / "model",
        fitted,
        problem.training.signature,
        problem.scalings,
        recipe.table,
        {**about, "seed": report.seeds[0], "facts": dict(report.facts[0])},
        summary.card(report, report.seeds[0]),
    )


def new_folder(parent: Path) -> Path:
    """A new folder named by the time; never one that is there already."""
    stamp = datetime.now(UTC).astimezone().strftime("%Y-%m-%dT%H-%M-%S")
    for attempt in range(1, 1000):
        folder = parent / (stamp if attempt == 1 else f"{stamp}-{attempt}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise MmalignError(f"cannot make {folder}: {error.strerror}; choose --out") from None
        return folder
    raise MmalignError(f"{parent}: too many runs begun in one second")


def made_folder(folder: Path, option: str) -> None:
    """Make a folder that may be there already. Raises MmalignError, naming the option."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MmalignError(f"{option}: cannot make {folder}: {error.strerror}") from None


def checked_device(name: str) -> str:
    """The device, if torch has it and keeps numbers there. Raises MmalignError otherwise."""
    try:
        torch.empty(1, device=name).tolist()  # "meta" has shapes only
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        said = str(error).splitlines()[0]
        raise MmalignError(f"run.device: torch cannot use '{name}': {said}") from None
    return name
