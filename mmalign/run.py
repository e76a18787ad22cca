"""The main job: a recipe in, a report and a model out."""

from __future__ import annotations

import json
import platform
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
import torch
from rich.console import Console

import mmalign
from mmalign import bundle, summary
from mmalign.answers import Answers, read_parts
from mmalign.contracts import Fitted, Variant
from mmalign.errors import MmalignError
from mmalign.plugins import Registry
from mmalign.progress import Progressing, RunProgress
from mmalign.protocol import pose
from mmalign.recipe import Recipe
from mmalign.report import Measures, Report, judge
from mmalign.types import Floats, Indices, Problem, Question, Session, Source, View


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
    progressing: Progressing | None = None,
) -> Outcome:
    """Load, pose, fit and measure once per seed; write the report and the first seed's model.

    ``reuse`` is a folder where fitted representations are kept and found again.
    ``progressing`` is told of every epoch instead of the console.
    """
    device = checked_device(recipe.run.device)
    if reuse is not None:
        made_folder(reuse, "--reuse")
    if recipe.run.threads is not None:
        torch.set_num_threads(recipe.run.threads)
    began = time.perf_counter()
    source = recipe.dataset.load()
    views = {name: each.view(source) for name, each in recipe.parts.modalities.items()}
    source = source.with_word_of(views)
    folder = new_folder(out / recipe.name)
    (folder / "recipe.toml").write_text(tomli_w.dumps(recipe.table), encoding="utf-8")
    about = {"name": recipe.name, "folder": str(folder), "recipe": recipe.table}
    registry.manager.hook.mmalign_run_started(run={**about, "seeds": recipe.seeds})

    done: list[Answer] = []
    planned = [(seed, draw) for seed in recipe.seeds for draw in recipe.draws]
    with (
        progressing or RunProgress(console) as progress,
        (folder / "metrics.jsonl").open("w", encoding="utf-8") as metrics,
        kept_fits(reuse, needed=len(recipe.draws) > 1) as fits,
    ):
        for place, (seed, draw) in enumerate(planned):

            def told(
                stage: str, epoch: int, epochs: int, terms: Mapping[str, float],
                seed: int = seed, draw: int | None = draw, place: int = place,
            ) -> None:  # fmt: skip
                drawn = {} if draw is None else {"draw": draw}
                title = "".join(f", {key} {value}" for key, value in drawn.items())
                title = f"seed {seed}{title} ({place + 1}/{len(planned)})  {stage}"
                progress.epoch_ended(title, epoch, epochs, terms)
                line = {"seed": seed, **drawn, "stage": stage, "epoch": epoch, **terms}
                metrics.write(json.dumps(line) + "\n")
                registry.manager.hook.mmalign_epoch_ended(
                    run={**about, "seed": seed, **drawn, "stage": stage},
                    epoch=epoch,
                    losses=terms,
                )

            session = Session(seed, device, told, fits)
            done.append(answer(recipe, source, views, session, draw or 0))
            metrics.flush()

    report = reported(recipe, registry, source, done, time.perf_counter() - began)
    write(folder, recipe, report, done[0])
    registry.manager.hook.mmalign_run_ended(run=about, report=report)
    return Outcome(report, folder)


@dataclass(frozen=True)
class Answer:
    """One posed problem, what was fitted to it, and how that scored; variants by name."""

    problem: Problem
    fitted: Fitted
    measures: Measures
    variants: Mapping[str, Measures]


def answer(
    recipe: Recipe, source: Source, views: Mapping[str, View], session: Session, draw: int = 0
) -> Answer:
    """Pose the problem, fit the method, and measure its scores."""
    problem = pose(source, views, recipe.parts.modalities, recipe.protocol, session.seed, draw)
    fitted = recipe.method.fit(problem.training, recipe.parts, session)
    variants: Mapping[str, Variant] = getattr(fitted, "variants", {})
    measured = {name: measured_by(each, problem.question) for name, each in variants.items()}
    return Answer(problem, fitted, measured_by(fitted, problem.question), measured)


def measured_by(scorer: Variant, question: Question) -> Measures:
    """Measure a question's rows over all classes, and those of unseen ones over these alone."""
    unseen = np.flatnonzero(np.isin(question.labels, question.unseen))
    alone = answers_of(scorer, question, unseen, question.unseen)
    everything = answers_of(scorer, question, np.arange(len(question.labels)), question.search)
    return judge(everything, question, alone)


def answers_of(scorer: Variant, question: Question, rows: Indices, search: Indices) -> Answers:
    """What these rows of a question are answered among these classes.

    Part by part, since all scores at once may be more than the memory holds.
    """

    def scores(part: Indices) -> Floats:
        views = {name: view.take(rows[part]) for name, view in question.views.items()}
        return scorer.scores(views, search.tolist())

    return read_parts(scores, question.labels[rows], search, question.seen)


@contextmanager
def kept_fits(given: Path | None, needed: bool) -> Iterator[Path | None]:
    """Where representations are kept: the folder given, or one for this run if it needs one.

    The draws of one seed differ in the head's shots alone, and share a representation.
    """
    if given is not None or not needed:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="mmalign-") as folder:
        yield Path(folder)


def reported(
    recipe: Recipe,
    registry: Registry,
    source: Source,
    done: list[Answer],
    seconds: float,
) -> Report:
    """The report, with all that is needed to judge it."""
    training = done[0].problem.training
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
    notes = [*done[0].problem.notes, *source.notes]
    if protocol.split == "validation":
        notes.append("validation protocol: the rows asked are training rows, no test row was read")
    return Report(
        recipe=recipe.name,
        seeds=tuple(seed for seed in recipe.seeds for _ in recipe.draws),
        draws=tuple(draw for _ in recipe.seeds for draw in recipe.draws),
        measures=tuple(each.measures for each in done),
        variants={name: tuple(each.variants[name] for each in done) for name in done[0].variants},
        classes=source.classes,
        target={k: v for k, v in vars(recipe.report.target).items() if v not in (None, "")},
        notes=tuple(notes),
        facts=tuple(each.fitted.facts for each in done),
        context=context,
    )


def reading(recipe: Recipe) -> str:
    """How the formulas were read, the protocol, and the scaling, in a sentence."""
    table = recipe.table
    said = [
        f"Protocol: {table['protocol']['split']} split, search among {table['protocol']['search']}"
    ]
    protocol = recipe.protocol
    if protocol.shots:
        sight = "sees" if protocol.shots_in_representation else "does not see"
        said.append(
            f"{protocol.shots} shots of each unseen class, which the representation {sight}"
        )
    if protocol.mix is not None:
        first, second = protocol.mix.between
        shares = f"{protocol.mix.seen:g} % of seen and {protocol.mix.unseen:g} % of unseen classes"
        said.append(f"{shares} carry {second}, the others {first}")
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


def write(folder: Path, recipe: Recipe, report: Report, first: Answer) -> None:
    """Write report.json, confusion.csv and the model of the first seed."""
    text = json.dumps(summary.as_json(report), indent=1, allow_nan=False)
    (folder / "report.json").write_text(text + "\n", encoding="utf-8")
    rows = ["seed,true,predicted,count"]
    for seed, each in zip(report.seeds, report.measures, strict=True):
        for (true, said), count in each.confusion.items():
            names = (report.classes[index].replace('"', '""') for index in (true, said))
            rows.append(",".join([str(seed), *(f'"{name}"' for name in names), str(count)]))
    (folder / "confusion.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    keys = ("versions", "data", "plugins", "reading")
    about: dict[str, Any] = {key: report.context[key] for key in keys}
    bundle.save(
        folder / "model",
        first.fitted,
        first.problem.training.signature,
        first.problem.scalings,
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
