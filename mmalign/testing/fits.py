"""What a head and a method must do: fit, score any classes, and come back from tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save

from mmalign.checkpoints import Checkpoints
from mmalign.contracts import LatentSpace, Reclassable
from mmalign.errors import MmalignError
from mmalign.testing.trial import Trial, globals_kept
from mmalign.types import Session, View


def leaves_nothing_open(trial: Trial) -> None:
    """A tuned head has no choice left, and says what it chose."""
    head, facts = trial.head
    trial.require(not head.needs_validation, "tuned() leaves something to be chosen")
    as_json(trial, facts, "what tuned() says of its choice")


def accepts_its_parts(trial: Trial) -> None:
    """``check`` has a list of lines, an empty one for the parts that it is tried with."""
    problems = trial.component.check(trial.parts)
    trial.require(isinstance(problems, list), "check() must return a list of lines")
    trial.require(
        not problems,
        f"check() refuses the parts ({'; '.join(map(str, problems))}); hand in others, as"
        " checks(..., parts=Parts(...))",
    )


def scores_any_classes(trial: Trial) -> None:
    """(rows, classes), finite, with a column for each class in the order asked."""
    seen, unseen = trial.signature.seen, trial.signature.unseen
    for classes in ((*seen, *unseen), unseen, seen, (*unseen, seen[0]), unseen[:1]):
        scores = values(trial, classes)
        rows = len(trial.latents) if trial.kind == "head" else len(next(iter(trial.asked.values())))
        trial.require(
            scores.shape == (rows, len(classes)),
            f"gives scores of shape {scores.shape} for {rows} rows and {len(classes)} classes",
        )
        trial.require(bool(np.isfinite(scores).all()), "gives scores that are not finite")
        turned = values(trial, classes[::-1])
        trial.require(
            np.allclose(scores, turned[:, ::-1], rtol=1e-5, atol=1e-6),
            "its scores depend on the order in which classes are asked; column j belongs to"
            " classes[j]",
        )


def values(trial: Trial, classes: tuple[int, ...], fitted: Any = None) -> np.ndarray:
    """Scores as an array; of the right type already, or the check fails."""
    scores = trial.ask(trial.fitted if fitted is None else fitted, classes)
    if trial.kind == "head":
        trial.require(isinstance(scores, torch.Tensor), "a head's scores are a torch Tensor")
        return np.asarray(scores.detach())
    trial.require(
        isinstance(scores, np.ndarray) and scores.dtype == np.float32,
        "a method's scores are a numpy array of float32",
    )
    return np.asarray(scores)


def everything(trial: Trial, fitted: Any) -> np.ndarray:
    """Scores over all classes, and over unseen ones alone, side by side."""
    seen, unseen = trial.signature.seen, trial.signature.unseen
    both = [values(trial, classes, fitted) for classes in ((*seen, *unseen), unseen)]
    return np.concatenate(both, axis=1)


def is_its_tensors(trial: Trial) -> None:
    """Through safetensors and back, the scores are the same bit for bit."""
    state = trial.fitted.state()
    trial.require(
        isinstance(state, Mapping)
        and all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in state.items()),
        "state() must give tensors by name and nothing else; settings belong into fields",
    )
    back = load(save({name: tensor.contiguous() for name, tensor in state.items()}))
    restored = trial.restore(back)
    trial.require(
        np.array_equal(everything(trial, restored), everything(trial, trial.fitted)),
        "restored from its tensors it gives other scores; state() must hold all that is learnt,"
        " and restore() take nothing from elsewhere",
    )
    warm, again = (getattr(each, "temperature", None) for each in (trial.fitted, restored))
    trial.require(
        warm == again and (warm is None or 0 < warm < float("inf")),
        f"has the temperature {warm}, and {again} when restored from its tensors; it is a positive"
        " number that state() holds, or None",
    )


def refuses_other_tensors(trial: Trial) -> None:
    """Tensors of something else are the user's mistake, and are said in one message."""
    if not trial.fitted.state():
        return
    try:
        trial.restore({"no.such.tensor": torch.zeros(1)})
    except MmalignError:
        return
    except Exception as error:
        trial.require(
            False, f"restore() raises {type(error).__name__} for wrong tensors, not MmalignError"
        )
    trial.require(False, "restore() takes tensors that are not its own; raise MmalignError")


def is_its_seed(trial: Trial) -> None:
    """Fitted again with the same seed, the scores are the same bit for bit."""
    trial.require(
        np.array_equal(everything(trial, trial.fit()), everything(trial, trial.fitted)),
        "fitted again with the same seed it gives other scores; draw everything from"
        " session.generator(...)",
    )


class Killed(BaseException):
    """Ends a fit in its middle, as a killed process does."""


def goes_on_where_it_was_killed(trial: Trial) -> None:
    """Begun again with the checkpoints of a fit that was killed, it comes to the same bits."""
    count, last = 0, trial.first_fit[1] // 2 + 1
    if last == 1:  # it tells of no epoch
        return

    def told(*_: Any) -> None:
        nonlocal count
        count += 1
        if count == last:
            raise Killed

    with TemporaryDirectory() as folder:
        keeping = Session(0, epoch_ended=told, checkpoints=Checkpoints(Path(folder), 0))
        with suppress(Killed):
            trial.fit(keeping)
        again = trial.fit(Session(0, checkpoints=Checkpoints(Path(folder), 0)))
    trial.require(
        np.array_equal(everything(trial, again), everything(trial, trial.fitted)),
        "killed and begun again from its checkpoints, it gives other scores; give Loop all that an"
        " epoch changes, and draw nothing between the loop's making and its first epoch",
    )


def leaves_the_process_alone(trial: Trial) -> None:
    """Neither fitting, scoring nor restoring changes a seed, a dtype or the threads."""
    with globals_kept(trial, "fitting, scoring or restoring"):
        fitted = trial.restore(trial.fit().state())
        everything(trial, fitted)


def leaves_its_inputs_alone(trial: Trial) -> None:
    """Views, labels and latents are as they were."""
    trial = replace(trial)  # inputs that no fit has had in its hands yet
    given = {**trial.training.views, **{f"asked {k}": v for k, v in trial.asked.items()}}
    before = {name: view.array.copy() for name, view in given.items()}
    labels, latents = trial.training.labels.copy(), trial.latents.clone()
    everything(trial, trial.fit())
    changed = [n for n, view in given.items() if not same(view.array, before[n])]
    changed += [] if same(labels, trial.training.labels) else ["the labels"]
    changed += [] if torch.equal(latents, trial.latents) else ["the latents"]
    trial.require(not changed, f"changes {', '.join(changed)} in place; work on a copy")


def same(one: np.ndarray, other: np.ndarray) -> bool:
    """Bit for bit, NaN included."""
    return one.tobytes() == other.tobytes()


def says_facts(trial: Trial) -> None:
    """``facts`` can be written into a report."""
    as_json(trial, trial.fitted.facts, "facts")


def as_json(trial: Trial, facts: Any, what: str) -> None:
    """Require a mapping of JSON values."""
    try:
        json.dumps(dict(facts), allow_nan=False)
    except (TypeError, ValueError) as error:
        trial.require(False, f"{what} cannot be written as JSON ({error}); use plain values")


def bears_missing_rows(trial: Trial) -> None:
    """Rows that lack a modality, NaN in their place: finite scores, or a clear refusal."""
    arrays = dict(trial.source.arrays)
    for name, view in arrays.items():
        if view.level == "sample":
            mask = np.arange(len(view)) % 5 != 1
            holes = np.where(mask[:, None], view.values, np.nan).astype(np.float32)
            arrays[name] = View(holes, view.level, mask & view.mask)
    try:
        training = trial.training_of(replace(trial.source, arrays=arrays))
        fitted = trial.component.fit(training, trial.parts, Session(0))
    except MmalignError:
        return
    trial.require(
        bool(np.isfinite(everything(trial, fitted)).all()),
        "a training row that lacks a modality makes the scores NaN; read rows by their mask,"
        " or raise MmalignError",
    )


def lets_classes_come_and_go(trial: Trial) -> None:
    """Where classes can be changed, they can be asked afterwards, and the others still."""
    fitted = trial.fitted
    if trial.kind != "method" or not isinstance(fitted, Reclassable):
        return
    old = trial.signature
    order = [*old.seen, *old.unseen]
    kept, gone = order[1:], order[0]
    signature = replace(
        old,
        classes=(*(old.classes[index] for index in kept), "newcomer"),
        seen=tuple(range(len(old.seen) - 1)),
        unseen=tuple(range(len(old.seen) - 1, len(order))),
    )
    views = trial.training.views
    added = {n: v.take(np.array([gone])) for n, v in views.items() if v.level == "class"}
    try:
        changed = fitted.reclassed(kept, added, signature, Session(0))
    except MmalignError:
        return
    scores = values(trial, tuple(range(len(order))), changed)
    trial.require(bool(np.isfinite(scores).all()), "scores of changed classes are not finite")
    back = trial.component.restore(changed.state(), signature, trial.parts)
    trial.require(
        np.array_equal(values(trial, tuple(range(len(order))), back), scores),
        "restored from its tensors after its classes were changed, it gives other scores",
    )


def has_its_latent_space(trial: Trial) -> None:
    """Who says ``latent_space`` has one for every modality, there and back."""
    said = trial.kind == "method" and getattr(trial.component, "latent_space", False)
    if trial.kind == "method":
        trial.require(
            said == isinstance(trial.fitted, LatentSpace),
            "latent_space and what fit() gives disagree: embed() and decode() make a latent space",
        )
    if not said:
        return
    widths = set()
    for name, view in trial.training.views.items():
        rows = replace(view.take(np.flatnonzero(view.mask)[:3]), level="sample")
        z = trial.fitted.embed({name: rows})
        x = trial.fitted.decode(z, name)
        widths.add(z.shape[1])
        trial.require(
            z.shape[0] == len(rows) and x.shape == rows.values.shape,
            f"'{name}': {len(rows)} rows of {view.dim} become latents {z.shape} and then {x.shape}",
        )
        finite = bool(np.isfinite(z).all() and np.isfinite(x).all())
        trial.require(finite, f"'{name}': latents or what is decoded are not finite")
    trial.require(len(widths) == 1, f"latents of modalities differ in width: {widths}")


CHECKS = (
    has_its_latent_space,
    lets_classes_come_and_go,
    scores_any_classes,
    is_its_tensors,
    refuses_other_tensors,
    is_its_seed,
    goes_on_where_it_was_killed,
    leaves_the_process_alone,
    leaves_its_inputs_alone,
    says_facts,
)
