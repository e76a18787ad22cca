"""The one training loop: batches, one forward pass, the objective, one fused Adam."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager

import torch
from torch import Tensor

from mmalign.align import Aligner, Noise, Scale, draw_noise
from mmalign.contracts import Products
from mmalign.errors import MmalignError
from mmalign.feeding import Draw
from mmalign.losses import Objective
from mmalign.streaming import feed
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
    stage: str = "representation",
) -> None:
    """Train in place with Adam (amsgrad), telling the session of each epoch.

    ``products = "bfloat16"`` rounds the factors of every matrix product to bfloat16 and
    adds up in float32; weights and optimiser stay float32. Raises MmalignError when a loss
    is no longer finite.
    """
    data = feed(training, session.device)
    aligner.to(session.device).train()
    optimiser = torch.optim.Adam(aligner.parameters(), lr=lr, amsgrad=True, fused=True)
    order = session.generator(f"{stage}.order")
    generators = {n: session.generator(f"{stage}.noise.{n}", session.device) for n in aligner.names}
    for epoch in range(epochs):
        sums: dict[str, Tensor] = {}
        rows_seen = 0
        with closing(data.batches(batch, draw, order)) as batches:
            for given in batches:
                e = {n: draw_noise(given.rows, aligner.latent, noise, generators[n])
                     for n in aligner.names}  # fmt: skip
                with precision_of(products):
                    flow = aligner(given, e, scale)
                    loss, terms = objective(flow, epoch)
                    optimiser.zero_grad()
                    loss.backward()
                optimiser.step()
                rows_seen += given.rows
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
