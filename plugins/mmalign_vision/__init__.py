"""The backbones ``efficientnet-lite0``, ``timm``, ``torchvision`` and ``onnx``."""

from mmalign import hookimpl


@hookimpl
def mmalign_backbones() -> list[type]:
    """Give the backbones."""
    from mmalign_vision.efficientnet import EfficientNetLite0
    from mmalign_vision.hubs import Timm, Torchvision
    from mmalign_vision.onnx_file import Onnx

    return [EfficientNetLite0, Timm, Torchvision, Onnx]
