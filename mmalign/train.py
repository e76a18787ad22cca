"""The one training loop: batches by index from resident tensors, one fused Adam."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor

from mmalign.align import Aligner, Batch, Noise, Scale
from mmalign.contracts import Products
from mmalign.errors import MmalignError
from mmalign.losses import Objective
from mmalign.types import Session, Training

Draw = Literal["random", "shuffle"]


class Resident:
    """The training rows as tensors on the device; class-level views stay one row a class."""

    def __init__(self, training: Training, device: str) -> None:
        self.labels = torch.from_numpy(training.labels).to(device)
        self.levels = {name: view.level for name, view in training.views.items()}
        self.values, self.masks = {}, {}
        for name, view in training.views.items():
            self.values[name] = torch.from_numpy(view.values).to(device)
            mask = view.mask if view.level == "sample" else view.mask[training.labels]
            if not mask.all():
                self.masks[name] = torch.from_numpy(mask).to(device)

    def batch(self, rows: Tensor) -> Batch:
        """These training rows; class-level views are looked up by label."""
        at = {"sample": rows, "class": self.labels[rows]}
        return Batch(
            values={
                name: x.index_select(0, at[self.levels[name]]) for name, x in self.values.items()
            },
            masks={name: mask[rows] for name, mask in self.masks.items()},
        )


def indices(count: int, batch: int, draw: Draw, generator: torch.Generator) -> list[Tensor]:
    """The rows of each of an epoch's ``ceil(count / batch)`` steps.

    "random" draws every batch anew from all rows, so that an epoch misses some and takes
    others twice (the published code); "shuffle" goes once through a permutation.
    """
    steps = math.ceil(count / batch)
    if draw == "shuffle":
        return list(torch.randperm(count, generator=generator).split(batch))
    return [torch.randperm(count, generator=generator)[:batch] for _ in range(steps)]


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
    stage: str = "representation",
) -> None:
    """Train in place with Adam (amsgrad), telling the session of each epoch.

    ``products = "bfloat16"`` rounds the factors of every matrix product to bfloat16 and
    adds up in float32; weights and optimiser stay float32. Raises MmalignError when a loss
    is no longer finite.
    """
    data = Resident(training, session.device)
    aligner.to(session.device).train()
    optimiser = torch.optim.Adam(aligner.parameters(), lr=lr, amsgrad=True, fused=True)
    order = session.generator(f"{stage}.order")
    generators = {n: session.generator(f"{stage}.noise.{n}", session.device) for n in aligner.names}
    for epoch in range(epochs):
        sums: dict[str, Tensor] = {}
        rows_seen = 0
        for rows in indices(len(training.labels), batch, draw, order):
            with precision_of(products):
                flow = aligner(data.batch(rows.to(session.device)), generators, noise, scale)
                loss, terms = objective(flow, epoch)
                optimiser.zero_grad()
                loss.backward()
            optimiser.step()
            rows_seen += len(rows)
            for name, value in {"loss": loss, **terms}.items():
                sums[name] = sums.get(name, 0) + value.detach()
        means = {name: float(value) / rows_seen for name, value in sums.items()}
        check_finite(means, stage, epoch)
        session.epoch_ended(stage, epoch + 1, epochs, means)
    aligner.eval()


@contextmanager
def precision_of(products: Products) -> Iterator[None]:
    """Matrix products of this precision, on the processor and on CUDA, for a while."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium" if products == "bfloat16" else before)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def check_finite(terms: Mapping[str, float], stage: str, epoch: int) -> None:
    """Raise MmalignError, naming the terms, when training has diverged."""
    wrong = [name for name, value in terms.items() if not math.isfinite(value)]
    if wrong:
        raise MmalignError(
            f"training diverged in epoch {epoch + 1} of the {stage}: {', '.join(wrong)} is no"
            " longer finite; try a smaller [method] lr, or check the scaling of the modalities"
        )
