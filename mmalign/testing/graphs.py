"""What a fitted method must do that offers a module, as ``mmalign export`` to ONNX needs it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmalign.contracts import Exportable
from mmalign.errors import MmalignError
from mmalign.testing.fits import values
from mmalign.testing.trial import Trial


def gives_a_module_of_its_scores(trial: Trial) -> None:
    """Where there is a module, as ONNX needs, torch can trace it, and it gives the scores."""
    fitted = trial.fitted
    if not isinstance(fitted, Exportable):
        return
    whole = np.flatnonzero(np.logical_and.reduce([v.mask for v in trial.asked.values()]))
    rows = [torch.from_numpy(v.values[whole]) for v in trial.asked.values()]
    for classes in ((*trial.signature.unseen, *trial.signature.seen), trial.signature.unseen):
        try:
            module = fitted.module(tuple(trial.asked), classes)
        except MmalignError:
            return
        expected = values(trial, classes)[whole]
        given = _traced(trial, Called(module), rows)
        size = np.maximum(np.abs(expected).max(axis=1, keepdims=True), 1)
        trial.require(
            given.shape == expected.shape and bool((np.abs(given - expected) <= 1e-5 * size).all()),
            "the module gives other scores than scores() does for the same rows and classes",
        )


def _traced(trial: Trial, module: torch.nn.Module, rows: list[Tensor]) -> np.ndarray:
    """Scores by the module's graph, traced with some of the rows, of all of them."""
    batch = {0: torch.export.Dim("rows")}
    given: Any = None
    try:
        some = tuple(each[:3] for each in rows)
        graph = torch.export.export(module, some, dynamic_shapes=(tuple(batch for _ in rows),))
        given = graph.module()(*rows)
    except Exception as error:
        trial.require(
            False,
            f"torch.export cannot trace its module ({error}); use torch operations alone, for any"
            " number of rows, or raise MmalignError in module()",
        )
    trial.require(
        isinstance(given, tuple) and all(isinstance(each, Tensor) for each in given),
        "the module must give a tuple of tensors, the scores first",
    )
    return np.asarray(given[0].detach())


class Called(torch.nn.Module):
    """The module with its arguments as one tuple, however its ``forward`` names them."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *rows: Tensor) -> Any:
        """What the module gives."""
        return self.inner(*rows)
