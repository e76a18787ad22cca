"""Writes a model as ONNX, and believes the file only after onnxruntime has run it."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmalign.arrays import Floats
from mmalign.contracts import Exportable
from mmalign.errors import MmalignError
from mmalign.extras import need
from mmalign.model import Model
from mmalign.types import Scaling

OUTPUTS = ("scores", "latents")
TOLERANCE = 1e-5  # of the largest score of a row, or of 1 where all are smaller
OPSET = 18
ROWS = 64  # of each kind of random rows that both are asked


class Raw(nn.Module):
    """A module of scaled rows, for rows as they are: the scalings are part of it."""

    def __init__(self, inner: nn.Module, scalings: Sequence[Scaling]) -> None:
        super().__init__()
        self.inner = inner
        self.units = [scaling.unit for scaling in scalings]
        for place, scaling in enumerate(scalings):
            self.register_buffer(f"offset{place}", torch.from_numpy(scaling.offset.copy()))
            self.register_buffer(f"factor{place}", torch.from_numpy(scaling.factor.copy()))

    def forward(self, *rows: Tensor) -> tuple[Tensor, ...]:
        """What the module gives for these rows, scaled as ``Scaling`` does it."""
        scaled = []
        for place, (x, unit) in enumerate(zip(rows, self.units, strict=True)):
            x = (x - self.get_buffer(f"offset{place}")) * self.get_buffer(f"factor{place}")
            if unit:
                x = x / x.norm(dim=1, keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)
            scaled.append(x)
        given: tuple[Tensor, ...] = self.inner(*scaled)
        return given


@dataclass(frozen=True)
class Exported:
    """What was written: inputs and outputs by name, and by how much PyTorch differs.

    ``difference`` is relative to the largest number of a row, or to 1 where all are smaller.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    classes: int
    difference: float


def export_onnx(
    model: Model, path: str | Path, modalities: Sequence[str] | None = None
) -> Exported:
    """Write a model as an ONNX file: raw features in, scores over its known classes out.

    Each modality is an input of its name, (rows, dim) float32, unscaled; by default every
    sample-level one, and no row may lack any. Outputs are ``scores`` and, where there is a
    latent space, ``latents``. The names of the classes are in the metadata as a JSON list,
    under ``classes``. onnxruntime runs the file on random rows and on extreme ones first.
    Raises MmalignError for a model that cannot be exported, without the extra ``onnx``, and
    where the two differ by more than 1e-5 of a row's largest number; there is no file then.
    """
    need("onnx", "onnxruntime", "onnxscript")
    path = Path(path).expanduser()
    if path.exists():
        raise MmalignError(f"{path} is there already; choose a file that is not")
    names = tuple(model.sample_modalities if modalities is None else modalities)
    module = _module(model, names)
    part = path.with_name(path.name + ".part")  # the file is whole and checked, or not there
    try:
        outputs = _write(module, model, names, part)
        exported = Exported(
            names, outputs, len(model.known_classes), _compared(part, module, model, names)
        )
        part.rename(path)
    except OSError as error:
        raise MmalignError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        part.unlink(missing_ok=True)
    return exported


def _module(model: Model, names: tuple[str, ...]) -> nn.Module:
    """The model as a module. Raises MmalignError where it cannot be one."""
    method = model.config["recipe"]["method"]["use"]
    if not isinstance(model.fitted, Exportable):
        raise MmalignError(f"a model of the method '{method}' cannot be exported to ONNX")
    known, given = ", ".join(model.signature.levels), {*()}
    for name in names:
        if name not in model.signature.levels:
            raise MmalignError(f"the model has no modality '{name}'; it has {known}")
        if name in given:
            raise MmalignError(f"the modality '{name}' is there twice")
        given.add(name)
    if not names:
        raise MmalignError(f"say which modality the rows are: {known}")
    if taken := given & {*OUTPUTS}:
        raise MmalignError(f"the modality '{min(taken)}' is called as an output of the file is")
    signature = model.signature
    try:
        inner = model.fitted.module(names, sorted((*signature.seen, *signature.unseen)))
    except MmalignError as error:
        raise MmalignError(
            f"this model of the method '{method}' cannot be exported to ONNX: {error}"
        ) from None
    return Raw(inner, [model.scalings[name] for name in names]).eval()


def _write(module: nn.Module, model: Model, names: tuple[str, ...], path: Path) -> tuple[str, ...]:
    """Export to a file; the outputs' names. Raises MmalignError where torch cannot."""
    rows = tuple(torch.zeros(3, model.signature.dims[name]) for name in names)
    outputs = OUTPUTS[: len(module(*rows))]
    shapes = (tuple({0: torch.export.Dim("rows")} for _ in names),)
    try:
        with silenced():
            traced = torch.export.export(module, rows, dynamic_shapes=shapes)
            program: Any = torch.onnx.export(
                traced.run_decompositions({torch.ops.aten.cdist.default: _distances}),
                dynamo=True,
                input_names=list(names),
                output_names=list(outputs),
                dynamic_shapes=shapes,
                opset_version=OPSET,
                verbose=False,
            )
        _forget_origin(program.model)
        program.model.metadata_props.update(_metadata(model, names))
        program.save(path, external_data=False)
    except OSError:
        raise
    except Exception as error:  # whatever the exporter makes of a method's operations
        method = model.config["recipe"]["method"]["use"]
        said = next(iter(str(error).splitlines()), type(error).__name__)
        raise MmalignError(
            f"this model of the method '{method}' cannot be exported to ONNX: {said}"
        ) from error
    return outputs


def _distances(a: Tensor, b: Tensor, p: float = 2.0, compute_mode: int | None = None) -> Tensor:
    """``torch.cdist`` by differences: ONNX has no operation for it."""
    apart: Tensor = torch.linalg.vector_norm(a[..., :, None, :] - b[..., None, :, :], p, dim=-1)
    return apart


@contextmanager
def silenced() -> Iterator[None]:
    """Without what the exporter says of PyTorch's own code and of packages that no model needs."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _forget_origin(graph: Any) -> None:
    """Take out where each operation comes from: lines of code, with folders of this machine."""
    values = [*graph.graph.inputs, *graph.graph.initializers.values()]
    for node in graph.graph.all_nodes():
        node.metadata_props.clear()
        values += node.outputs
    for value in values:
        value.metadata_props.clear()


def _metadata(model: Model, names: tuple[str, ...]) -> dict[str, str]:
    """What a reader of the file must know: strings, as ONNX wants them."""
    from mmalign import __version__

    return {
        "classes": json.dumps(model.known_classes, ensure_ascii=False),
        "modalities": json.dumps(names, ensure_ascii=False),
        "method": str(model.config["recipe"]["method"]["use"]),
        "mmalign": __version__,
    }


def _compared(path: Path, module: nn.Module, model: Model, names: tuple[str, ...]) -> float:
    """The largest difference between the file and the model, which must be within 1e-5."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what is wrong comes as an exception too
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    rows = {name: asked_rows(model.scalings[name]) for name in names}
    worst = 0.0
    for some in (slice(None), slice(0, 1), slice(0, 0)):  # the number of rows must be free
        taken = {name: np.ascontiguousarray(values[some]) for name, values in rows.items()}
        with torch.no_grad():
            expected = [each.numpy() for each in module(*map(torch.from_numpy, taken.values()))]
        expected[0] = model.scores(taken)  # as its owner gets them, and not as the module says
        for ours, given in zip(expected, session.run(None, taken), strict=True):
            worst = max(worst, difference(ours, given))
    if not worst <= TOLERANCE:
        raise MmalignError(
            f"onnxruntime and PyTorch differ by {worst:.1e} of a row's largest number, and"
            f" {TOLERANCE:g} is allowed; no file was written"
        )
    return worst


def asked_rows(scaling: Scaling) -> Floats:
    """Raw rows that both are asked: random ones as training saw them, and extreme ones."""
    random = np.random.default_rng(0)
    dim = len(scaling.offset)
    scaled = [random.random((ROWS, dim)), random.standard_normal((ROWS, dim))]
    scaled += [np.full((1, dim), value) for value in (0, 1, -1, 10, -10)]
    scaled += [np.eye(dim)[[0, -1]] * 10]
    raw = scaling.offset + np.concatenate(scaled) / np.where(scaling.factor == 0, 1, scaling.factor)
    return np.concatenate([raw, np.zeros((1, dim))]).astype(np.float32)


def difference(ours: Floats, given: Floats) -> float:
    """The largest difference, relative to the largest number of its row, or to 1 if that is less.

    Infinity for other shapes, and where one is finite and the other is not.
    """
    if ours.shape != given.shape or (np.isfinite(ours) != np.isfinite(given)).any():
        return float("inf")
    if ours.size == 0:
        return 0.0
    ours, given = np.nan_to_num(ours, posinf=0, neginf=0), np.nan_to_num(given, posinf=0, neginf=0)
    size = np.maximum(np.abs(ours).max(axis=1, keepdims=True), 1)
    return float((np.abs(ours - given) / size).max())
