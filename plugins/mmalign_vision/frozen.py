"""A frozen torch network as an extractor, and what is said where a package is missing."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

from mmalign import MmalignError

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor, nn

    from mmalign import Floats

# A processor takes so many pictures at a time, whatever the batch: the maps of more do not
# stay in its cache, and memory for them is taken and given back at each layer. Of 1 to 32
# pictures EfficientNet-Lite0 was quickest with 2, and took over twice the time with 32.
IN_CACHE = 2


def needed(module: str, backbone: str, extra: str) -> ModuleType:
    """Import a package that an extra brings. Raises MmalignError, naming the extra."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MmalignError(
            f"backbone '{backbone}' needs the extra '{extra}' (no module '{error.name}'):"
            f" pip install 'mmalign[{extra}]'"
        ) from None
    # Such as a torchvision of another build than torch: "operator torchvision::nms does
    # not exist" is a RuntimeError.
    except Exception as error:
        said = " ".join(str(error).split())
        raise MmalignError(
            f"backbone '{backbone}': {module} does not import ({type(error).__name__}: {said});"
            " torch and torchvision must be of one release and one kind of build"
        ) from None


@dataclass(frozen=True)
class Frozen:
    """A network in evaluation mode on a device; see ``mmalign.Extractor``."""

    network: nn.Module
    prepared: Callable[[Image.Image], Any]
    device: str
    facts: Mapping[str, str]
    channels_last: bool

    def prepare(self, picture: Image.Image) -> Floats:
        """The picture as (3, height, width) float32."""
        import numpy as np

        return np.asarray(self.prepared(picture), dtype=np.float32)

    def __call__(self, batch: Floats) -> Floats:
        """Features of prepared pictures, (rows, 3, height, width) to (rows, dim)."""
        import torch

        given = torch.from_numpy(batch).to(self.device)
        if self.channels_last:
            given = given.contiguous(memory_format=torch.channels_last)
        step = IN_CACHE if given.device.type == "cpu" else len(batch)
        try:
            with torch.inference_mode():
                made = [self.network(some).float().cpu() for some in given.split(step)]
                return torch.cat(made).numpy()
        except torch.OutOfMemoryError:
            raise MmalignError(
                f"{self.device} has no memory for {len(batch)} pictures at a time; take a smaller"
                " --batch"
            ) from None


def frozen(
    network: nn.Module,
    prepared: Callable[[Image.Image], Any],
    device: str,
    facts: Mapping[str, str],
    channels_last: bool = False,
) -> Frozen:
    """Freeze a network and bring it to a device. Raises MmalignError where torch has none.

    Convolutions are quicker with the channels last in memory, but not every network bears it.
    """
    import torch

    digest = digest_of(network.state_dict())
    network.eval().requires_grad_(False)
    try:
        network.to(device)
        if channels_last:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        said = str(error).splitlines()[0]
        raise MmalignError(f"torch cannot use device '{device}': {said}") from None
    return Frozen(network, prepared, device, {"weights": digest, **facts}, channels_last)


def digest_of(state: Mapping[str, Tensor]) -> str:
    """SHA-256 of a network's tensors, their names and shapes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
