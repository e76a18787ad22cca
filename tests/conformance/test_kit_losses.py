"""The kit catches wrong losses: no check is idle."""

from typing import Any, ClassVar, Literal

import pytest
import torch
from failing import Named, failing

from mmalign import (
    component,
)
from mmalign.testing import ConformanceError, checks


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
        return ((p.mean - q.mean) / (p.mean - p.mean.mean(0)).square().sum(0)).sum(-1)


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
