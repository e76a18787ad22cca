"""Several seeds trained as one: their weights stacked, their products batched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, stack_module_state, vmap

from mmalign.align import Aligner, Batch, Noise, Scale, draw_noise
from mmalign.contracts import Products
from mmalign.feeding import Draw, Resident
from mmalign.loop import Loop, State
from mmalign.losses import Objective
from mmalign.stored import Stored
from mmalign.terms import Terms
from mmalign.train import precision_of
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
    clip: float | None = None,
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
    state: dict[str, State] = {"weights": weights, "optimiser": optimiser}
    for session, order, own in zip(sessions, orders, generators, strict=True):
        state[f"order {session.seed}"] = order
        state |= {f"noise {n} {session.seed}": each for n, each in own.items()}
    kept_as = f"{stage} of {'+'.join(str(each.seed) for each in sessions)}"
    loop = Loop(replace(sessions[0], epoch_ended=_each(sessions)), stage, epochs, state, kept_as)
    for epoch in loop:
        seen = Terms()
        for given in _side_by_side(feeds, orders, batch, draw):
            e = [{n: draw_noise(given[0].count, latent, noise, g) for n, g in own.items()}
                 for own in generators]  # fmt: skip
            with precision_of(products):
                gradients, (loss, terms) = step(
                    weights, _stacked(_values(given)), _stacked(e), epoch
                )
            for name, each in (gradients if clip is None else _clipped(gradients, clip)).items():
                weights[name].grad = each
            optimiser.step()
            seen.add(given[0], {"loss": loss, **terms})
        means = [seen.means(stage, epoch + 1, seed=place) for place in range(len(sessions))]
        loop.ended({f"{n}/{name}": v for n, own in enumerate(means) for name, v in own.items()})
    _unstack(weights, losses)


def _each(sessions: Sequence[Session]) -> Callable[[str, int, int, Mapping[str, float]], None]:
    """Tells each session its own terms of all, which are named by its place: "0/loss"."""

    def told(stage: str, epoch: int, epochs: int, terms: Mapping[str, float]) -> None:
        for place, session in enumerate(sessions):
            own = f"{place}/"
            session.epoch_ended(
                stage, epoch, epochs,
                {name.removeprefix(own): v for name, v in terms.items() if name.startswith(own)},
            )  # fmt: skip

    return told


def _side_by_side(
    feeds: Sequence[Resident], orders: Sequence[torch.Generator], batch: int, draw: Draw
) -> Iterator[Sequence[Batch]]:
    """For each step every seed's batch."""
    epochs = [feed.batches(batch, draw, order) for feed, order in zip(feeds, orders, strict=True)]
    return zip(*epochs, strict=True)


def _values(given: Sequence[Batch]) -> list[dict[str, Tensor]]:
    """The numbers of every seed's rows, those of a class for each of its rows."""
    return [
        {n: x.index_select(0, each.places[n]) if n in each.places else x
         for n, x in each.values.items()}
        for each in given
    ]  # fmt: skip


def _clipped(gradients: Mapping[str, Tensor], most: float) -> dict[str, Tensor]:
    """Each seed's gradients, scaled down so that their norm is at most so much."""
    squares = [g.flatten(1).square().sum(1) for g in gradients.values()]
    norm = torch.stack(squares).sum(0).sqrt()
    factor = (most / (norm + 1e-6)).clamp(max=1.0)  # as torch.nn.utils.clip_grad_norm_
    return {name: g * factor.view(-1, *[1] * (g.ndim - 1)) for name, g in gradients.items()}


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
