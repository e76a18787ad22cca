"""Several seeds trained as one: their weights stacked, their products batched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, stack_module_state, vmap

from mmalign.align import Aligner, Batch, Noise, Scale, draw_noise
from mmalign.contracts import Products
from mmalign.feeding import Draw, Resident
from mmalign.losses import Objective
from mmalign.stored import Stored
from mmalign.train import check_finite, precision_of
from mmalign.types import Session, Training


def why_apart(trainings: Sequence[Training]) -> str | None:
    """Why seeds cannot be trained as one, in a few words; None where they can.

    In every step their tensors must have the same shapes.
    """
    if len({len(each.labels) for each in trainings}) > 1:
        return "they train on different numbers of rows"
    for training in trainings:
        for name, view in training.views.items():
            if isinstance(view.values, Stored):
                return f"'{name}' stays on disk"
            mask = view.mask if view.level == "sample" else view.mask[training.labels]
            if not mask.all():
                return f"some rows have no '{name}'"
    return None


class Loss(nn.Module):
    """Forward pass and objective as one call, so that it reads whatever weights it is given."""

    def __init__(self, aligner: Aligner, objective: Objective, scale: Scale) -> None:
        super().__init__()
        self.aligner, self.objective, self.scale = aligner, objective, scale

    def forward(
        self, x: Mapping[str, Tensor], noise: Mapping[str, Tensor], epoch: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch without masks, and its terms."""
        return self.objective(self.aligner(Batch(x, {}), noise, self.scale), epoch)


def train_together(
    aligners: Sequence[Aligner],
    objective: Objective,
    trainings: Sequence[Training],
    sessions: Sequence[Session],
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
    """Train each aligner in place, as ``train_aligner`` would alone, all in the same steps.

    Each seed has the rows and the noise that it has alone, and so the same numbers but for
    rounding. Raises MmalignError where the loss of one is no longer finite.
    """
    device, latent = sessions[0].device, aligners[0].latent
    losses = [Loss(each.to(device).train(), objective, scale) for each in aligners]
    weights, _ = stack_module_state(list(losses))
    optimiser = torch.optim.Adam(weights.values(), lr=lr, amsgrad=True, fused=True)
    feeds = [Resident(each, device) for each in trainings]
    orders = [each.generator(f"{stage}.order") for each in sessions]
    generators = [
        {n: each.generator(f"{stage}.noise.{n}", device) for n in aligners[0].names}
        for each in sessions
    ]

    def loss_of(
        weights: dict[str, Tensor], x: dict[str, Tensor], e: dict[str, Tensor], epoch: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        found: tuple[Tensor, dict[str, Tensor]] = functional_call(losses[0], weights, (x, e, epoch))
        return found

    step = vmap(grad_and_value(loss_of, has_aux=True), in_dims=(0, 0, 0, None))
    for epoch in range(epochs):
        sums: dict[str, Tensor] = {}
        rows_seen = 0
        for given in _side_by_side(feeds, orders, batch, draw):
            rows = len(given[0][aligners[0].names[0]])
            e = [{n: draw_noise(rows, latent, noise, g) for n, g in own.items()}
                 for own in generators]  # fmt: skip
            with precision_of(products):
                gradients, (loss, terms) = step(weights, _stacked(given), _stacked(e), epoch)
            for name, weight in weights.items():
                weight.grad = gradients[name]
            optimiser.step()
            rows_seen += rows
            for name, value in {"loss": loss, **terms}.items():
                sums[name] = sums.get(name, 0) + value.detach()
        means = {name: (value / rows_seen).tolist() for name, value in sums.items()}
        for place, session in enumerate(sessions):
            own = {name: values[place] for name, values in means.items()}
            check_finite(own, stage, epoch)
            session.epoch_ended(stage, epoch + 1, epochs, own)
    _unstack(weights, losses)


def _side_by_side(
    feeds: Sequence[Resident], orders: Sequence[torch.Generator], batch: int, draw: Draw
) -> Iterator[list[dict[str, Tensor]]]:
    """For each step the numbers of every seed's rows, those of a class for each of its rows."""
    epochs = [feed.batches(batch, draw, order) for feed, order in zip(feeds, orders, strict=True)]
    for given in zip(*epochs, strict=True):
        yield [
            {n: x.index_select(0, each.places[n]) if n in each.places else x
             for n, x in each.values.items()}
            for each in given
        ]  # fmt: skip


def _stacked(each: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Tensors of every seed, by name, as one with seeds as its first axis."""
    return {name: torch.stack([own[name] for own in each]) for name in each[0]}


@torch.no_grad()
def _unstack(weights: Mapping[str, Tensor], losses: Sequence[Loss]) -> None:
    """Give every seed its weights."""
    for place, each in enumerate(losses):
        for name, parameter in each.named_parameters():
            parameter.copy_(weights[name][place])
        each.aligner.eval()
