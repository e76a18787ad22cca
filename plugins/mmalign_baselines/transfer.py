"""CMT trained: the parts, and how they score together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mmalign import Asked, Linear, Rows, Session, fit_linear
from mmalign_baselines.novelty import Gate, Mixture, Outlier, gated
from mmalign_baselines.regressor import Regressor, first, train
from mmalign_baselines.synthesised import unit

if TYPE_CHECKING:
    from mmalign_baselines.cmt import CMT

BATCH, LR = 32, 1e-3  # of the classifier behind a gate


@dataclass(frozen=True)
class Gated:
    """What is behind the regressor where there is a gate."""

    known: Linear
    gate: Gate
    threshold: Float[Tensor, ""]

    def state(self) -> Mapping[str, Tensor]:
        """The classifier's tensors and classes, the gate's, and the threshold."""
        parts = {"threshold": self.threshold, "classes": torch.tensor(self.known.classes)}
        parts |= {f"gate.{name}": tensor for name, tensor in self.gate.state().items()}
        return parts | self.known.state("known")


@dataclass(frozen=True)
class Transfer:
    """Scores by the distance of a regressed description, or by the side that a gate takes."""

    traceable: ClassVar[bool] = False  # torch.cdist goes another way from 26 rows on
    regressor: Regressor
    behind: Gated | None

    def scores(self, x: Float[Tensor, "rows dim"], asked: Asked) -> Float[Tensor, "rows classes"]:
        """Scores over the classes asked."""
        z, descriptions = self.regressor(x), unit(asked.descriptions.to(x.dtype))
        if self.behind is None:
            return -torch.cdist(z, descriptions)
        known, threshold = self.behind.known, self.behind.threshold
        of_known = [index for index in asked.indices if index in set(known.classes)]
        if not of_known:
            return -torch.cdist(z, descriptions)
        by_classifier = known.scores(x, of_known)
        if len(of_known) == len(asked.indices):
            return by_classifier
        is_known = torch.isin(
            torch.tensor(asked.indices, device=x.device),
            torch.tensor(known.classes, device=x.device),
        )
        novel = -torch.cdist(z, descriptions[~is_known])
        margin = self.behind.gate.familiarity(z) - threshold
        return gated(by_classifier, novel, margin, is_known)

    def state(self) -> Mapping[str, Tensor]:
        """The regressor's tensors, and those of what is behind it."""
        own = dict(zip(Regressor.NAMES, self.regressor.tensors(), strict=True))
        return own if self.behind is None else {**own, **self.behind.state()}


def regressor(settings: CMT, lam: float, rows: Rows, session: Session) -> Regressor:
    """Trained on all rows, those of shots too."""
    wanted = unit(rows.descriptions)[rows.labels]
    draw = session.generator("cmt.initialisation")
    net = first(rows.x.shape[1], settings.hidden, wanted.shape[1], draw, rows.x.dtype)
    device = rows.x.device
    net = Regressor(*(each.to(device) for each in net.tensors()))
    return train(net, rows.x, wanted, lam, settings.iterations)


def seen_rows(rows: Rows) -> tuple[Int[Tensor, " some"], tuple[int, ...]]:
    """Which rows are of classes that the problem calls seen, and these classes."""
    seen = tuple(sorted(set(rows.known) - set(rows.unseen)))
    return torch.isin(rows.labels, torch.tensor(seen, device=rows.x.device)).nonzero()[:, 0], seen


def classifier(settings: CMT, rows: Rows, session: Session) -> Linear:
    """Softmax regression of the features of seen classes.

    Adam's steps are as long for small features as for large ones: they are brought to a mean
    square of 1, and the weights take that back.
    """
    some, seen = seen_rows(rows)
    x = rows.x[some]
    factor = 1 / x.square().mean().sqrt().clamp_min(torch.finfo(x.dtype).tiny)
    made = fit_linear(
        x * factor,
        rows.labels[some],
        seen,
        epochs=settings.classifier_epochs,
        batch=BATCH,
        lr=LR,
        initialisation=session.generator("cmt.classifier.initialisation"),
        order=session.generator("cmt.classifier.order"),
    )
    return Linear(made.weight * factor, made.bias, seen)


def gate(settings: CMT, net: Regressor, rows: Rows) -> tuple[Gate, Float[Tensor, " rows"]] | None:
    """The gate and its training rows' own familiarity; None without a gate."""
    if settings.gate == "none":
        return None
    some, seen = seen_rows(rows)
    z, labels = net(rows.x[some]), rows.labels[some]
    targets = torch.searchsorted(torch.tensor(seen, device=labels.device), labels)
    made: Gate
    if settings.gate == "gaussian":
        made = Mixture.of(z, targets, unit(rows.descriptions[list(seen)]))
    else:
        made = Outlier.of(z, targets, len(seen), settings.neighbours)
    return made, made.trained(z)


def assembled(
    net: Regressor,
    known: Linear | None,
    gate: tuple[Gate, Float[Tensor, " rows"]] | None,
    quantile: float,
) -> Transfer:
    """The parts together, with the threshold at a quantile."""
    if known is None or gate is None:
        return Transfer(net, None)
    return Transfer(net, Gated(known, gate[0], gate[1].quantile(quantile)))


def restore(kind: str, state: Mapping[str, Tensor]) -> Transfer:
    """From tensors. Raises KeyError for one that is missing."""
    net = Regressor.of(state)
    if kind == "none":
        return Transfer(net, None)
    inner = {n.removeprefix("gate."): t for n, t in state.items() if n.startswith("gate.")}
    classes = tuple(int(index) for index in state["classes"])
    linear = Linear.restore(state, "known", classes)
    made = Mixture if kind == "gaussian" else Outlier
    return Transfer(net, Gated(linear, made(**inner), state["threshold"]))
