"""Backbones by name from timm and from torchvision, with the weights that these publish."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from mmalign import Extractor, MmalignError, component, did_you_mean
from mmalign_vision.frozen import frozen, needed

if TYPE_CHECKING:
    from torch import nn

EXTRA = "vision"


def built(backbone: str, model: str, pretrained: bool, build: Callable[[], nn.Module]) -> nn.Module:
    """Build a network, its random weights from seed 0. Raises MmalignError where it fails."""
    import torch

    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return build()
    # No connection, no disk, no such weights: each hub raises errors of its own.
    except Exception as error:
        said = " ".join(str(error).split())[:200] or type(error).__name__
        doing = "its weights cannot be had" if pretrained else "it cannot be built"
        raise MmalignError(f"backbone '{backbone}', model '{model}': {doing}: {said}") from None


@component
class Timm:
    """Any model of timm by its name, such as resnet50.a1_in1k: pooled features.

    Weights come from the model's hub when they are first used. Pictures are prepared as
    timm says that the model was evaluated.
    """

    name: ClassVar[str] = "timm"
    model: str = "resnet50.a1_in1k"
    """The model's name, with its weights' tag; `timm.list_pretrained()` lists them."""
    pretrained: bool = True
    """False: random weights, always the same, to try a pipeline without a download."""

    def extractor(self, device: str) -> Extractor:
        """Load the model. Raises MmalignError for an unknown one, or missing weights."""
        timm = needed("timm", self.name, EXTRA)
        known = timm.list_models()
        architecture = self.model.partition(".")[0]
        # "hf-hub:owner/name" and "local-dir:folder" are names too.
        if ":" not in self.model and architecture not in known:
            raise MmalignError(
                f"backbone 'timm' has no model '{self.model}'; {near(architecture, known)}"
            )
        network = built(
            self.name,
            self.model,
            self.pretrained,
            lambda: timm.create_model(self.model, pretrained=self.pretrained, num_classes=0),
        )
        config = timm.data.resolve_model_data_config(network)
        prepared = timm.data.create_transform(**config, is_training=False)
        return frozen(network, prepared, device, {"timm": timm.__version__})


@component
class Torchvision:
    """Any classifier of torchvision by its name, such as resnet101: what its last layer is given.

    Weights come from torchvision's server when they are first used. Pictures are prepared
    as the weights' own transforms say.
    """

    name: ClassVar[str] = "torchvision"
    model: str = "resnet101"
    """The model's name; `torchvision.models.list_models()` lists them."""
    weights: str = "DEFAULT"
    """Which of the model's weights, such as IMAGENET1K_V1."""
    pretrained: bool = True
    """False: random weights, always the same, to try a pipeline without a download."""

    def extractor(self, device: str) -> Extractor:
        """Load the model. Raises MmalignError for an unknown one, or missing weights."""
        torchvision = needed("torchvision", self.name, EXTRA)
        models = torchvision.models
        known = models.list_models(module=models)
        if self.model not in known:
            raise MmalignError(
                f"backbone 'torchvision' has no classifier '{self.model}';"
                f" {near(self.model, known)}"
            )
        choices = models.get_model_weights(self.model)
        if self.weights not in choices.__members__:
            raise MmalignError(
                f"backbone 'torchvision', model '{self.model}' has no weights '{self.weights}';"
                f" {did_you_mean(self.weights, choices.__members__)}"
            )
        weights = choices[self.weights]
        network = built(
            self.name,
            self.model,
            self.pretrained,
            lambda: models.get_model(self.model, weights=weights if self.pretrained else None),
        )
        headless(network, self.model)
        return frozen(
            network, weights.transforms(), device, {"torchvision": torchvision.__version__}
        )


def near(name: str, known: Any) -> str:
    """The nearest name alone: there are too many to list."""
    said = did_you_mean(name, known)
    return said if said.startswith("did") else f"it knows {len(list(known))} others"


def headless(network: nn.Module, model: str) -> None:
    """Take the classifier off: the last linear layer gives what it is given."""
    from torch import nn

    linear = [name for name, each in network.named_modules() if isinstance(each, nn.Linear)]
    # Squeezenet, for one, ends with a convolution.
    if not linear or network.get_submodule(linear[-1]).out_features != CLASSES:
        raise MmalignError(
            f"backbone 'torchvision', model '{model}' does not end with a linear classifier;"
            " take another, or write a backbone of your own"
        )
    parent, _, last = linear[-1].rpartition(".")
    setattr(network.get_submodule(parent), last, nn.Identity())


CLASSES = 1000  # of ImageNet, which all of torchvision's classifiers are made for
