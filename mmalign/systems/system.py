"""System: the base of a method that matches features with descriptions of classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Literal,
    Protocol,
    TypeAlias,
    TypeVar,
    runtime_checkable,
)

from mmalign.component import component
from mmalign.contracts import Parts
from mmalign.types import Session, Signature, Training

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from mmalign.systems.fitted import FittedSystem
    from mmalign.systems.rows import Asked, Rows

Select: TypeAlias = Literal["last", "validation", "test-oracle"]
Self = TypeVar("Self", bound="System")


@runtime_checkable
class Scoring(Protocol):
    """A trained system: tensors, and how they score.

    One that scores the classes of its training alone, whatever their descriptions, says
    ``by_description = False``: it takes no class that comes later. One whose scores are more
    than torch operations on whole rows says ``traceable = False``: it is not exported.
    """

    def scores(self, x: Float[Tensor, "rows dim"], asked: Asked) -> Float[Tensor, "rows classes"]:
        """Scores over the classes asked; the larger the likelier. Takes float32, gives it."""
        ...

    def state(self) -> Mapping[str, Tensor]:
        """Its tensors, by name."""
        ...


@dataclass(frozen=True)
class Epoch:
    """Where training stands: the epoch, from 1, and the mean of each loss term.

    ``model`` makes the system as it stands, and is called before training goes on, or not
    at all: what is costly, such as a classifier of synthetic features, belongs in there.
    Its random numbers come from generators of their own, so that it may be left out.
    """

    number: int
    model: Callable[[], Scoring]
    terms: Mapping[str, float] = field(default_factory=dict)


@component
class System:
    """Base of a method that matches features of samples with descriptions of classes.

    A system adds its fields, ``train`` and ``model``. Fields that are named in ``open`` take
    one value, or several of which the validation protocol takes the best.

    Hyper-parameters and epochs are chosen twice: by H for the generalized question, by T1
    for the one among unseen classes alone, and the model keeps what each choice gave.
    """

    name: ClassVar[str]
    open: ClassVar[tuple[str, ...]] = ()
    select: Select = "validation"
    """How open hyper-parameters and the epoch are chosen.

    "validation": the best on the validation protocol; "last": the last epoch, with
    hyper-parameters still by validation; "test-oracle": the best on the rows that are asked,
    as some published code does. The report of an oracle says so in its first line.
    """

    def train(self, rows: Rows, session: Session) -> Iterator[Epoch]:
        """Train with one value for each open field; yields each epoch that may be chosen.

        A closed form yields once. Every random number comes from ``session.generator``.
        """
        raise NotImplementedError

    def model(self, state: Mapping[str, Tensor]) -> Scoring:
        """The trained system of these tensors. Raises KeyError for one that is missing."""
        raise NotImplementedError

    def candidates(self: Self) -> list[Self]:
        """This system with each combination of the values of its open fields."""
        given = {name: getattr(self, name) for name in self.open}
        several = {n: value for n, value in given.items() if isinstance(value, tuple)}
        points = product(*several.values())
        return [replace(self, **dict(zip(several, point, strict=True))) for point in points]

    def explore(
        self: Self, candidates: Sequence[Self], rows: Rows, session: Session
    ) -> Iterator[tuple[Self, Epoch]]:
        """Train candidates, each with one value for each open field.

        Override it where they share work; ``train`` of one is then what this does of it.
        """
        for each in candidates:
            for epoch in each.train(rows, session):
                yield each, epoch

    @property
    def last(self) -> int:
        """The number of the last epoch: the field ``epochs`` where there is one, or 1."""
        return int(getattr(self, "epochs", 1))

    def until(self: Self, epoch: int) -> Self:
        """The same, with this epoch as its last."""
        fields: dict[str, Any] = {"epochs": epoch} if hasattr(self, "epochs") else {}
        return replace(self, **fields)

    def settings(self) -> dict[str, Any]:
        """The open fields and their values."""
        return {name: getattr(self, name) for name in self.open}

    def check(self, parts: Parts) -> list[str]:
        """A system has no head and no losses of a recipe's."""
        wrong = [f"loss.{name}" for name in parts.losses]
        wrong += ["head"] if parts.head is not None else []
        return [
            f"{path}: the method '{self.name}' is trained by its own loss; leave it out"
            for path in wrong
        ]

    def fit(self, training: Training, parts: Parts, session: Session) -> FittedSystem:
        """Choose what is open, then train on all rows."""
        from mmalign.systems.selection import fit

        return fit(self, training, parts, session)

    def restore(
        self, state: Mapping[str, Tensor], signature: Signature, parts: Parts
    ) -> FittedSystem:
        """The fitted system that these tensors came from."""
        from mmalign.systems.fitted import restore

        return restore(self, state, signature)
