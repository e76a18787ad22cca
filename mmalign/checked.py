"""What components give is looked at: data sets, views, fits and scores.

A wrong answer is an MmalignError of one sentence, which names the component, its plugin and its
distribution, and says what was expected.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mmalign.asking import check_shape, inside, kind_of, wrong
from mmalign.guard import gathered, named, note
from mmalign.types import Facts, Session, Source, Splits, Texts, Training, View

if TYPE_CHECKING:
    from mmalign.arrays import Floats
    from mmalign.contracts import Dataset, Fitted, Method, Modality, Parts, Variant


def loaded(dataset: Dataset, modalities: Mapping[str, Modality]) -> tuple[Source, dict[str, View]]:
    """A data set and every modality's view of it; the source has the word of all of them.

    Raises MmalignError for answers of a wrong type or shape.
    """
    with gathered() as notes:
        with inside(dataset, "load()"):
            source = dataset.load()
        _check_source(dataset, source)
        views = {name: viewed(each, source, each.view) for name, each in modalities.items()}
    source = source.with_word_of(views)
    return replace(source, notes=(*source.notes, *notes)), views


def viewed(modality: Modality, source: Source, view: Callable[[Source], View]) -> View:
    """One modality's view of a source, by its ``view`` or another of its methods.

    Raises MmalignError for anything but a View of float32 with a row for each sample or class.
    """
    doing = f"{getattr(view, '__name__', 'view')}()"
    with inside(modality, doing):
        found = view(source)
    if not isinstance(found, View):
        raise wrong(modality, doing, kind_of(found), "a mmalign.View")
    if found.level not in ("sample", "class"):
        raise wrong(modality, doing, f"the level {found.level!r}", '"sample" or "class"')
    if isinstance(found.values, np.ndarray) and found.values.dtype != np.float32:
        raise wrong(modality, doing, f"numbers of {found.values.dtype}", "float32")
    rows = len(source.labels) if found.level == "sample" else len(source.classes)
    if len(found) != rows:
        what = "samples" if found.level == "sample" else "classes"
        raise wrong(modality, doing, f"{len(found)} rows", f"one for each of {rows} {what}")
    return found


def _check_source(dataset: Dataset, source: Any) -> None:
    """Raise MmalignError, naming the data set, for a Source whose parts are of a wrong type."""
    if not isinstance(source, Source):
        raise wrong(dataset, "load()", kind_of(source), "a mmalign.Source")
    for what, parts, kind in (("arrays", source.arrays, View), ("texts", source.texts, Texts)):
        for name, each in parts.items():
            if not isinstance(each, kind):
                raise wrong(
                    dataset, "load()", f"{kind_of(each)} as {what}['{name}']",
                    f"a mmalign.{kind.__name__}",
                )  # fmt: skip
    if not isinstance(source.splits, Splits):
        raise wrong(dataset, "load()", f"{kind_of(source.splits)} as splits", "mmalign.Splits")
    samples, classes = len(source.labels), len(source.classes)
    indices = {"labels": (source.labels, classes)}
    for split, of in vars(source.splits).items():
        if of is not None:
            of_classes = split in ("validation_classes", "unseen_classes")
            indices[f"splits.{split}"] = (of, classes if of_classes else samples)
    for what, (found, most) in indices.items():
        whole = isinstance(found, np.ndarray) and found.ndim == 1 and found.dtype.kind in "iu"
        if not whole:
            raise wrong(dataset, "load()", f"{kind_of(found)} as {what}", "a row of indices")
        if found.size and not 0 <= int(found.min()) <= int(found.max()) < most:
            far = int(found.max()) if int(found.max()) >= most else int(found.min())
            raise wrong(dataset, "load()", f"{far} in {what}", f"an index from 0 to {most - 1}")


def fitted_by(method: Method, training: Training, parts: Parts, session: Session) -> Fitted:
    """Fit a method. Raises MmalignError for a result that has no scores or no tensors."""
    with inside(method, "fit()"):
        fitted = method.fit(training, parts, session)
    lacks = [each for each in ("scores", "state") if not callable(getattr(fitted, each, None))]
    if lacks:
        expected = f"something that has {' and '.join(f'{each}()' for each in lacks)}"
        raise wrong(method, "fit()", kind_of(fitted), expected)
    return fitted


def facts_of(method: Method, fitted: Fitted) -> Facts:
    """What a report says of a fit; what is no JSON is left out, and named, since it is no loss."""
    try:
        with inside(method, "facts"):
            facts = dict(fitted.facts)
    except Exception as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())
        note(f"{named(method)}: its facts are left out of the report; they raised {said}")
        return {}
    for name in list(facts):
        try:
            json.dumps({name: facts[name]}, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            note(f"{named(method)}: its fact {name!r} is left out of the report: {error}")
            del facts[name]
    return facts


@dataclass(frozen=True)
class CheckedScorer:
    """The scores of a fit, guarded and looked at; ``home`` is what it is named by, its method."""

    scorer: Variant
    home: Any

    def scores(self, views: Mapping[str, View], classes: Sequence[int]) -> Floats:
        """As ``scores_of``."""
        with inside(self.home, "scores()"):
            return scores_of(self.scorer, self.home, views, classes)


def scores_of(
    scorer: Variant, home: Any, views: Mapping[str, View], classes: Sequence[int]
) -> Floats:
    """Scores, (rows, classes). Raises MmalignError for anything else, for NaN and infinity.

    Nothing of the process is touched: a program of many threads may ask.
    """
    found: Any = scorer.scores(views, classes)
    if not isinstance(found, np.ndarray) or found.dtype.kind != "f":
        got = f"an array of {found.dtype}" if isinstance(found, np.ndarray) else kind_of(found)
        raise wrong(home, "scores()", got, "a numpy array of float32")
    rows = len(next(iter(views.values()))) if views else len(found)
    check_shape(home, "scores()", found, (rows, len(classes)))
    if not np.isfinite(found).all():
        raise wrong(home, "scores()", "NaN or infinity", "a finite score for each class")
    scores: Floats = found
    return scores
