"""The kit catches wrong backbones: no check is idle."""

from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from failing import Named, failing

from mmalign import MmalignError, Preparation, component
from mmalign.testing import ConformanceError, checks

LOADED = [0]  # how many extractors were made


class Sound:
    """Means of the channels; what is wrong with the others is said by their subclass."""

    facts: ClassVar[Any] = {"by": "hand"}

    def __init__(self) -> None:
        LOADED[0] += 1
        self.number = LOADED[0]
        self.calls = 0

    def prepare(self, picture: Any) -> Any:
        return Preparation((4, 4))(picture)

    def __call__(self, batch: Any) -> Any:
        self.calls += 1
        return batch.mean(axis=(2, 3))


class Numbered(Sound):
    @property
    def facts(self) -> Any:
        return {"loading": self.number}


class Unsaid(Sound):
    facts: ClassVar[Any] = None


class AsItIs(Sound):
    def prepare(self, picture: Any) -> Any:
        return np.asarray(picture, np.float32).transpose(2, 0, 1)


class Doubled(Sound):
    def prepare(self, picture: Any) -> Any:
        return super().prepare(picture).astype(np.float64)


class Divided(Sound):
    def prepare(self, picture: Any) -> Any:
        made = super().prepare(picture)
        with np.errstate(all="ignore"):
            return (made - made.mean()) / np.float32(made.std() if picture.width > 1 else 0)


class Painting(Sound):
    def prepare(self, picture: Any) -> Any:
        made = super().prepare(picture)
        picture.paste("black", (0, 0, 1, 1))
        return made


class Wide(Sound):
    def __call__(self, batch: Any) -> Any:
        return super().__call__(batch).astype(np.float64)


class Flat(Sound):
    def __call__(self, batch: Any) -> Any:
        return super().__call__(batch).ravel()


class Blind(Sound):
    def __call__(self, batch: Any) -> Any:
        return np.ones((len(batch), 3), np.float32)


class Infinite(Sound):
    def __call__(self, batch: Any) -> Any:
        return super().__call__(batch) * np.float32(np.inf)


class InPlace(Sound):
    def __call__(self, batch: Any) -> Any:
        batch *= 2
        return super().__call__(batch)


class Counting(Sound):
    def __call__(self, batch: Any) -> Any:
        return super().__call__(batch) + np.float32(self.calls)


class Random(Sound):
    def __call__(self, batch: Any) -> Any:
        return super().__call__(batch) * np.float32(self.number)


class Seeding(Sound):
    def __call__(self, batch: Any) -> Any:
        torch.manual_seed(5)
        return super().__call__(batch)


class Batchwise(Sound):
    def __call__(self, batch: Any) -> Any:
        rows = super().__call__(batch)
        return rows - rows.mean(axis=0)


@pytest.mark.parametrize(
    ("extractor", "check", "said"),
    [
        (Numbered, "says-what-it-depends-on", "differ between two loadings"),
        (Unsaid, "says-what-it-depends-on", "must be a mapping"),
        (AsItIs, "prepares-every-picture", "several shapes"),
        (Doubled, "prepares-every-picture", "float32"),
        (Divided, "prepares-every-picture", "NaN or infinity"),
        (Painting, "prepares-every-picture", "changes the picture"),
        (Wide, "gives-one-row-each", "float32"),
        (Flat, "gives-one-row-each", "(15,) for 5 pictures"),
        (Blind, "gives-one-row-each", "sees nothing"),
        (Infinite, "gives-one-row-each", "NaN or infinity"),
        (InPlace, "gives-one-row-each", "in place"),
        (Counting, "gives-the-same-again", "second time"),
        (Random, "gives-the-same-again", "loaded again"),
        (Seeding, "gives-the-same-again", "global generator"),
        (Batchwise, "regards-each-picture-alone", "other features in a batch"),
    ],
)
def test_wrong_backbone_is_caught(extractor: type, check: str, said: str) -> None:
    assert said in failing(made_of(extractor))[check]


def made_of(extracting: type, known: tuple[str, ...] = ("cpu",)) -> Any:
    """A backbone that is right but for its extractor."""

    @component
    class Made(Named):
        """Made up."""

        def extractor(self, device: str) -> Any:
            if known and device not in known:
                raise MmalignError(f"no device '{device}'")
            if not known and device != "cpu":
                raise KeyError(device)
            return extracting()

    return Made()


def test_sound_backbone_passes() -> None:
    assert failing(made_of(Sound)) == {}


def test_devices_are_not_taken_on_trust() -> None:
    said = failing(made_of(Sound, known=()))["refuses-another-device"]
    assert "raises KeyError" in said
    said = failing(made_of(Sound, known=("cpu", "no-such-device")))["refuses-another-device"]
    assert "takes the device" in said


def test_backbone_is_told_from_a_data_set() -> None:
    assert {str(each) for each in checks(made_of(Sound))} >= {"prepares-every-picture"}
    with pytest.raises(ConformanceError, match="no component of any kind"):
        checks(object())
