"""ReViSE's two autoencoders and what is asked of their codes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, linear, one_hot

from mmalign import Asked, Rows, Session
from mmalign_baselines.grids import one

if TYPE_CHECKING:
    from mmalign_baselines.revise import ReViSE

SCORING = ("visual", "text", "visual_score", "text_score")  # decoders are for training alone
BANDWIDTHS = (0.5, 1.0, 2.0)  # of the kernels, in medians of the distance


@dataclass(frozen=True)
class Codes:
    """``s(x, a) = <f_v(v_h(x)), f_t(t_h(a))>``; tensors by part, layer and kind."""

    tensors: Mapping[str, Tensor]

    def scores(self, x: Float[Tensor, "rows dim"], asked: Asked) -> Float[Tensor, "rows classes"]:
        """Scores over the classes asked."""
        left = self.joint_visual(self.visual(x)[-1])
        right = self.joint_text(self.text(asked.descriptions.to(x.dtype)))
        scores: Tensor = left @ right.T
        return scores

    def state(self) -> Mapping[str, Tensor]:
        """The tensors that score."""
        return {n: t for n, t in self.tensors.items() if n.split(".")[0] in SCORING}

    def visual(self, x: Float[Tensor, "rows dim"]) -> list[Float[Tensor, "rows _"]]:
        """What each sigmoid layer gives, the code last."""
        found = []
        for weight, bias in self.layers("visual"):
            x = linear(x, weight, bias).sigmoid()
            found.append(x)
        return found

    def text(self, a: Float[Tensor, "classes q"]) -> Float[Tensor, "classes code"]:
        """The code of a description, within 0 and 1 as that of features is."""
        return self.relu_between("text", a).sigmoid()

    def joint_visual(self, code: Float[Tensor, "rows code"]) -> Float[Tensor, "rows joint"]:
        """``f_v``, linear."""
        return self.relu_between("visual_score", code)

    def joint_text(self, code: Float[Tensor, "classes code"]) -> Float[Tensor, "classes joint"]:
        """``f_t``, linear."""
        return self.relu_between("text_score", code)

    def relu_between(self, part: str, x: Float[Tensor, "rows _"]) -> Float[Tensor, "rows _"]:
        """Through all layers of a part, with a ReLU between two."""
        for number, (weight, bias) in enumerate(self.layers(part)):
            x = linear(x.relu() if number else x, weight, bias)
        return x

    def layers(self, part: str) -> Iterator[tuple[Tensor, Tensor]]:
        """Weight and bias of each layer. Raises KeyError where the first is missing."""
        number = 0
        while number == 0 or f"{part}.{number}.weight" in self.tensors:
            yield self.tensors[f"{part}.{number}.weight"], self.tensors[f"{part}.{number}.bias"]
            number += 1


def begin(settings: ReViSE, dim: int, q: int, like: Tensor, draw: torch.Generator) -> Codes:
    """Xavier uniform weights, biases 0."""
    code, joint = settings.hidden[-1], settings.joint
    widths = {
        "visual": (dim, *settings.hidden),
        "visual_decoder": (*settings.hidden[::-1], dim),
        "text": (q, settings.text_hidden, code),
        "text_decoder": (code, settings.text_hidden, q),
        "visual_score": (code, joint),
        "text_score": (code, joint),
    }
    tensors = {}
    for part, of in widths.items():
        for number, (inputs, outputs) in enumerate(pairwise(of)):
            weight = torch.empty(outputs, inputs, dtype=like.dtype)
            torch.nn.init.xavier_uniform_(weight, generator=draw)
            tensors[f"{part}.{number}.weight"] = weight.to(like.device)
            tensors[f"{part}.{number}.bias"] = like.new_zeros(outputs)
    return Codes(tensors)


def contraction(
    hidden: Float[Tensor, "rows hidden"], weight: Float[Tensor, "hidden inputs"]
) -> Float[Tensor, " rows"]:
    """``sum over j of (h_j (1 - h_j))^2 |W_j|^2``.

    The square norm of the Jacobian of ``h = sigmoid(W x + b)`` in x.
    """
    steep: Tensor = (hidden * (1 - hidden)).square()
    return steep @ weight.square().sum(1)


def mmd(a: Float[Tensor, "left code"], b: Float[Tensor, "right code"]) -> Float[Tensor, ""]:
    """``|mean phi(a) - mean phi(b)|^2`` under a sum of Gaussian kernels (Gretton et al. 2012).

    ``k(u, v) = sum over s of exp(-|u - v|^2 / (2 s^2 m^2))`` with s a half, 1 and 2, and m the
    median distance between two of all points, through which no gradient goes.
    """
    both = torch.cat([a, b])
    # By products of matrices; torch.cdist has no gradient at points that coincide.
    lengths = both.square().sum(1)
    squares = (lengths[:, None] + lengths - 2 * both @ both.T).clamp_min(0)
    above = torch.triu_indices(len(both), len(both), 1, device=both.device)
    unit = squares.detach()[above[0], above[1]].median().clamp_min(torch.finfo(a.dtype).tiny)
    kernel = sum(torch.exp(-squares / (2 * each**2 * unit)) for each in BANDWIDTHS)
    assert isinstance(kernel, Tensor)
    n = len(a)
    return kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()


def objective(
    codes: Codes,
    settings: ReViSE,
    x: Float[Tensor, "rows dim"],
    targets: Int[Tensor, " rows"],
    described: Float[Tensor, "classes q"],
) -> dict[str, Float[Tensor, ""]]:
    """The terms, each with its weight; sums over dimensions and classes, means over rows."""
    hidden, text = codes.visual(x), codes.text(described)
    of_text = text[targets]
    visual = x.new_zeros(len(x))
    for (weight, _), layer in zip(codes.layers("visual"), hidden, strict=True):
        visual = visual + settings.zeta * contraction(layer, weight)
    back = _decoded(codes, hidden[-1])
    visual = visual + (x - back).square().sum(1)
    again = codes.relu_between("text_decoder", text)
    textual = (described - again).square().sum(1)[targets]
    scores = codes.joint_visual(hidden[-1]) @ codes.joint_text(text).T
    wanted = one_hot(targets, len(described)).to(scores.dtype)
    alpha, beta = one(settings.alpha), one(settings.beta)
    return {
        "supervised": binary_cross_entropy_with_logits(scores, wanted, reduction="sum") / len(x),
        "visual": alpha * visual.mean(),
        "text": alpha * textual.mean(),
        "mmd": beta * mmd(hidden[-1], of_text),
    }


def _decoded(codes: Codes, code: Float[Tensor, "rows code"]) -> Float[Tensor, "rows dim"]:
    """The features that a code stands for: sigmoid layers, then a linear one."""
    for number, (weight, bias) in enumerate(codes.layers("visual_decoder")):
        code = linear(code.sigmoid() if number else code, weight, bias)
    return code


def epochs(
    codes: Codes, settings: ReViSE, rows: Rows, session: Session
) -> Iterator[dict[str, float]]:
    """Train by Adam, an epoch at a time, in place; gives the mean of each term over its rows."""
    tensors = list(codes.tensors.values())
    for each in tensors:
        each.requires_grad_()
    adam = torch.optim.Adam(tensors, lr=settings.lr, fused=True)
    order = session.generator("revise.order")
    while True:
        sums: dict[str, float] = {}
        shuffled = torch.randperm(len(rows.x), generator=order).to(rows.x.device)
        for some in shuffled.split(settings.batch):
            terms = objective(codes, settings, rows.x[some], rows.targets[some], rows.described)
            adam.zero_grad()
            torch.stack(list(terms.values())).sum().backward()
            adam.step()
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + len(some) * float(value.detach())
        yield {name: value / len(rows.x) for name, value in sums.items()}
