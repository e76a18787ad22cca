"""The kit catches wrong components, modalities and data sets: no check is idle."""

from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
from failing import Named, failing

from mmalign import (
    Features,
    Inspection,
    Published,
    Source,
    Splits,
    Texts,
    View,
    component,
)
from mmalign.testing import ConformanceError, checks


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
        np.floor(view.values, out=view.values)  # the second time changes nothing more
        return view


@component
class Drawn(Shown):
    """Adds noise."""

    def view(self, source: Source) -> View:
        view = super().view(source)
        noise = np.random.default_rng().normal(size=view.values.shape)
        return View(view.values + noise.astype(np.float32), view.level)


@component
class Doubtful(Shown):
    """Says nothing of its field, and gives float64."""

    bare: int = 1

    def view(self, source: Source) -> View:
        view = super().view(source)
        made = View(view.values, view.level)
        # Past the shape checks of our own tests, which an author does not have.
        object.__setattr__(made, "values", view.values.astype(np.float64))
        return made


@pytest.mark.parametrize(
    ("modality", "check", "said"),
    [
        (Undecorated, "is-a-component", "decorate the class itself"),
        (TooFew, "gives-one-row-each", "3 rows for 48"),
        (Crude, "says-what-the-source-lacks", "KeyError"),
        (Spoiling, "gives-the-same-again", "in place"),
        (Drawn, "gives-the-same-again", "second time"),
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


def test_texts_that_are_no_tuples_are_caught() -> None:
    texts = Texts((("one",), (), ("two", "three")), "class")
    assert failing(made_set(texts={"t": texts})) == {}
    object.__setattr__(texts, "values", (("one",), (), "two"))  # past the tests' type checks
    assert (
        "a tuple of texts for each row"
        in failing(made_set(texts={"t": texts}))["gives-texts-in-tuples"]
    )


def test_sound_data_set_passes() -> None:
    assert failing(made_set()) == {}


def folder_set(files: dict[str, bytes], found: Inspection, wanted: Published) -> Any:
    """A sound data set that also has an example and is published."""

    @component
    class Own(type(made_set())):  # type: ignore[misc]
        """A user's own, and published."""

        published: ClassVar[Published] = wanted
        root: Path = Path()
        """The folder."""

        def inspect(self) -> Inspection:
            return found

        @classmethod
        def template(cls, root: str) -> dict[str, bytes]:
            return files

        def differences(self) -> tuple[str, ...]:
            return ()

    return Own()


SOUND = {"a.csv": b"x"}, Published("https://example.org/a.zip", {"a/b": "b"}, "nobody")


def test_sound_folder_passes() -> None:
    found = Inspection((), source=made_set().load())
    assert failing(folder_set(SOUND[0], found, SOUND[1])) == {}


@pytest.mark.parametrize(
    ("files", "problems", "said"),
    [
        ({"../a.csv": b"x"}, (), "a file outside its folder"),
        ({"/a.csv": b"x"}, (), "a file outside its folder"),
        (SOUND[0], ("a.csv: is empty",), "template() writes: a.csv: is empty"),
        (SOUND[0], (), "template() writes: nothing that loads"),
    ],
)
def test_wrong_example_is_caught(files: Any, problems: Any, said: str) -> None:
    made = folder_set(files, Inspection((), problems), SOUND[1])
    assert said in failing(made)["begins-with-a-valid-example"]


@pytest.mark.parametrize(
    ("url", "files", "said"),
    [
        ("file:///a.zip", {"a": "b"}, "where nothing can be fetched from"),
        ("https://x/a.zip", {}, "a path below the root"),
        ("https://x/a.zip", {"a": "../b"}, "a path below the root"),
        ("https://x/a.zip", {"a": "/b"}, "a path below the root"),
    ],
)
def test_wrong_publication_is_caught(url: str, files: Any, said: str) -> None:
    found = Inspection((), source=made_set().load())
    made = folder_set(SOUND[0], found, Published(url, files, "nobody"))
    assert said in failing(made)["publishes-files-below-its-root"]
