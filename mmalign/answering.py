"""One problem: posed, fitted, and measured in every way that the fitted thing scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mmalign.answers import Answers, read_parts
from mmalign.arrays import Floats, Indices
from mmalign.asking import inside
from mmalign.checked import CheckedScorer, facts_of, fitted_by
from mmalign.contracts import Fitted, LatentSpace, TrainsTogether, Variant
from mmalign.guard import gathered
from mmalign.protocol import pose
from mmalign.report import Measures, judge
from mmalign.searching import retrieval_of
from mmalign.tables import Recipe
from mmalign.types import Facts, Problem, Question, Session, Source, View

ORACLE = (
    "ORACLE: the epoch and the hyper-parameters were chosen on the test rows"
    ' (select = "test-oracle"); these numbers are not comparable with honest ones'
)


@dataclass(frozen=True)
class Answer:
    """How one fit scored, in its variants too, and what it says of itself."""

    measures: Measures
    variants: Mapping[str, Measures]
    facts: Facts


def answer(
    recipe: Recipe, source: Source, views: Mapping[str, View], session: Session, draw: int = 0
) -> tuple[Problem, Fitted, Answer]:
    """Pose the problem, fit the method, and measure its scores.

    A method whose ``select`` is "test-oracle" may measure itself on what is asked; nothing
    else ever sees it, and the report says so in its first line.
    """
    problem = posed(recipe, source, views, session.seed, draw)
    if ORACLE in problem.notes:
        question = problem.question
        session = replace(session, oracle=lambda fitted: measured_by(fitted, question))
    with gathered() as notes:
        fitted = fitted_by(recipe.method, problem.training, recipe.parts, session)
        variants: Mapping[str, Variant] = {"": fitted, **getattr(fitted, "variants", {})}
        scorers = {name: CheckedScorer(each, recipe.method) for name, each in variants.items()}
        measured = {name: measured_by(each, problem.question) for name, each in scorers.items()}
        facts = facts_of(recipe.method, fitted)
    problem = replace(problem, notes=(*problem.notes, *notes))
    if recipe.report.retrieval and isinstance(fitted, LatentSpace):
        facts = {**facts, "retrieval": retrieval_of(fitted, problem)}
    return problem, fitted, Answer(measured.pop(""), measured, facts)


def posed(
    recipe: Recipe, source: Source, views: Mapping[str, View], seed: int, draw: int = 0
) -> Problem:
    """The recipe's problem, with a note where the method chooses on what is asked."""
    problem = pose(source, views, recipe.parts.modalities, recipe.protocol, seed, draw)
    if getattr(recipe.method, "select", None) == "test-oracle":
        problem = replace(problem, notes=(ORACLE, *problem.notes))
    return problem


def together(recipe: Recipe) -> bool:
    """Whether the representations of the recipe's seeds are to be trained as one."""
    asked = recipe.run.together
    wanted = recipe.run.device.startswith("cuda") if asked == "auto" else asked
    # Shots that are trained on differ from draw to draw, and so would the representations.
    apart = recipe.protocol.shots_in_representation and len(recipe.draws) > 1
    several = len(recipe.seeds) > 1 and isinstance(recipe.method, TrainsTogether)
    return wanted and several and not apart


def train_together(
    recipe: Recipe, source: Source, views: Mapping[str, View], sessions: Sequence[Session]
) -> str | None:
    """Train the representations of these sessions as one; why not, where that cannot be."""
    assert isinstance(recipe.method, TrainsTogether), "together() has asked"
    modalities, protocol = recipe.parts.modalities, recipe.protocol
    posed = (pose(source, views, modalities, protocol, session.seed) for session in sessions)
    trainings = [problem.training for problem in posed]
    with inside(recipe.method, "train_together()"):
        return recipe.method.train_together(trainings, recipe.parts, sessions)


def measured_by(scorer: Variant, question: Question) -> Measures:
    """Measure a question's rows over all classes, and those of unseen ones over these alone."""
    unseen = np.flatnonzero(np.isin(question.labels, question.unseen))
    alone = answers_of(scorer, question, unseen, question.unseen) if len(unseen) else None
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
