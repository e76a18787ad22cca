"""Every registered component passes every check."""

from functools import cache
from typing import Any

import pytest

from mmalign import (
    MmalignError,
    Parts,
    System,
    Weighted,
)
from mmalign.component import build
from mmalign.plugins import Plugin, Registry, discover
from mmalign.testing import Check, checks

# What a component must be told, or trains too long without; those not named take defaults.
SETTINGS: dict[tuple[str, str], dict[str, Any]] = {
    ("head", "softmax"): {"seen": 6, "unseen": 6, "unseen_only": 6, "most_epochs": 3},
    ("head", "few-shot"): {"seen": 6, "unseen": 6, "unseen_only": 6, "shots": 6, "most_epochs": 3},
    ("method", "aligned-vae"): {"latent": 4, "epochs": 2, "batch": 8},
    ("method", "ale"): {"epochs": 3},
    ("method", "cmt"): {"hidden": 6, "iterations": 9, "gate": "gaussian", "classifier_epochs": 2},
    ("method", "cvae"): {"epochs": 2, "encoder": 6, "decoder": 6, "latent": 3, "n_syn": 4},
    ("method", "devise"): {"epochs": 3},
    ("method", "f-clswgan"): {"epochs": 2, "hidden": 8, "batch": 8, "n_syn": 4},
    ("method", "latem"): {"epochs": 3},
    ("method", "revise"): {"epochs": 2, "hidden": [6, 5], "text_hidden": 6, "joint": 3},
    ("method", "se"): {"epochs": 2, "hidden": 6, "latent": 3, "n_syn": 4},
    ("method", "sje"): {"epochs": 3},
    # Files and packages of their own: tests/test_vision.py runs all their checks.
    ("backbone", "onnx"): {"file": "no/such/file.onnx"},
    ("backbone", "timm"): {"pretrained": False},
    ("backbone", "torchvision"): {"pretrained": False},
}


@cache
def registered(kind: str, name: str) -> Any:
    cls, table = discover().find(kind, name), SETTINGS.get((kind, name), {})
    if kind == "dataset" and "root" in cls.__dataclass_fields__:
        table = {"root": "no/such/folder"} | table  # even where the files lie in data/
    made, problems = build(cls, table, f"SETTINGS of {kind} {name}")
    assert not problems, "\n".join(problems)
    return made


def narrow(registry: Registry) -> dict[str, Any]:
    return {
        name: build(registry.find("modality", name), {"hidden": [6, 6]}, name)[0]
        for name in ("image", "attributes")
    }


def parts(made: Any) -> Parts:
    """A narrow image and attribute modality; around them every loss, and the head.

    A comparison system has a loss of its own, and gets neither.
    """
    registry = discover()
    if isinstance(made, System):
        return Parts(modalities=narrow(registry))
    return Parts(
        modalities=narrow(registry),
        losses={
            name: Weighted(registered("loss", name), lambda epoch: 1.0)
            for name in registry.components["loss"]
        },
        head=registered("head", "softmax"),
    )


def needs_files(kind: str, made: Any) -> bool:
    """Whether a data set or a backbone cannot be loaded here, which it says in one message."""
    try:
        if kind == "dataset":
            made.load()
        elif kind == "backbone":
            made.extractor("cpu")
    except MmalignError:
        return True
    return False


def every_check() -> list[Any]:
    cases = []
    for plugin in discover().plugins:
        for each in plugin.components:
            kind, name = each.split(":")
            made = registered(kind, name)
            found = checks(made, parts=parts(made) if kind == "method" else None)
            if needs_files(kind, made):
                found = [check for check in found if "components" in check.checker.__module__]
            cases += [pytest.param(check, id=f"{kind}-{name}-{check}") for check in found]
    return cases


@pytest.mark.parametrize("check", every_check())
def test_registered_component_conforms(check: Check) -> None:
    check()


@pytest.mark.parametrize("plugin", discover().plugins, ids=lambda plugin: plugin.name)
def test_registered_plugin_loads(plugin: Plugin) -> None:
    assert plugin.problem is None
    assert plugin.components or plugin.name in discover().trackers.ready
