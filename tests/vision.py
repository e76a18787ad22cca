"""What the tests of extraction share: made pictures, made networks, a backbone in NumPy."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from rich.console import Console

from mmalign import Floats, MmalignError, Preparation, component
from mmalign.extract import Extraction, extract

SIDE = 8  # of what the small networks see


def draw(*name: int) -> np.random.Generator:
    return np.random.default_rng(name)


def made_picture(number: int, size: tuple[int, int] = (60, 45)) -> Image.Image:
    """Smooth coloured noise, another for each number."""
    rough = draw(number).integers(0, 256, size=(4, 4, 3)).astype(np.uint8)
    return Image.fromarray(rough).resize(size, Image.Resampling.BICUBIC)


def made_folder(folder: Path, names: list[str]) -> Path:
    """A folder of pictures."""
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        made_picture(number).save(path)
    return folder


@component
class Means:
    """Means of each channel over a coarse grid: a backbone that costs nothing."""

    name: ClassVar[str] = "means"
    cells: int = 2
    """Cells of the grid, each way."""

    def extractor(self, device: str) -> "Seeing":
        if device != "cpu":
            raise MmalignError(f"means: no device '{device}'")
        return Seeing(self.cells)


class Seeing:
    """What ``Means`` loads; it keeps the sizes of its batches."""

    facts: ClassVar[dict[str, Any]] = {"by": "hand"}

    def __init__(self, cells: int) -> None:
        self.cells = cells
        self.batches: list[int] = []
        self.preparation = Preparation((SIDE, SIDE))

    def prepare(self, picture: Image.Image) -> Floats:
        return self.preparation(picture)

    def __call__(self, batch: Floats) -> Floats:
        self.batches.append(len(batch))
        step = SIDE // self.cells
        grid = batch.reshape(len(batch), 3, self.cells, step, self.cells, step)
        return grid.mean(axis=(3, 5)).reshape(len(batch), -1)


def quietly(folder: Path, out: Path, backbone: Any = None, **options: Any) -> Extraction:
    """Extract, with what is said left unsaid."""
    return extract(folder, out, backbone or Means(), Console(quiet=True), **options)


def kernel() -> Floats:
    return draw(3).normal(size=(5, 3, 3, 3)).astype(np.float32)


def network(
    path: Path,
    shape: tuple[Any, ...] = ("rows", 3, SIDE, SIDE),
    outputs: tuple[str, ...] = ("maps", "features"),
    element: int = TensorProto.FLOAT,
) -> Path:
    """An ONNX file: a convolution, ReLU, mean over places; "maps" has four axes."""
    last = shape[-1] == 3
    nodes = [helper.make_node("Transpose", ["pictures"], ["first"], perm=[0, 3, 1, 2])] * last
    nodes += [
        helper.make_node("Conv", ["first" if last else "pictures", "kernel"], ["sums"]),
        helper.make_node("Relu", ["sums"], ["maps"]),
        helper.make_node("GlobalAveragePool", ["maps"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["features"]),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("pictures", element, shape)],
        [helper.make_tensor_value_info(name, element, None) for name in outputs],
        [numpy_helper.from_array(kernel(), "kernel")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.save(made, path)
    return path
