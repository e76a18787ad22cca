"""Chooses what a system leaves open, and trains it with that."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np

from mmalign.calibration import fit_temperature
from mmalign.contracts import Parts
from mmalign.errors import MmalignError
from mmalign.protocol import validation
from mmalign.report import measure
from mmalign.scaling import scale
from mmalign.systems.fitted import FittedSystem
from mmalign.systems.rows import Rows, rows_of
from mmalign.systems.system import Epoch, Scoring, System
from mmalign.types import Problem, Session, Training

Metric: TypeAlias = Literal["H", "T1"]
METRICS: tuple[Metric, ...] = ("H", "T1")


@dataclass(frozen=True)
class Judgement:
    """H and T1 of a model, and what finds the temperature of its scores."""

    values: Mapping[Metric, float]
    temperature: Callable[[], float | None] = lambda: None


Judge: TypeAlias = Callable[[Scoring], Judgement]


@dataclass(frozen=True)
class Choice:
    """The best candidate by one metric, and its best epoch; ``value`` is in [0, 1]."""

    system: System
    epoch: int
    value: float
    temperature: float | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """What a report says of it."""
        epoch = {"epoch": self.epoch} if self.system.last > 1 else {}
        return {**self.system.settings(), **epoch, "value": round(self.value, 5)}


def fit(system: System, training: Training, parts: Parts, session: Session) -> FittedSystem:
    """Choose hyper-parameters and epochs by H and by T1, then train on all rows.

    Nothing is chosen where one candidate is left and has one epoch, or its last is wanted.
    """
    rows = rows_of(training, session.device)
    epochs_open = system.last > 1 and system.select != "last"
    if len(system.candidates()) == 1 and not epochs_open:
        candidate = system.candidates()[0]
        only = {candidate: dict.fromkeys(METRICS, candidate.last)}
        return train(system, only, rows, training, session, {})
    if system.select == "test-oracle":
        if session.oracle is None:
            raise MmalignError(
                "select = 'test-oracle' looks at the rows that are asked, and none were handed"
                " over; run it as a recipe"
            )
        best = choose(system, rows, session, _by_oracle(rows, training, session), "oracle")
    else:
        problem = scale(validation(training, session.seed), parts.modalities)
        inner = rows_of(problem.training, session.device)
        judge = _by_question(inner, problem, session)
        best = choose(system, inner, session, judge, "validation")
    plan: dict[System, dict[Metric, int]] = {}
    for metric, choice in best.items():
        plan.setdefault(choice.system, {})[metric] = choice.epoch
    chosen: dict[str, Any] = {"by": system.select}
    chosen |= {metric: best[metric].facts for metric in METRICS}
    made = train(system, plan, rows, training, session, chosen)
    return replace(made, temperature=best["H"].temperature)


def choose(
    system: System, rows: Rows, session: Session, judge: Judge, stage: str
) -> dict[Metric, Choice]:
    """Train every candidate, judge it at each epoch, and take the best by each metric.

    With ``select = "last"`` a candidate is judged at its last epoch alone. Of equally good
    ones the first is taken. A candidate whose scores are not finite is out. Raises
    MmalignError where that holds of all.
    """
    best: dict[Metric, Choice] = {}
    candidates = system.candidates()
    told = Told(session, stage, candidates)
    for each, epoch in system.explore(candidates, rows, session):
        if system.select == "last" and epoch.number < each.last:
            continue
        try:
            judged = judge(epoch.model())
        except MmalignError:  # NaN or infinity as a score: it diverged
            continue
        told(each, epoch, {str(metric): value for metric, value in judged.values.items()})
        for metric, value in judged.values.items():
            if metric not in best or value > best[metric].value:
                temperature = judged.temperature() if metric == "H" else None
                best[metric] = Choice(each, epoch.number, value, temperature)
    if not best:
        raise MmalignError(
            f"the method '{system.name}' diverged with every one of its hyper-parameters; try a"
            " smaller step, or another scaling of the features"
        )
    return best


def train(
    system: System,
    plan: Mapping[System, Mapping[Metric, int]],
    rows: Rows,
    training: Training,
    session: Session,
    chosen: Mapping[str, Any],
) -> FittedSystem:
    """Train on all rows; ``plan`` says of each candidate whose epoch is wanted for what."""
    wanted = {each.until(max(epochs.values())): epochs for each, epochs in plan.items()}
    made: dict[Metric, Scoring] = {}
    told = Told(session, "training", list(wanted))
    for each, epoch in system.explore(list(wanted), rows, session):
        told(each, epoch, epoch.terms)
        metrics = [metric for metric, number in wanted[each].items() if number == epoch.number]
        if metrics:
            made |= dict.fromkeys(metrics, epoch.model())
    return fitted(made["H"], made["T1"], rows, training, session, chosen)


def fitted(
    everything: Scoring,
    alone: Scoring,
    rows: Rows,
    training: Training,
    session: Session,
    chosen: Mapping[str, Any],
) -> FittedSystem:
    """Models with the descriptions that they score."""
    levels = training.signature.levels
    return FittedSystem(
        everything,
        alone,
        rows.descriptions,
        tuple(sorted(name for name, level in levels.items() if level == "sample")),
        rows.known,
        rows.unseen,
        session.device,
        chosen,
    )


class Told:
    """Tells a session of the epochs of several candidates as those of one stage."""

    def __init__(self, session: Session, stage: str, candidates: Sequence[System]) -> None:
        self.session, self.stage = session, stage
        self.total = sum(each.last for each in candidates)
        self.reached: dict[System, int] = {}

    def __call__(self, system: System, epoch: Epoch, terms: Mapping[str, float]) -> None:
        """This epoch of this candidate has ended; its numbers are told with the terms."""
        self.reached[system] = epoch.number  # candidates may take turns
        numbers = {k: v for k, v in system.settings().items() if isinstance(v, float)}
        place = sum(self.reached.values())
        self.session.epoch_ended(self.stage, place, self.total, {**numbers, **terms})


def _by_question(rows: Rows, problem: Problem, session: Session) -> Judge:
    """Judges by the validation protocol's question."""
    question = problem.question
    unseen = np.flatnonzero(np.isin(question.labels, question.unseen))
    alone = {name: view.take(unseen) for name, view in question.views.items()}

    def judge(model: Scoring) -> Judgement:
        made = fitted(model, model, rows, problem.training, session, {})
        scores = made.scores(question.views, question.search.tolist())
        found = measure(scores, question, made.scores(alone, question.unseen.tolist()))
        return Judgement(
            {"H": found.H, "T1": found.T1},
            lambda: fit_temperature(scores, question.labels, question.search),
        )

    return judge


def _by_oracle(rows: Rows, training: Training, session: Session) -> Judge:
    """Judges by the rows that are asked, which the recipe has to ask for by name."""

    def judge(model: Scoring) -> Judgement:
        assert session.oracle is not None, "fit() has looked"
        found = session.oracle(fitted(model, model, rows, training, session, {}))
        return Judgement({"H": found.H, "T1": found.T1})

    return judge
