"""The epochs of a training loop: told to the session, and kept, so that it can go on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from mmalign.errors import MmalignError
from mmalign.types import Session

State: TypeAlias = nn.Module | Optimizer | torch.Generator | Tensor | Mapping[str, Tensor]


class Loop:
    """The epochs of one stage of a fit.

    As a training loop has it::

        loop = Loop(session, "representation", epochs, {"weights": net, "order": order})
        for epoch in loop:
            ...
            loop.ended({"loss": mean})

    ``state`` is all that an epoch changes: modules, optimisers, random generators, tensors;
    what follows from the epoch's number, such as a ramp, need not be there. With
    ``session.checkpoints`` it is kept from time to time, and the epochs begin where a killed
    run's last checkpoint ends: with its state, to the bit, and after the session has been told
    of the epochs before. ``kept_as`` names it there, where another stage has its name.
    ``ended`` raises MmalignError for a state that is no longer finite.
    """

    def __init__(
        self,
        session: Session,
        stage: str,
        epochs: int,
        state: Mapping[str, State],
        kept_as: str | None = None,
    ) -> None:
        self.session, self.stage, self.epochs, self.state = session, stage, epochs, state
        self.keeper = session.checkpoints
        self.name = "" if self.keeper is None else self.keeper.loop(kept_as or stage)
        self.history: list[Mapping[str, float]] = []

    def __iter__(self) -> Iterator[int]:
        """The epochs, from 0, that are not done yet."""
        kept = None if self.keeper is None else self.keeper.load(self.name)
        if kept is not None:
            for name, thing in self.state.items():
                own = f"{name}/"
                put_back(
                    thing,
                    {k.removeprefix(own): v for k, v in kept.tensors.items() if k.startswith(own)},
                )
            for terms in kept.history:
                self._tell(terms)
        yield from range(len(self.history), self.epochs)

    def ended(self, terms: Mapping[str, float]) -> None:
        """An epoch has ended, with these means of each term."""
        self._tell(dict(terms))
        if self.keeper is None or not self.keeper.due:
            return
        tensors = {
            f"{name}/{key}": tensor
            for name, thing in self.state.items()
            for key, tensor in tensors_of(thing).items()
        }
        for name, tensor in tensors.items():
            if not torch.isfinite(tensor).all():
                raise MmalignError(
                    f"training diverged: after epoch {len(self.history)} of the {self.stage},"
                    f" '{name}' is no longer finite; try a smaller learning rate"
                )
        self.keeper.save(self.name, self.history, tensors)

    def _tell(self, terms: Mapping[str, float]) -> None:
        self.history.append(terms)
        self.session.epoch_ended(self.stage, len(self.history), self.epochs, terms)


def tensors_of(thing: State) -> dict[str, Tensor]:
    """What has to be kept of it, by name."""
    if isinstance(thing, nn.Module):
        return dict(thing.state_dict())
    if isinstance(thing, Optimizer):
        return {
            f"{place}.{key}": value
            for place, each in thing.state_dict()["state"].items()
            for key, value in each.items()
        }
    if isinstance(thing, torch.Generator):
        return {"state": thing.get_state()}
    return {"": thing} if isinstance(thing, Tensor) else dict(thing)


@torch.no_grad()
def put_back(thing: State, kept: Mapping[str, Tensor]) -> None:
    """Bring it, in place, into the state that ``kept`` was taken of."""
    if isinstance(thing, nn.Module):
        thing.load_state_dict(dict(kept))
    elif isinstance(thing, Optimizer):
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in kept.items():
            place, _, key = name.partition(".")
            state.setdefault(int(place), {})[key] = value
        thing.load_state_dict({**thing.state_dict(), "state": state})
    elif isinstance(thing, torch.Generator):
        thing.set_state(kept["state"])
    elif isinstance(thing, Tensor):
        thing.copy_(kept[""])
    else:
        for name, tensor in thing.items():
            tensor.copy_(kept[name])
