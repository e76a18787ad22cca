"""The one training loop: batches, one forward pass, the objective, one fused Adam."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager

import torch
from torch import Tensor, nn

from mmalign.align import Aligner, Batch, Noise, Scale, draw_noise
from mmalign.contracts import Products, Weighted
from mmalign.errors import MmalignError
from mmalign.feeding import Draw
from mmalign.group import Added, Group
from mmalign.loop import Loop, State
from mmalign.losses import Objective
from mmalign.streaming import feed
from mmalign.terms import Terms
from mmalign.types import Session, Training


def train_aligner(
    aligner: Aligner,
    objective: Objective,
    training: Training,
    session: Session,
    *,
    epochs: int,
    batch: int,
    lr: float,
    draw: Draw,
    noise: Noise,
    scale: Scale,
    products: Products = "float32",
    clip: float | None = None,
    stage: str = "representation",
) -> None:
    """Train in place with Adam (amsgrad), telling the session of each epoch.

    ``products = "bfloat16"`` rounds the factors of every matrix product to bfloat16 and
    adds up in float32; weights and optimiser stay float32. ``clip`` is the largest norm that
    all gradients together may have; larger ones are scaled down to it. With a
    ``session.group`` each process takes its share of every batch, and all make the same steps:
    rows and noise are drawn for the whole batch, as by a process alone. Where the session keeps
    checkpoints, it goes on from the last one. Raises DivergedError when a loss is no longer
    finite, and MmalignError for one of whole batches in a group.
    """
    group = session.group
    if group is not None:
        check_rowwise(objective.losses)
    data = feed(training, session.device)
    aligner.to(session.device).train()
    added = None if group is None else first_weights(aligner, group)
    optimiser = torch.optim.Adam(aligner.parameters(), lr=lr, amsgrad=True, fused=True)
    order = session.generator(f"{stage}.order")
    generators = {n: session.generator(f"{stage}.noise.{n}", session.device) for n in aligner.names}
    state: dict[str, State] = {"weights": aligner, "optimiser": optimiser, "order": order}
    loop = Loop(session, stage, epochs, state | {f"noise {n}": g for n, g in generators.items()})
    for epoch in loop:
        seen = Terms()
        with closing(data.batches(batch, draw, order, group)) as batches:
            for given in batches:
                e = {n: given.own(draw_noise(given.count, aligner.latent, noise, generators[n]))
                     for n in aligner.names}  # fmt: skip
                with precision_of(products):
                    terms = gradients(aligner, objective, given, e, scale, epoch, added)
                if clip is not None:
                    nn.utils.clip_grad_norm_(aligner.parameters(), clip)
                optimiser.step()
                seen.add(given, terms)
        loop.ended(seen.means(stage, epoch + 1, group))
    if group is not None:
        group.copy(aligner.parameters())  # processors of two kinds may round in two ways
    aligner.eval()


def gradients(
    aligner: Aligner,
    objective: Objective,
    given: Batch,
    noise: Mapping[str, Tensor],
    scale: Scale,
    epoch: int,
    added: Added | None = None,
) -> dict[str, Tensor]:
    """Leave the batch's gradients in the parameters; the loss and its terms over these rows.

    ``added`` puts the sum over a group's processes in their place.
    """
    loss, terms = objective(aligner(given, noise, scale), epoch)
    aligner.zero_grad()
    loss.backward()
    if added is not None:
        added(own=given.rows > 0, missing=bool(given.masks))
    return {name: value.detach() for name, value in {"loss": loss, **terms}.items()}


def first_weights(aligner: Aligner, group: Group) -> Added:
    """Begin with the first process's weights everywhere; what adds the gradients up."""
    group.copy(aligner.parameters())
    return Added(aligner.parameters(), group)


def check_rowwise(losses: Mapping[str, Weighted]) -> None:
    """Raise MmalignError for a loss whose gradient is no sum over the rows of a batch."""
    for name, each in losses.items():
        if each.loss.over == "batches":
            raise MmalignError(
                f"loss.{name}: '{each.loss.name}' compares whole batches, which several processes"
                " do not see; train with one, or take a loss of rows, such as 'wasserstein'"
            )


@contextmanager
def precision_of(products: Products) -> Iterator[None]:
    """Matrix products of this precision, on the processor and on CUDA, for a while."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium" if products == "bfloat16" else before)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
