"""Metrics and their statistics over seeds: S, U, H, T1, AUSUC, and top-5."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mmalign.answers import Answers, read
from mmalign.arrays import Floats, Indices
from mmalign.types import Facts, Question

Doubles: TypeAlias = NDArray[np.float64]
METRICS = ("S", "U", "H", "T1", "AUSUC", "U5", "U_rows", "U5_rows")
CURVE = 200  # points that are kept of a seen-unseen accuracy curve
TOP = 5  # answers of which one must be right, in U5 and U5_rows


@dataclass(frozen=True)
class Measures:
    """What one run scored; every metric is in [0, 1], or NaN where it was not asked.

    ``S`` and ``U`` are mean per-class accuracies of seen and unseen classes, the answer
    being searched in all of them; ``H = 2SU / (S + U)``. ``T1`` is the mean per-class
    accuracy of unseen classes searched among unseen ones. ``AUSUC`` is the area under S
    against U as a bias on the seen classes goes from one end to the other (Chao et al.
    2016). ``per_class`` is by class index. ``confusion`` counts (true, answered) class
    indices. ``U5`` is U where one right answer among the best five will do. ``U_rows`` and
    ``U5_rows`` are the same two as shares of the unseen classes' rows: a class counts as
    often as it has rows. ``curve`` has at most ``CURVE`` points (U, S) of the curve whose area
    ``AUSUC`` is, from U = 0 on; empty where there is none.
    """

    S: float
    U: float
    H: float
    T1: float
    AUSUC: float
    per_class: Mapping[int, float] = field(default_factory=dict)
    confusion: Mapping[tuple[int, int], int] = field(default_factory=dict)
    U5: float = float("nan")
    U_rows: float = float("nan")
    U5_rows: float = float("nan")
    curve: tuple[tuple[float, float], ...] = ()

    def summary(self) -> dict[str, float]:
        """The metrics by name."""
        return {name: getattr(self, name) for name in METRICS}


def harmonic(s: float, u: float) -> float:
    """``2SU / (S + U)``, and 0 where both are 0 (Xian et al. 2018, eq. 15)."""
    return 0.0 if s + u == 0 else 2 * s * u / (s + u)


def per_class(right: NDArray[np.bool_], labels: Indices) -> dict[int, float]:
    """The share of right answers in each class that is asked."""
    classes, place = np.unique(labels, return_inverse=True)
    share = np.bincount(place, weights=right) / np.bincount(place)
    return dict(zip(classes.tolist(), share.tolist(), strict=True))


def _mean(right: NDArray[np.bool_], labels: Indices) -> float:
    """The mean over classes of each one's share of right answers; NaN without rows."""
    shares = list(per_class(right, labels).values())
    return float(np.mean(shares)) if shares else float("nan")


def top1(scores: Floats, question: Question) -> float:
    """T1 from scores of the unseen classes' rows over the unseen classes alone."""
    labels = question.labels[np.isin(question.labels, question.unseen)]
    return _mean(read(scores, labels, question.unseen, question.seen).said == labels, labels)


def measure(scores: Floats, question: Question, unseen_scores: Floats | None = None) -> Measures:
    """Measure scores of the question's rows over its search space, (rows, search).

    ``unseen_scores``, (unseen rows, unseen classes), give T1; without them T1 comes from
    ``scores``. Raises MmalignError for scores of another shape, NaN and infinity.
    """
    answers, alone = read(scores, question.labels, question.search, question.seen), None
    if unseen_scores is not None:
        labels = question.labels[np.isin(question.labels, question.unseen)]
        alone = read(unseen_scores, labels, question.unseen, question.seen)
    return judge(answers, question, alone)


def judge(answers: Answers, question: Question, alone: Answers | None = None) -> Measures:
    """Measure the answers to a question.

    ``alone`` are the answers of the unseen classes' rows searched among unseen classes, for
    T1. A question without a row of a seen class has no S, H and AUSUC.
    """
    labels = question.labels
    right, asked = answers.said == labels, np.isin(labels, question.unseen)
    unseen, among_five = labels[asked], answers.rank[asked] < TOP
    said = answers.unseen[asked] if alone is None else alone.said
    t1, accuracy = _mean(said == unseen, unseen), per_class(right, labels)
    nan = float("nan")
    found = Measures(nan, nan, nan, t1, nan, accuracy, _confusion(answers.said, labels))
    if not np.isin(question.seen, question.search).any():
        return found
    s, u = _mean(right[~asked], labels[~asked]), _mean(right[asked], unseen)
    sides = _tradeoff(answers, question)
    return replace(
        found,
        S=s,
        U=u,
        H=harmonic(s, u),
        AUSUC=_area(*sides),
        curve=_curve(*sides),
        U5=_mean(among_five, unseen),
        U_rows=float(right[asked].mean()) if len(unseen) else nan,
        U5_rows=float(among_five.mean()) if len(unseen) else nan,
    )


def _confusion(said: Indices, labels: Indices) -> dict[tuple[int, int], int]:
    pairs, counts = np.unique(np.stack([labels, said]), axis=1, return_counts=True)
    return {
        (int(true), int(answer)): int(count)
        for (true, answer), count in zip(pairs.T.tolist(), counts.tolist(), strict=True)
    }


def stacking_bias(scores: Floats, question: Question) -> tuple[float, float]:
    """The bias off seen classes' scores that is best for H on this question, and that H.

    Calibrated stacking (Chao et al. 2016, eq. 7). Every bias between two neighbouring
    margins gives the same answers, so each of these is tried once, at its middle. Ask it of
    the validation question, never of a test row.
    """
    answers = read(scores, question.labels, question.search, question.seen)
    edges = np.unique(answers.margin).astype(np.float64)
    tried = np.concatenate([[edges[0] - 1], (edges[1:] + edges[:-1]) / 2, [edges[-1] + 1]])
    s, u = _sides(answers, question)
    h = np.array([harmonic(*pair) for pair in zip(s.tolist(), u.tolist(), strict=True)])
    best = int(h.argmax())
    return float(tried[best]), float(h[best])


def _tradeoff(answers: Answers, question: Question) -> tuple[Doubles, Doubles]:
    """S and U along the seen-unseen accuracy curve (Chao et al. 2016, section 4).

    A bias is subtracted from every seen class's score. A row goes to the seen side while
    the bias is at most the margin between its best seen and its best unseen score, so the
    curve has one point per margin. It has none where one side has no row.
    """
    asked_seen = np.isin(question.labels, question.seen)
    if asked_seen.all() or not asked_seen.any():
        return np.empty(0), np.empty(0)
    return _sides(answers, question)


def _area(s: Doubles, u: Doubles) -> float:
    """The area under the curve, by trapezoids; NaN where there is none."""
    return float(np.sum(np.diff(u) * (s[1:] + s[:-1]) / 2)) if len(s) else float("nan")


def _curve(s: Doubles, u: Doubles) -> tuple[tuple[float, float], ...]:
    """At most ``CURVE`` points (U, S), evenly spaced along the way, its two ends among them."""
    if len(s) > CURVE:
        way = np.append(0.0, np.cumsum(np.abs(np.diff(s)) + np.abs(np.diff(u))))
        wanted = np.linspace(0.0, way[-1], CURVE)
        kept = np.unique(np.append(np.searchsorted(way, wanted[:-1]), len(s) - 1))
        s, u = s[kept], u[kept]
    return tuple(zip(u.round(6).tolist(), s.round(6).tolist(), strict=True))


def _sides(answers: Answers, question: Question) -> tuple[Doubles, Doubles]:
    """S and U as the bias grows past each of the distinct margins, from below the first."""
    labels, margin = question.labels, answers.margin
    asked_seen = np.isin(labels, question.seen)
    weight = 1 / np.bincount(labels)[labels].astype(np.float64)
    weight /= np.where(
        asked_seen, len(np.unique(labels[asked_seen])), len(np.unique(labels[~asked_seen]))
    )
    right_seen = weight * (asked_seen & (answers.seen == labels))
    right_unseen = weight * (~asked_seen & (answers.unseen == labels))

    order = np.argsort(margin, kind="stable")
    last = np.append(np.diff(margin[order]) > 0, True)  # equal margins change sides together
    s = np.append(right_seen.sum(), (right_seen.sum() - np.cumsum(right_seen[order]))[last])
    u = np.append(0.0, np.cumsum(right_unseen[order])[last])
    return s, u


@dataclass(frozen=True)
class Statistic:
    """A metric over runs: mean, sample standard deviation, and half of a 95 % interval.

    The interval is Student's; with one run there is neither deviation nor interval.
    """

    mean: float
    std: float | None
    ci95: float | None
    runs: tuple[float, ...]


def statistic(runs: Sequence[float]) -> Statistic:
    """Mean, deviation and interval of one metric."""
    values = np.asarray(runs, dtype=np.float64)
    if len(values) < 2:
        return Statistic(float(values.mean()), None, None, tuple(values.tolist()))
    # Here, and not above: whoever checks a recipe needs the metrics' names, and no scipy.
    from scipy.special import stdtrit

    std = float(values.std(ddof=1))
    half = float(stdtrit(len(values) - 1, 0.975)) * std / len(values) ** 0.5
    return Statistic(float(values.mean()), std, half, tuple(values.tolist()))


@dataclass(frozen=True)
class Report:
    """The outcome of a run: statistics over seeds, and all that is needed to judge them.

    One entry of ``seeds``, ``draws`` and ``measures`` a run; ``draws`` names the draw of the
    shots, or is None. ``variants`` are other ways of scoring, by name, such as calibrated
    stacking. ``target`` are the recipe's published numbers in per cent. ``notes`` are what a
    reader must know, a leak first. ``unseen`` are indices into ``classes``.
    """

    recipe: str
    seeds: tuple[int, ...]
    measures: tuple[Measures, ...]
    classes: tuple[str, ...]
    draws: tuple[int | None, ...] = ()
    variants: Mapping[str, tuple[Measures, ...]] = field(default_factory=dict)
    target: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    facts: tuple[Facts, ...] = ()
    context: Mapping[str, Any] = field(default_factory=dict)
    unseen: tuple[int, ...] = ()

    @property
    def summary(self) -> dict[str, Statistic]:
        """Each metric that was asked, over the runs."""
        return summarised(self.measures)


def summarised(measures: Sequence[Measures]) -> dict[str, Statistic]:
    """Each metric that was asked, over runs."""
    columns = {name: [getattr(each, name) for each in measures] for name in METRICS}
    return {k: statistic(runs) for k, runs in columns.items() if not np.isnan(runs).any()}
