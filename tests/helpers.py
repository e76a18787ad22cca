"""Small things that several tests are made of."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from mmalign import (
    Aligner,
    Batch,
    Features,
    Gaussian,
    Indices,
    Pass,
    Protocol,
    Session,
    Source,
    Splits,
    Training,
    View,
    component,
    pose,
)
from mmalign.align import draw_noise

DTYPE = torch.float64
NAMES = ("a", "b", "c", "d", "e")
LATENT = 3


@component
class Small(Features):
    """A modality with narrow hidden layers."""

    name: ClassVar[str] = "small"
    array: str = "image"
    hidden: tuple[int, int] = (6, 5)


def numbers(*shape: int, seed: int = 0) -> Tensor:
    """Standard normal numbers in float64."""
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gaussian(rows: int = 4, latent: int = LATENT, seed: int = 0) -> Gaussian:
    """Random posteriors in float64 that ask for gradients."""
    mean, logvar = numbers(2, rows, latent, seed=seed)
    return Gaussian(mean.clone().requires_grad_(), logvar.clone().requires_grad_())


def aligner(names: tuple[str, ...], latent: int = LATENT) -> Aligner:
    """Small autoencoders in float64; modality "c" is the same whoever else is there."""
    dims = {name: 4 + NAMES.index(name) for name in names}
    made = Aligner({name: Small() for name in names}, dims, latent, Session(0).generator).double()
    with torch.no_grad():
        for name, p in made.named_parameters():
            if name.endswith("bias"):  # they begin at 0, which would hide mistakes
                p.normal_(std=0.3, generator=generator(sum(name.encode())))
    return made


def batch(
    names: tuple[str, ...], rows: int = 6, masks: Mapping[str, Tensor] | None = None
) -> Batch:
    """Numbers in [0, 1], so that every reconstruction error can be asked."""
    values = {
        name: numbers(rows, 4 + NAMES.index(name), seed=NAMES.index(name)).sigmoid()
        for name in names
    }
    return Batch(values, masks or {})


def flow(model: Aligner, given: Batch) -> Pass:
    """A forward pass with the same noise each time."""
    noise = {
        name: draw_noise(given.rows, model.latent, "independent", generator(ord(name)), DTYPE)
        for name in model.names
    }
    return model(given, noise, "std")


def gradients(model: Aligner, loss: Tensor) -> dict[str, Tensor]:
    """The gradient of every parameter; zeros where the loss does not depend on it."""
    model.zero_grad()
    loss.backward()
    return {
        name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
        for name, p in model.named_parameters()
    }


def assert_same(one: Mapping[str, Tensor], other: Mapping[str, Tensor], **tolerance: float) -> None:
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], **tolerance)


SEEN, TRAINED, ASKED, UNSEEN, UNSEEN_ROWS = 4, 10, 3, 2, 4


def source(validation_classes: Indices | None = None) -> Source:
    """4 seen classes of 10 training and 3 test rows, 2 unseen ones of 4; well apart."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(6), [TRAINED + ASKED] * SEEN + [UNSEEN_ROWS] * UNSEEN)
    attributes = random.normal(size=(6, 3)).astype(np.float32)
    mixing = random.normal(size=(3, 5))
    image = attributes[labels] @ mixing + 0.1 * random.normal(size=(len(labels), 5))
    place = np.concatenate([np.arange((labels == index).sum()) for index in range(6)])
    seen = labels < SEEN
    return Source(
        name="tiny",
        classes=tuple("pqrstu"),
        labels=labels,
        arrays={
            "image": View(image.astype(np.float32), "sample"),
            "attributes": View(attributes, "class"),
        },
        splits=Splits(
            train=np.flatnonzero(seen & (place < TRAINED)),
            test_seen=np.flatnonzero(seen & (place >= TRAINED)),
            test_unseen=np.flatnonzero(~seen),
            validation_classes=validation_classes,
        ),
    )


def modalities(**image: Any) -> dict[str, Small]:
    """Modalities for ``source()``."""
    return {"image": Small(**image), "attributes": Small(array="attributes")}


def training() -> Training:
    """What may be learnt from ``source()``, min-max scaled."""
    given = source()
    return pose(given, given.arrays, modalities(scaler="min-max"), Protocol()).training
