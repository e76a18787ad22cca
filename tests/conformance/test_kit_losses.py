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


class Ordered(Named):
    over: ClassVar[Literal["ordered-posteriors"]] = "ordered-posteriors"


class Batches(Named):
    over: ClassVar[Literal["batches"]] = "batches"


@component
class Whatever(Named):
    """Says what nobody calls."""

    over: ClassVar[str] = "triples"

    def __call__(self, p: Any, q: Any) -> Any:
        return (p.mean - q.mean).square().sum(-1)


@component
class EachRow(Batches):
    """One value a row where one number is asked."""

    def __call__(self, p: Any, q: Any) -> Any:
        return (p.mean - q.mean).square().sum(-1)


@component
class Unbiased(Batches):
    """A variance of rows - 1, which one row alone does not have."""

    def __call__(self, p: Any, q: Any) -> Any:
        return (p.mean.var(0) - q.mean.var(0)).square().sum()


@component
class Onesided(Batches):
    """Weighs the first cloud more."""

    def __call__(self, p: Any, q: Any) -> Any:
        return (2 * p.mean.mean(0) - q.mean.mean(0)).square().sum()


@component
class Uneven(Batches):
    """A root without a floor."""

    def __call__(self, p: Any, q: Any) -> Any:
        return (p.mean.mean(0) - q.mean.mean(0)).square().sum().sqrt()


@component
class Halved(Ordered):
    """Half of its gradient is cut off."""

    def __call__(self, p: Any, q: Any) -> Any:
        return (p.mean * q.mean.detach()).sum(-1)


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
        (Whatever, "says-what-it-is-over", "triples"),
        (EachRow, "gives-one-value-a-row", "one number"),
        (Onesided, "is-symmetric", "make it symmetric"),
        (Uneven, "is-smooth-where-all-is-aligned", "floor"),
        (Halved, "has-its-gradient", "finite differences"),
    ],
)
def test_wrong_loss_is_caught(loss: type, check: str, said: str) -> None:
    if loss is Noisy:  # gradcheck would stumble over it first
        found = {str(each): each for each in checks(loss())}
        with pytest.raises(ConformanceError, match=said):
            found[check]()
        return
    assert said in failing(loss())[check]


@pytest.mark.filterwarnings("ignore:var")  # torch warns of the variance of one row
def test_a_divergence_of_batches_that_one_row_breaks_is_caught() -> None:
    assert "1 rows" in failing(Unbiased())["gives-one-value-a-row"]


def test_a_sound_loss_with_a_direction_and_one_over_batches_pass() -> None:
    @component
    class Directed(Ordered):
        """Not symmetric, and need not be."""

        def __call__(self, p: Any, q: Any) -> Any:
            return (p.mean - 2 * q.mean).square().sum(-1)

    @component
    class Centres(Batches):
        """Squared distance of the clouds' means."""

        def __call__(self, p: Any, q: Any) -> Any:
            return (p.mean.mean(0) - q.mean.mean(0)).square().sum()

    assert failing(Directed()) == {}
    assert failing(Centres()) == {}


def test_sound_loss_passes() -> None:
    @component
    class Sound(Pairs):
        """Squared distance of the means."""

        def __call__(self, p: Any, q: Any) -> Any:
            return (p.mean - q.mean).square().sum(-1)

    # log-variances do not enter, for which gradcheck asks that they do
    assert failing(Sound()) == {}
