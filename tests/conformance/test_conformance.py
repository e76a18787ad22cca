"""Every registered component passes every check, and each check catches what it is for."""

from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
import torch

from mmalign import (
    Features,
    Fitted,
    MmalignError,
    Parts,
    Session,
    Source,
    Splits,
    View,
    Weighted,
    component,
)
from mmalign.component import build
from mmalign.plugins import discover
from mmalign.testing import Check, ConformanceError, checks

# What a component must be told, or trains too long without; those not named take defaults.
SETTINGS: dict[tuple[str, str], dict[str, Any]] = {
    ("head", "softmax"): {"seen": 6, "unseen": 6, "unseen_only": 6, "most_epochs": 3},
    ("method", "aligned-vae"): {"latent": 4, "epochs": 2, "batch": 8},
}


@cache
def registered(kind: str, name: str) -> Any:
    made, problems = build(
        discover().find(kind, name), SETTINGS.get((kind, name), {}), f"SETTINGS of {kind} {name}"
    )
    assert not problems, "\n".join(problems)
    return made


def parts() -> Parts:
    """Every loss, and the head, around a narrow image and attribute modality."""
    registry = discover()
    return Parts(
        modalities={
            name: build(registry.find("modality", name), {"hidden": [6, 6]}, name)[0]
            for name in ("image", "attributes")
        },
        losses={
            name: Weighted(registered("loss", name), lambda epoch: 1.0)
            for name in registry.components["loss"]
        },
        head=registered("head", "softmax"),
    )


def needs_files(made: Any) -> bool:
    """Whether a data set cannot be loaded here, which it must say in one message."""
    try:
        made.load()
    except MmalignError:
        return True
    return False


def every_check() -> list[Any]:
    cases = []
    for plugin in discover().plugins:
        assert not plugin.problem, f"{plugin.name}: {plugin.problem}"
        for each in plugin.components:
            kind, name = each.split(":")
            made = registered(kind, name)
            found = checks(made, parts=parts() if kind == "method" else None)
            if kind == "dataset" and needs_files(made):
                found = [check for check in found if "components" in check.checker.__module__]
            cases += [pytest.param(check, id=f"{kind}-{name}-{check}") for check in found]
    return cases


@pytest.mark.parametrize("check", every_check())
def test_registered_component_conforms(check: Check) -> None:
    check()


def failing(made: Any, **around: Any) -> dict[str, str]:
    """What each failing check says, by name."""
    said = {}
    for check in checks(made, **around):
        if str(check) == "is-imported-without-torch":  # this module imports torch
            continue
        try:
            check()
        except ConformanceError as error:
            said[str(check)] = str(error)
    return said


class Named:
    """What wrong components have right."""

    name: ClassVar[str] = "wrong"


class Pairs(Named):
    over: ClassVar[Literal["pairs"]] = "pairs"


@component
class Scalar(Pairs):
    """Sums over rows."""

    def __call__(self, p: Any, q: Any) -> Any:
        return (p.mean - q.mean).square().sum()


@component
class Asymmetric(Pairs):
    """KL, which has a direction."""

    def __call__(self, p: Any, q: Any) -> Any:
        return (p.mean.square() * q.mean).sum(-1)


@component
class Rootless(Pairs):
    """A square root without a floor: no gradient at 0."""

    def __call__(self, p: Any, q: Any) -> Any:
        return (p.mean - q.mean).square().sum(-1).sqrt()


@component
class Detached(Pairs):
    """Half of its gradient is cut off."""

    def __call__(self, p: Any, q: Any) -> Any:
        return ((p.mean - q.mean.detach()) * (p.mean.detach() - q.mean)).sum(-1)


@component
class Noisy(Pairs):
    """Draws from the global generator."""

    def __call__(self, p: Any, q: Any) -> Any:
        return (p.mean - q.mean).square().sum(-1) * torch.rand(len(p.mean)).double()


@component
class Batchwise(Pairs):
    """Not finite for a single row."""

    def __call__(self, p: Any, q: Any) -> Any:
        return ((p.mean - q.mean).square() / p.mean.std(0)).sum(-1)


@component
class Narrowing(Pairs):
    """Falls back to float32."""

    def __call__(self, p: Any, q: Any) -> Any:
        return (p.mean - q.mean).square().sum(-1).float()


@pytest.mark.parametrize(
    ("loss", "check", "said"),
    [
        (Scalar, "gives-one-value-a-row", "one value per row"),
        (Batchwise, "gives-one-value-a-row", "1 rows"),
        (Narrowing, "gives-one-value-a-row", "keep the type"),
        (Asymmetric, "is-symmetric", "make it symmetric"),
        (Rootless, "is-smooth-where-all-is-aligned", "floor"),
        (Detached, "has-its-gradient", "finite differences"),
        (Noisy, "is-a-function", "global generator"),
    ],
)
def test_wrong_loss_is_caught(loss: type, check: str, said: str) -> None:
    if loss is Noisy:  # gradcheck would stumble over it first
        found = {str(each): each for each in checks(loss())}
        with pytest.raises(ConformanceError, match=said):
            found[check]()
        return
    assert said in failing(loss())[check]


def test_sound_loss_passes() -> None:
    @component
    class Sound(Pairs):
        """Squared distance of the means."""

        def __call__(self, p: Any, q: Any) -> Any:
            return (p.mean - q.mean).square().sum(-1)

    # log-variances do not enter, for which gradcheck asks that they do
    assert failing(Sound()) == {}


@component
class Shown(Features):
    """A modality that is right but for what its subclass does."""

    name: ClassVar[str] = "wrong"
    array: str = "image"
    """Which array."""
    hidden: tuple[int, int] = (6, 6)
    """Widths."""
    reconstruction: Literal["l1"] = "l1"
    """Error."""
    scaler: Literal["none"] = "none"
    """Scaling."""


class Undecorated(Shown):
    """A subclass whose field is none."""

    more: int = 1


@component
class TooFew(Shown):
    """Drops rows."""

    def view(self, source: Source) -> View:
        return super().view(source).take(np.arange(3))


@component
class Crude(Shown):
    """Raises KeyError."""

    def view(self, source: Source) -> View:
        return source.arrays[self.array]


@component
class Spoiling(Shown):
    """Works in place."""

    def view(self, source: Source) -> View:
        view = super().view(source)
        view.values[:] = view.values * 2
        return view


@component
class Doubtful(Shown):
    """Says nothing of its field, and gives float64."""

    bare: int = 1

    def view(self, source: Source) -> View:
        view = super().view(source)
        return View(view.values.astype(np.float64), view.level)


@pytest.mark.parametrize(
    ("modality", "check", "said"),
    [
        (Undecorated, "is-a-component", "decorate the class itself"),
        (TooFew, "gives-one-row-each", "3 rows for 48"),
        (Crude, "says-what-the-source-lacks", "KeyError"),
        (Spoiling, "gives-the-same-again", "in place"),
        (Doubtful, "documents-its-fields", "bare"),
        (Doubtful, "gives-one-row-each", "float32"),
    ],
)
def test_wrong_modality_is_caught(modality: type, check: str, said: str) -> None:
    assert said in failing(modality())[check]


def test_sound_modality_passes() -> None:
    assert failing(Shown()) == {}


def test_mutable_component_is_caught() -> None:
    from dataclasses import dataclass

    @dataclass
    class Mutable:
        name: ClassVar[str] = "Not A Name"
        over: ClassVar[str] = "pairs"
        scale: float = 1.0

        def __call__(self, p: Any, q: Any) -> Any:
            return self.scale * (p.mean - q.mean).square().sum(-1)

    said = failing(Mutable())
    assert {"is-a-component", "is-frozen", "has-name-and-docstring"} <= said.keys()


def test_component_that_imports_torch_is_caught() -> None:
    found = {str(each): each for each in checks(Shown())}
    torchy = type("Torchy", (Shown,), {"__module__": "torch.version"})
    check = found["is-imported-without-torch"]
    with pytest.raises(ConformanceError, match="imports torch"):
        check.checker(type(check.trial)("modality", torchy(), check.trial.source))


def test_component_of_no_kind_is_told_the_nearest() -> None:
    class Almost:
        name = "almost"
        over = "pairs"

    with pytest.raises(ConformanceError, match="nearest to a loss, which needs __call__"):
        checks(Almost())


def made_set(**change: Any) -> Any:
    """A data set whose source is right but for ``change``."""
    given = {
        "name": "made",
        "classes": ("a", "b", "c"),
        "labels": np.array([0, 0, 1, 1, 2]),
        "arrays": {"image": View(np.ones((5, 2), np.float32), "sample")},
        "splits": Splits(np.array([0, 2]), np.array([1, 3]), np.array([4])),
        "hashes": {"none": "0" * 64},
    } | change

    @component
    class Made(Named):
        """Made up."""

        def load(self) -> Source:
            return Source(**given)

    return Made()


@pytest.mark.parametrize(
    ("change", "check", "said"),
    [
        ({"arrays": {}}, "loads-a-source", "no array"),
        ({"classes": ("a", "b", "a")}, "labels-its-samples", "twice"),
        ({"labels": np.array([1, 1, 2, 2, 3])}, "labels-its-samples", "from 0"),
        ({"hashes": {}}, "loads-the-same-again", "SHA-256"),
        (
            {"splits": Splits(np.array([0, 2]), np.array([0]), np.array([4]))},
            "keeps-its-splits-apart",
            "two splits",
        ),
        (
            {"splits": Splits(np.array([0, 2]), np.array([3]), np.array([4, 1]))},
            "keeps-its-splits-apart",
            "not unseen",
        ),
        (
            {"splits": Splits(np.array([0]), np.array([3]), np.array([4]))},
            "keeps-its-splits-apart",
            "not seen",
        ),
    ],
)
def test_wrong_data_set_is_caught(change: dict[str, Any], check: str, said: str) -> None:
    assert said in failing(made_set(**change))[check]


def test_sound_data_set_passes() -> None:
    assert failing(made_set()) == {}


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
                    latents.draw("sample", [index], 5, "nearest")[0].mean(0)
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
