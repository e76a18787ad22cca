"""The kit catches wrong heads and methods: no check is idle."""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from failing import Named, failing

from mmalign import (
    Fitted,
    Loop,
    MmalignError,
    Parts,
    Session,
    component,
)
from mmalign.testing import ConformanceError, checks


class Prototypes:
    """A fitted nearest-prototype classifier, for heads and methods alike."""

    facts: ClassVar[dict[str, Any]] = {"prototypes": 6}

    def __init__(self, points: torch.Tensor) -> None:
        self.points = points

    def scores(self, z: Any, classes: Any) -> Any:
        if isinstance(z, dict):
            return self.scores(torch.from_numpy(z["image"].values), classes).numpy()
        return -torch.cdist(z, self.points[list(classes)])

    def state(self) -> dict[str, torch.Tensor]:
        return {"points": self.points}


@component
class Nearest(Named):
    """A head that is right."""

    needs_validation: ClassVar[bool] = False

    def tuned(self, latents: Any, measure: Any, session: Session) -> Any:
        return self, {}

    def fit(self, latents: Any, session: Session) -> Any:
        return Prototypes(
            torch.stack(
                [
                    latents.draw(("image",), [index], 5, "nearest")[0].mean(0)
                    for index in sorted((*latents.seen, *latents.unseen))
                ]
            )
        )

    def restore(self, state: Any, signature: Any) -> Any:
        if set(state) != {"points"}:
            raise MmalignError("no tensor 'points'")
        return Prototypes(state["points"])


@component
class Forgetful(Nearest):
    """Comes back as something else."""

    def restore(self, state: Any, signature: Any) -> Any:
        return Prototypes(super().restore(state, signature).points + 1e-6)


@component
class Trusting(Nearest):
    """Takes any tensors."""

    def restore(self, state: Any, signature: Any) -> Any:
        return Prototypes(state["points"])


@component
class Global(Nearest):
    """Draws from the global generator."""

    def fit(self, latents: Any, session: Session) -> Any:
        return Prototypes(super().fit(latents, session).points + torch.randn(6, 1))


@component
class Undecided(Nearest):
    """Still open when tuned."""

    needs_validation: ClassVar[bool] = True


@pytest.mark.parametrize(
    ("head", "check", "said"),
    [
        (Forgetful, "is-its-tensors", "other scores"),
        (Trusting, "refuses-other-tensors", "KeyError"),
        (Global, "is-its-seed", "same seed"),
        (Global, "leaves-the-process-alone", "torch's global generator"),
        (Undecided, "leaves-nothing-open", "to be chosen"),
    ],
)
def test_wrong_head_is_caught(head: type, check: str, said: str) -> None:
    assert said in failing(head())[check]


def test_sound_head_passes() -> None:
    assert failing(Nearest()) == {}


def method(fit: Callable[..., Any] | None = None, **members: Any) -> Any:
    """A method that is right but for what is given."""

    def sound(self: Any, training: Any, parts: Parts, session: Session) -> Fitted:
        view = training.views["image"]
        rows = [(training.labels == i) & view.mask for i in range(len(training.classes))]
        means = [view.values[r].mean(0) if r.any() else view.values[view.mask].min(0) for r in rows]
        return Prototypes(torch.tensor(np.stack(means)))

    def spoilt(self: Any, training: Any, parts: Parts, session: Session) -> Fitted:
        assert fit is not None
        fit(training)
        return sound(self, training, parts, session)

    given = {
        "__doc__": "Nearest mean.",
        "__module__": __name__,
        "check": lambda self, parts: [],
        "fit": sound if fit is None else spoilt,
        "restore": lambda self, state, signature, parts: Nearest().restore(state, signature),
    }
    return component(type("Means", (Named,), given | members))()


def centre(training: Any) -> None:
    training.views["image"].values[:] -= 1


def unmask(training: Any) -> None:
    training.views["image"].mask[:] = True


@pytest.mark.parametrize(
    ("wrong", "check", "said"),
    [
        (method(lambda _: torch.manual_seed(7)), "leaves-the-process-alone", "torch's global"),
        (method(lambda _: np.random.seed(7)), "leaves-the-process-alone", "numpy's"),  # noqa: NPY002
        (
            method(lambda _: torch.set_default_dtype(torch.float64)),
            "leaves-the-process-alone",
            "dtype",
        ),
        (method(centre), "leaves-its-inputs-alone", "image"),
        (method(unmask), "bears-missing-rows", "NaN"),
        (method(check=lambda self, parts: ["head: missing"]), "accepts-its-parts", "parts=Parts"),
    ],
)
def test_wrong_method_is_caught(wrong: Any, check: str, said: str) -> None:
    found = {str(each): each for each in checks(wrong)}
    dtype = torch.get_default_dtype()
    try:
        with pytest.raises(ConformanceError, match=said):
            found[check]()
    finally:
        torch.set_default_dtype(dtype)


def test_sound_method_passes() -> None:
    assert failing(method()) == {}


@pytest.mark.parametrize("whole", [True, False])
def test_a_loop_that_keeps_too_little_is_caught(whole: bool) -> None:
    """Means that drift by a draw in each epoch; the draws are kept, or not."""

    def fit(self: Any, training: Any, parts: Parts, session: Session) -> Fitted:
        made, order = method().fit(training, parts, session), session.generator("order")
        state = {"points": made.points} | ({"order": order} if whole else {})
        loop = Loop(session, "drift", 5, state)
        for _ in loop:
            made.points += torch.rand(made.points.shape, generator=order)
            loop.ended({"drift": 1.0})
        return Prototypes(made.points)

    found = failing(drifting(fit))
    assert ("goes-on-where-it-was-killed" in found) is not whole


def drifting(fit: Callable[..., Any]) -> Any:
    """A method with this ``fit``."""
    return component(type("Drifting", (type(method()),), {"__doc__": "Drifts.", "fit": fit}))()


class Forgetful(Prototypes):
    """Takes other classes; ``spoilt`` is what it makes of them."""

    spoilt: ClassVar[Any] = staticmethod(lambda points: points)

    def reclassed(self, kept: Any, added: Any, signature: Any, session: Session) -> Prototypes:
        points = torch.cat([self.points[list(kept)], self.points[:1]])
        changed = Prototypes(type(self).spoilt(points))
        changed.state = lambda: {"points": points}  # type: ignore[method-assign]
        return changed


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        (lambda points: points, None),
        (lambda points: points + 1, "after its classes were changed"),
        (lambda points: points * torch.nan, "of changed classes are not finite"),
    ],
)
def test_a_method_that_mistakes_changed_classes_is_caught(
    spoilt: Any, said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type("Spoilt", (Forgetful,), {"spoilt": staticmethod(spoilt)})

    def fit(self: Any, training: Any, parts: Parts, session: Session) -> Fitted:
        sound = method()
        return kind(sound.fit(training, parts, session).points)

    tried = method()
    monkeypatch.setattr(type(tried), "fit", fit)
    check = {str(each): each for each in checks(tried)}["lets-classes-come-and-go"]
    if said is None:
        check()
        return
    with pytest.raises(ConformanceError, match=said):
        check()


class Moduled(Prototypes):
    """Offers a module; ``wrong`` says what is wrong with it."""

    wrong: ClassVar[str] = ""

    def module(self, modalities: Any, classes: Any) -> torch.nn.Module:
        points, wrong = self.points[list(classes)], type(self).wrong
        if wrong == "refuses":
            raise MmalignError("not this one")

        class Distances(torch.nn.Module):
            def forward(self, x: torch.Tensor) -> Any:
                if wrong == "branches" and x.sum() > 0:
                    x = x + 1
                apart = (x[:, None] - points).square().sum(-1)
                scores = -(apart.sqrt() if wrong != "other" else apart)
                return scores if wrong == "bare" else (scores,)

        return Distances()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("", None),
        ("refuses", None),
        ("other", "other scores than"),
        ("bare", "a tuple of tensors"),
        ("branches", "cannot trace its module"),
    ],
)
def test_a_module_that_is_no_graph_of_its_scores_is_caught(
    wrong: str, said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Moduled, "wrong", wrong)

    def fit(self: Any, training: Any, parts: Parts, session: Session) -> Fitted:
        return Moduled(method().fit(training, parts, session).points)

    tried = method()
    monkeypatch.setattr(type(tried), "fit", fit)
    check = {str(each): each for each in checks(tried)}["gives-a-module-of-its-scores"]
    if said is None:
        check()
        return
    with pytest.raises(ConformanceError, match=said):
        check()


@pytest.mark.parametrize(
    ("spoil", "check", "said"),
    [
        (lambda scores: scores.astype(np.float64), "scores-any-classes", "float32"),
        (lambda scores: scores[:-1], "scores-any-classes", "shape"),
        (lambda scores: scores * np.float32(np.nan), "scores-any-classes", "finite"),
        (lambda scores: np.sort(scores, axis=1), "scores-any-classes", "order"),
    ],
)
def test_wrong_scores_are_caught(
    spoil: Callable[..., Any], check: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = Prototypes.scores
    monkeypatch.setattr(
        Prototypes,
        "scores",
        lambda self, z, classes: (
            spoil(right(self, z, classes)) if isinstance(z, dict) else right(self, z, classes)
        ),
    )
    assert said in failing(method())[check]


def test_facts_and_state_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Prototypes, "facts", {"points": torch.zeros(1)})
    monkeypatch.setattr(Prototypes, "state", lambda self: {"points": self.points, "settings": 3})
    said = failing_or_crashing(method())
    assert "JSON" in said["says-facts"]
    assert "tensors by name" in said["is-its-tensors"]


def failing_or_crashing(made: Any) -> dict[str, str]:
    said = {}
    for check in checks(made):
        if "components" in check.checker.__module__:
            continue
        try:
            check()
        except Exception as error:
            said[str(check)] = str(error)
    return said


class Spaced(Prototypes):
    """Has a latent space of two numbers; ``spoilt`` is what it makes of latents."""

    spoilt: ClassVar[Any] = staticmethod(lambda z: z)

    def embed(self, views: Any) -> Any:
        ((_, view),) = views.items()
        return type(self).spoilt(view.values[:, :2])

    def decode(self, z: Any, modality: str) -> Any:
        dims = {"image": 5, "attributes": 3}
        return np.zeros((len(z), dims[modality]), np.float32)


@pytest.mark.parametrize(
    ("spoilt", "says", "said"),
    [
        (lambda z: z, True, None),
        (lambda z: z, False, "latent_space and what fit"),
        (lambda z: z * np.nan, True, "not finite"),
        (lambda z: z[:1], True, "become latents"),
    ],
)
def test_a_false_latent_space_is_caught(
    spoilt: Any, says: bool, said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type("Spoilt", (Spaced,), {"spoilt": staticmethod(spoilt)})

    def fit(self: Any, training: Any, parts: Parts, session: Session) -> Fitted:
        return kind(method().fit(training, parts, session).points)

    tried = method()
    monkeypatch.setattr(type(tried), "fit", fit)
    monkeypatch.setattr(type(tried), "latent_space", says, raising=False)
    check = {str(each): each for each in checks(tried)}["has-its-latent-space"]
    if said is None:
        check()
        return
    with pytest.raises(ConformanceError, match=said):
        check()
