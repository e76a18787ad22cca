"""Any network in an ONNX file, run by onnxruntime."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from mmalign import Extractor, MmalignError, Preparation, component, did_you_mean
from mmalign_vision.frozen import needed

if TYPE_CHECKING:
    from PIL import Image

    from mmalign import Floats

EXTRA = "onnx"
SIDE = 224  # of a square input whose size the file leaves open
Side = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]


@component
class Onnx:
    """A network in an ONNX file: one of its outputs, (rows, dim), is the features.

    The input is a batch of pictures, channels first or last, float32, of any or of a fixed
    number; a smaller batch is filled up for a fixed one. Defaults are those of networks
    trained on ImageNet.
    """

    name: ClassVar[str] = "onnx"
    file: Path
    """The file."""
    input: str | None = None
    """The input's name; the only one by default."""
    output: str | None = None
    """The output's name; by default the last that is (rows, dim)."""
    size: Side | tuple[Side, Side] | None = None
    """The input's height and width, or one number for both; the file's own, or 224."""
    crop: Annotated[float, Field(gt=0, le=1)] = 0.875
    """How much of the shorter side is seen."""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    """Taken off each channel, which is in [0, 1]."""
    std: tuple[Positive, Positive, Positive] = (0.229, 0.224, 0.225)
    """What each channel is divided by then."""
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    """How pictures are resized."""

    def extractor(self, device: str) -> Extractor:
        """Open the file. Raises MmalignError for one that is no network of pictures."""
        runtime = needed("onnxruntime", self.name, EXTRA)
        providers = self._providers(runtime, device)
        try:
            path = self.file.expanduser()
            content = path.read_bytes()
            options = runtime.SessionOptions()
            options.log_severity_level = 4  # what is wrong comes as an exception too
            session = runtime.InferenceSession(path, options, providers=providers)
        except OSError as error:
            raise MmalignError(
                f"backbone 'onnx': cannot read {self.file}: {error.strerror}"
            ) from None
        except Exception as error:
            raise self._error(f"no network that onnxruntime can run: {first_line(error)}") from None
        given = self._named(session.get_inputs(), self.input, "input")
        layout, size = self._input(given)
        facts = {
            "file": hashlib.sha256(content).hexdigest(),
            "onnxruntime": runtime.__version__,
        }
        preparation = Preparation(size, self.crop, self.mean, self.std, self.interpolation)
        fixed = given.shape[0] if isinstance(given.shape[0], int) else None
        made = Opened(session, given.name, "", preparation, layout, fixed, str(path), facts)
        return made.giving(self._output(made, session.get_outputs()))

    def _error(self, problem: str) -> MmalignError:
        return MmalignError(f"backbone 'onnx': {self.file}: {problem}")

    def _providers(self, runtime: Any, device: str) -> list[Any]:
        """What onnxruntime calls a device. Raises MmalignError for one that it does not have."""
        kind, _, index = device.partition(":")
        known = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
        there = [name for name, each in known.items() if each in runtime.get_available_providers()]
        if kind not in there or not (index or "0").isdigit():
            raise MmalignError(
                f"backbone 'onnx': onnxruntime has no device '{device}' here; it has"
                f" {', '.join(there)}"
            )
        return [known["cpu"]] if kind == "cpu" else [(known[kind], {"device_id": index or "0"})]

    def _named(self, there: Sequence[Any], name: str | None, what: str) -> Any:
        """The input or output of a name; the only one where none is given."""
        names = [each.name for each in there]
        if name is None and len(names) == 1:
            return there[0]
        if name in names:
            return there[names.index(name)]
        if name is None:
            raise self._error(f"has {len(names)} {what}s; say which: {', '.join(names)}")
        raise self._error(f"has no {what} '{name}'; {did_you_mean(name, names)}")

    def _input(self, given: Any) -> tuple[str, tuple[int, int]]:
        """Where the channels are, and height and width. Raises MmalignError for no pictures."""
        shape = list(given.shape)
        last = len(shape) == 4 and shape[3] == 3 and shape[1] != 3
        if len(shape) != 4 or given.type != "tensor(float)" or 3 not in (shape[1], shape[3]):
            raise self._error(
                f"its input '{given.name}' is {given.type} of {shape}; (rows, 3, height, width) or"
                " (rows, height, width, 3) in float32 was expected"
            )
        own = shape[1:3] if last else shape[2:]
        asked = (self.size, self.size) if isinstance(self.size, int) else self.size
        size = [
            each if isinstance(each, int) else (asked[place] if asked else SIDE)
            for place, each in enumerate(own)
        ]
        if asked is not None and tuple(size) != asked:
            raise self._error(f"takes pictures of {size[0]} x {size[1]}; leave out size")
        return ("last" if last else "first"), (size[0], size[1])

    def _output(self, made: Opened, there: Sequence[Any]) -> str:
        """The output to take, found by running the network once."""
        import numpy as np

        if self.output is not None:
            there = [self._named(there, self.output, "output")]
        nothing = np.zeros((1, *made.prepare_size), np.float32)
        shapes = {each.name: made.giving(each.name).run(nothing).shape for each in there}
        fit = [name for name, shape in shapes.items() if is_rows(shape)]
        if not fit:
            raise self._error(f"no output is (rows, dim): {shapes}")
        return str(fit[-1])


def is_rows(shape: tuple[int, ...]) -> bool:
    """Whether a picture gives (1, dim), or (1, dim, 1, 1) as some pooled outputs are."""
    return len(shape) >= 2 and shape[0] == 1 and shape[1] > 0 and set(shape[2:]) <= {1}


def first_line(error: Exception) -> str:
    """The first line of what onnxruntime said."""
    return (str(error).splitlines() or [type(error).__name__])[0]


@dataclass(frozen=True)
class Opened:
    """A network of onnxruntime's; see ``mmalign.Extractor``.

    ``fixed`` is the number of rows that it takes at a time, None for any.
    """

    session: Any
    input: str
    output: str
    preparation: Preparation
    layout: str
    fixed: int | None
    path: str
    facts: dict[str, str]

    def giving(self, output: str) -> Opened:
        """The same, with this output."""
        return Opened(
            self.session, self.input, output, self.preparation, self.layout, self.fixed,
            self.path, {**self.facts, "output": output},
        )  # fmt: skip

    @property
    def prepare_size(self) -> tuple[int, int, int]:
        """Shape of a prepared picture."""
        size = self.preparation.size
        return (3, *size) if self.layout == "first" else (*size, 3)

    def prepare(self, picture: Image.Image) -> Floats:
        """The picture as the network takes it."""
        import numpy as np

        values = self.preparation(picture)
        return values if self.layout == "first" else np.ascontiguousarray(values.transpose(1, 2, 0))

    def __call__(self, batch: Floats) -> Floats:
        """Features of prepared pictures, (rows, dim)."""
        values = self.run(batch)
        return values.reshape(len(batch), -1)

    def run(self, batch: Floats) -> Floats:
        """The output as it is, with a row for each picture."""
        import numpy as np

        step = self.fixed or len(batch)
        rows = []
        for start in range(0, len(batch), step):
            some = batch[start : start + step]
            filled = np.zeros((step, *some.shape[1:]), np.float32)
            filled[: len(some)] = some
            try:
                (values,) = self.session.run([self.output], {self.input: filled})
            except Exception as error:
                raise MmalignError(
                    f"backbone 'onnx': {self.path} does not run on pictures of"
                    f" {some.shape[1:]}: {first_line(error)}"
                ) from None
            rows.append(np.asarray(values, np.float32)[: len(some)])
        return np.concatenate(rows)
