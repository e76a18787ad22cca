"""A model's directory, out and in: safetensors, config.json and a model card.

``Fitted`` is tensors and a configuration, nothing else. Loading rebuilds the components
from the recipe in the configuration; nothing in the files is ever executed or unpickled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from mmalign.asking import inside
from mmalign.bundlefiles import (
    CARD,
    CONFIG,
    FORMAT,
    WEIGHTS,
    Config,
    config_digest,
    digest,
    read_config,
    read_tensors,
    refuse_links,
)
from mmalign.component import plain
from mmalign.contracts import Fitted, Method, Parts
from mmalign.errors import MmalignError
from mmalign.model import Model
from mmalign.plugins import Registry, discover
from mmalign.recipe import assemble_parts
from mmalign.types import Scaling, Signature
from mmalign.writing import whole_folder

OWN = (
    "format",
    "recipe",
    "signature",
    "unit",
    "sha256",
)  # of config.json, what ``save`` writes itself
CHANGED = "\n## Classes were changed afterwards\n"


def save(
    folder: Path,
    fitted: Fitted,
    signature: Signature,
    scalings: Mapping[str, Scaling],
    table: Mapping[str, Any],
    about: Mapping[str, Any],
    card: str,
) -> None:
    """Write a model's directory, whole or not at all, in place of what is there.

    ``about`` goes into config.json: versions, hashes, seed. A head whose choices were made
    stands in the recipe as it is now. Raises MmalignError where it cannot be written.
    """
    chosen = getattr(fitted, "chosen_head", None)
    if chosen is not None:
        table = {**table, "head": {"use": table["head"]["use"], **plain(chosen)}}
    tensors = {name: tensor.contiguous() for name, tensor in fitted.state().items()}
    for name, scaling in scalings.items():
        tensors[f"scaling.{name}.offset"] = torch.from_numpy(scaling.offset.copy())
        tensors[f"scaling.{name}.factor"] = torch.from_numpy(scaling.factor.copy())
    with whole_folder(folder) as part:
        try:
            save_file(tensors, part / WEIGHTS, metadata={"format": "pt"})
        except SafetensorError as error:  # it has no error number of its own
            raise MmalignError(f"cannot write {folder}: {error}; make room") from None
        config: dict[str, Any] = {
            "format": FORMAT,
            "recipe": table,
            "signature": asdict(signature),
            "unit": {name: scaling.unit for name, scaling in scalings.items()},
            "sha256": {WEIGHTS: digest(part / WEIGHTS)},
            **about,
        }
        config = json.loads(json.dumps(config))  # as it will be read: tuples are lists then
        config["sha256"][CONFIG] = config_digest(config)
        (part / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
        (part / CARD).write_text(card, encoding="utf-8")


def load(path: str | Path, registry: Registry | None = None) -> Model:
    """Rebuild a model from its directory (or from a run's folder), without the data set.

    Raises MmalignError for a missing, damaged or newer bundle, and for one whose plugins
    are not installed.
    """
    folder = find(Path(path))
    config, table = read_config(folder)
    tensors = read_tensors(folder, config.sha256.get(WEIGHTS))
    signature = config.signature
    method, parts = _parts(folder, config, registry or discover())
    try:
        if signature.dims.keys() != parts.modalities.keys():
            raise ValueError(f"dims are not of {', '.join(sorted(parts.modalities))}")
        scalings = {
            name: _scaling(tensors, name, dim, config.unit[name])
            for name, dim in signature.dims.items()
        }
    except (KeyError, ValueError) as error:
        raise MmalignError(f"{folder}: incomplete or altered ({error})") from None
    try:
        with inside(method, "restore()"):
            fitted = method.restore(tensors, signature, parts)
    except MmalignError as error:
        raise MmalignError(f"{folder / WEIGHTS}: {error}") from None
    return Model(signature, scalings, parts.modalities, fitted, table, _card(folder))


def _parts(folder: Path, config: Config, registry: Registry) -> tuple[Method, Parts]:
    """The components. Raises MmalignError, naming plugins that the model was made with."""
    try:
        return assemble_parts(config.recipe, registry, str(folder))
    except MmalignError as error:
        there = {plugin.name for plugin in registry.plugins}
        lacking = [f"{name} ({of})" for name, of in config.plugins.items() if name not in there]
        if not lacking:
            raise
        said = f"plugins of the run that made it, and not installed here: {', '.join(lacking)}"
        raise MmalignError(f"{error}\n  {said}") from None
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise MmalignError(
            f"{folder / CONFIG}: its recipe is altered ({type(error).__name__}: {error})"
        ) from None


def save_model(model: Model, path: str | Path) -> None:
    """Write a loaded model as it is now, to a folder that is not there. Raises MmalignError."""
    folder = Path(path).expanduser()
    if folder.exists():
        raise MmalignError(f"{folder} is there already; choose a folder that is not")
    config = {key: value for key, value in model.config.items() if key not in OWN}
    recipe, card = model.config["recipe"], model.card + _changed(config)
    part = folder.with_name(folder.name + ".part")  # the model is whole, or not there
    try:
        save(part, model.fitted, model.signature, model.scalings, recipe, config, card)
        part.rename(folder)
    except OSError as error:
        raise MmalignError(f"cannot write {folder}: {error.strerror or error}") from None


def find(path: Path) -> Path:
    """The folder that holds the bundle: the one given, or its ``model``."""
    with suppress(RuntimeError):  # a home folder of nobody
        path = path.expanduser()
    for folder in (path, path / "model"):
        if (folder / CONFIG).is_file():
            refuse_links(folder)
            if not (folder / WEIGHTS).is_file():
                raise MmalignError(f"{folder}: no {WEIGHTS}; the bundle is incomplete")
            return folder
    raise MmalignError(f"no model at {path.absolute()}: neither it nor its 'model' has {CONFIG}")


def _card(folder: Path) -> str:
    """The model card up to what changes of classes have added; "" where there is none."""
    try:
        if not (folder / CARD).is_file():  # a device or a pipe may have no end
            return ""
        return (folder / CARD).read_text(encoding="utf-8").partition(CHANGED)[0]
    except (OSError, ValueError):
        return ""


def _changed(config: Mapping[str, Any]) -> str:
    """What a model card says of classes that came and went after training."""
    if not (changes := config.get("changes")):
        return ""
    lines = [
        f"- {what}: {', '.join(change[what])}"
        for change in changes
        for what in ("added", "removed")
        if change[what]
    ]
    said = "What was measured above is of the model before. Since then, in this order:"
    return "\n".join([CHANGED, said, "", *lines, ""])


def _scaling(tensors: dict[str, torch.Tensor], name: str, dim: int, unit: bool) -> Scaling:
    """Take a modality's scaling out of the tensors. Raises KeyError and ValueError."""
    offset, factor = (tensors.pop(f"scaling.{name}.{part}") for part in ("offset", "factor"))
    if offset.shape != (dim,) or factor.shape != (dim,):
        raise ValueError(f"the scaling of '{name}' is not {dim} wide")
    if not offset.dtype == factor.dtype == torch.float32:
        raise ValueError(f"the scaling of '{name}' is not of float32")
    return Scaling(offset.numpy(), factor.numpy(), unit)
