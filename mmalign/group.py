"""Processes that fit one thing together: whose rows are whose, and sums over all of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import Parameter

from mmalign.errors import MmalignError


class LostError(MmalignError):
    """Another process of the group has gone, or has not answered in time."""


@dataclass(frozen=True)
class Share:
    """A process's part of a batch: rows ``start`` to ``stop`` of ``count``; it may be empty."""

    start: int
    stop: int
    count: int

    @property
    def rows(self) -> slice:
        """These rows of a tensor of the whole batch."""
        return slice(self.start, self.stop)


@dataclass(frozen=True)
class Group:
    """This process's place among those that fit together, and what they do in common.

    torch.distributed is initialised by whoever makes one. ``device`` is this process's own.
    Every method but ``share`` is to be called by all of them, in the same order; it raises
    LostError where another one has gone. They talk by torch.distributed and not by
    Fabric's ``all_reduce``, which waits at a barrier first: one more message a step.
    """

    rank: int
    size: int
    device: str = "cpu"

    def share(self, count: int) -> Share:
        """This process's rows of a batch of so many: the shares differ by one row at most."""
        return Share(self.rank * count // self.size, (self.rank + 1) * count // self.size, count)

    def sum(self, tensor: Tensor) -> Tensor:
        """Add a tensor up over the processes, in place; all get the same bits."""
        with self._together():
            dist.all_reduce(tensor)
        return tensor

    def copy(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite every process's tensors by those of the first process."""
        with self._together():
            for tensor in tensors:
                dist.broadcast(tensor.detach(), 0)

    def agreed(self, first: bool) -> bool:
        """What the first process says."""
        said = torch.tensor([float(first)], device=self.device)
        self.copy([said])
        return bool(said.item())

    def wait(self) -> None:
        """Wait for all processes to come here."""
        self.sum(torch.zeros(1, device=self.device)).tolist()

    @contextmanager
    def _together(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            raise LostError(
                f"process {self.rank + 1} of {self.size} has lost another one:"
                f" {str(error).splitlines()[0]}"
            ) from None


class Added:
    """The gradients of some parameters, added up over a group by one message a step.

    The objective is a sum over rows, so the gradients of the shares add up to that of the
    batch. Torch's DistributedDataParallel averages instead, which would need the loss
    weighed by the sizes of uneven shares, and it listens to a module's ``forward``, while
    decodings here happen after it, when a loss asks for them.
    """

    def __init__(self, parameters: Iterable[Parameter], group: Group) -> None:
        self.parameters, self.group = list(parameters), group
        self.sizes = [p.numel() for p in self.parameters]
        first = self.parameters[0]
        length = sum(self.sizes) + len(self.sizes)
        self.flat = torch.zeros(length, device=first.device, dtype=first.dtype)

    def __call__(self, own: bool, missing: bool) -> None:
        """Put the sum of all processes' gradients in place of this one's.

        ``own`` says whether this process had rows, ``missing`` whether a modality may be in
        no row of a batch. A parameter that got no gradient from any process has none
        afterwards: Adam does not move it, as it would by a gradient of zero.
        """
        found = [p.grad if own else None for p in self.parameters]
        total = sum(self.sizes)
        flat = self.flat if missing else self.flat[:total]
        parts = [
            torch.zeros_like(p).view(-1) if g is None else g.reshape(-1)
            for p, g in zip(self.parameters, found, strict=True)
        ]
        if missing:  # that, too, is added up: who has a gradient
            parts.append(flat.new_tensor([g is not None for g in found]))
        torch.cat(parts, out=flat)
        self.group.sum(flat)
        has = flat[total:].tolist() if missing else [1.0] * len(found)
        whole = flat[:total].split(self.sizes)
        for p, part, given in zip(self.parameters, whole, has, strict=True):
            p.grad = part.view_as(p) if given else None
