"""CADA-VAE and its head as one would write them first: the baseline of the benchmarks.

The same model, losses, optimiser settings and counts as mmalign's, with nothing done for
speed: two output layers in each encoder, a decoder call for each pair, Adam with default
settings, rows gathered one by one by a ``DataLoader``, and every term read back in every
step. It depends on torch alone. ``gathered = "by index"`` takes whole batches by indexing
instead, as some published code does: with it a comparison leaves the loader out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, RandomSampler

Gathered = Literal["by loader", "by index"]


class Rows(Dataset):
    """One dict per row; what belongs to the class is looked up by label."""

    def __init__(
        self, samples: dict[str, Tensor], labels: Tensor, of_class: dict[str, Tensor]
    ) -> None:
        self.samples, self.labels, self.of_class = samples, labels, of_class

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: Any) -> dict[str, Tensor]:
        label = self.labels[row]
        values = {name: x[row] for name, x in self.samples.items()}
        values |= {name: x[label] for name, x in self.of_class.items()}
        return values | {"label": label}


def rows_of(training: Any) -> Rows:
    """The rows of an ``mmalign.Training`` with images and attributes."""
    views = {name: torch.from_numpy(view.values) for name, view in training.views.items()}
    samples, of_class = {"image": views["image"]}, {"attributes": views["attributes"]}
    return Rows(samples, torch.from_numpy(training.labels), of_class)


def batches(rows: Rows, batch: int, gathered: Gathered) -> Iterable[dict[str, Tensor]]:
    """An epoch of ceil(rows / batch) batches."""
    steps = math.ceil(len(rows) / batch)
    if gathered == "by index":
        return (rows[torch.randperm(len(rows))[:batch]] for _ in range(steps))
    sampler = RandomSampler(rows, num_samples=steps * batch)
    return DataLoader(rows, batch_size=batch, sampler=sampler)


def begin(layer: nn.Module) -> None:
    if isinstance(layer, nn.Linear):
        nn.init.xavier_uniform_(layer.weight, gain=0.5)
        nn.init.zeros_(layer.bias)


class Encoder(nn.Module):
    """``dim -> hidden -> ReLU``, then one layer for the mean and one for logvar."""

    def __init__(self, dim: int, hidden: int, latent: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU())
        self.mean = nn.Linear(hidden, latent)
        self.logvar = nn.Linear(hidden, latent)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.body(x)
        return self.mean(h), self.logvar(h)


def sample(mean: Tensor, logvar: Tensor) -> Tensor:
    """One random number per row, times the variance: as the public code reads it."""
    return mean + torch.randn(len(mean), 1).expand_as(mean) * logvar.exp()


class VAE(nn.Module):
    """An encoder and a decoder for images and for attributes."""

    def __init__(self, image: int = 1000, attributes: int = 312, latent: int = 64) -> None:
        super().__init__()
        self.image_encoder = Encoder(image, 1560, latent)
        self.attributes_encoder = Encoder(attributes, 1450, latent)
        self.image_decoder = nn.Sequential(
            nn.Linear(latent, 1660), nn.ReLU(), nn.Linear(1660, image)
        )
        self.attributes_decoder = nn.Sequential(
            nn.Linear(latent, 665), nn.ReLU(), nn.Linear(665, attributes)
        )
        self.apply(begin)

    def terms(self, image: Tensor, attributes: Tensor) -> dict[str, Tensor]:
        """Each term, summed over rows and dimensions."""
        error = nn.L1Loss(reduction="sum")
        mean_i, logvar_i = self.image_encoder(image)
        mean_a, logvar_a = self.attributes_encoder(attributes)
        z_i, z_a = sample(mean_i, logvar_i), sample(mean_a, logvar_a)
        own = error(self.image_decoder(z_i), image)
        own = own + error(self.attributes_decoder(z_a), attributes)
        cross = error(self.image_decoder(z_a), image)
        cross = cross + error(self.attributes_decoder(z_i), attributes)
        kl = -0.5 * torch.sum(1 + logvar_i - mean_i.pow(2) - logvar_i.exp())
        kl = kl - 0.5 * torch.sum(1 + logvar_a - mean_a.pow(2) - logvar_a.exp())
        means = torch.sum((mean_i - mean_a) ** 2, dim=1)
        deviations = torch.sum((logvar_i.exp().sqrt() - logvar_a.exp().sqrt()) ** 2, dim=1)
        distance = torch.sqrt(means + deviations).sum()
        return {"reconstruction": own, "kl": kl, "cross": cross, "distribution": distance}


def train_vae(
    model: VAE,
    rows: Rows,
    weights: Mapping[str, Callable[[float], float]],
    *,
    epochs: int,
    batch: int = 50,
    lr: float = 1.5e-4,
    gathered: Gathered = "by loader",
) -> Iterator[float]:
    """Train epoch by epoch, giving each one's mean loss per row. Asks for one at a time."""
    optimiser = torch.optim.Adam(model.parameters(), lr=lr, amsgrad=True)
    for epoch in range(epochs):
        log: dict[str, float] = {}
        count = 0
        for data in batches(rows, batch, gathered):
            terms = model.terms(data["image"], data["attributes"])
            loss = terms["reconstruction"]
            for name, weight in weights.items():
                loss = loss + weight(epoch) * terms[name]
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            count += len(data["label"])
            for name, value in {"loss": loss, **terms}.items():
                log[name] = log.get(name, 0.0) + value.item()
        yield log["loss"] / count


def train_head(
    z: Tensor,
    labels: Tensor,
    classes: int,
    *,
    epochs: int,
    batch: int = 32,
    lr: float = 1e-3,
    gathered: Gathered = "by loader",
) -> Iterator[tuple[nn.Module, float]]:
    """Train epoch by epoch a linear softmax of latents; gives it and the mean loss of a step."""
    model = nn.Sequential(nn.Linear(z.shape[1], classes), nn.LogSoftmax(dim=1))
    model.apply(begin)
    criterion = nn.NLLLoss()
    optimiser = torch.optim.Adam(model.parameters(), lr=lr, betas=(0.5, 0.999))
    rows = Rows({"z": z}, labels, {})
    for _ in range(epochs):
        log, steps = 0.0, math.ceil(len(rows) / batch)
        order = torch.randperm(len(rows)).split(batch)
        loader = DataLoader(rows, batch_size=batch, shuffle=True)
        for data in loader if gathered == "by loader" else (rows[each] for each in order):
            optimiser.zero_grad()
            loss = criterion(model(data["z"]), data["label"])
            loss.backward()
            optimiser.step()
            log += loss.item()
        yield model, log / steps


@torch.no_grad()
def head_rows(
    model: VAE, rows: Rows, seen: list[int], unseen: list[int], counts: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """The head's training set: ``counts`` latents of each seen and each unseen class."""
    drawn, labels = [], []
    for index in seen:
        own = rows.samples["image"][rows.labels == index]
        own = own.repeat(math.ceil(counts[0] / len(own)), 1)[: counts[0]]
        drawn.append(sample(*model.image_encoder(own)))
        labels.append(torch.full((counts[0],), index))
    for index in unseen:
        own = rows.of_class["attributes"][index].repeat(counts[1], 1)
        drawn.append(sample(*model.attributes_encoder(own)))
        labels.append(torch.full((counts[1],), index))
    return torch.cat(drawn), torch.cat(labels)
