"""A model's directory, out and in: safetensors, config.json and a model card.

``Fitted`` is tensors and a configuration, nothing else. Loading rebuilds the components
from the recipe in the configuration; nothing in the files is ever executed or unpickled.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from mmalign.component import plain
from mmalign.contracts import Fitted
from mmalign.errors import MmalignError
from mmalign.model import Model
from mmalign.plugins import Registry, discover
from mmalign.recipe import assemble
from mmalign.types import Scaling, Signature

FORMAT = 2  # 1 kept nothing of the latents of classes, and is read still
WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
OWN = ("format", "recipe", "signature", "unit")  # of config.json, what ``save`` writes itself
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
    """Write a model's directory. ``about`` goes into config.json: versions, hashes, seed.

    A head whose choices were made stands in the recipe as it is now.
    """
    chosen = getattr(fitted, "chosen_head", None)
    if chosen is not None:
        table = {**table, "head": {"use": table["head"]["use"], **plain(chosen)}}
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.contiguous() for name, tensor in fitted.state().items()}
    for name, scaling in scalings.items():
        tensors[f"scaling.{name}.offset"] = torch.from_numpy(scaling.offset.copy())
        tensors[f"scaling.{name}.factor"] = torch.from_numpy(scaling.factor.copy())
    config = {
        "format": FORMAT,
        "recipe": table,
        "signature": asdict(signature),
        "unit": {name: scaling.unit for name, scaling in scalings.items()},
        **about,
    }
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    (folder / CARD).write_text(card, encoding="utf-8")


def load(path: str | Path, registry: Registry | None = None) -> Model:
    """Rebuild a model from its directory (or from a run's folder), without the data set.

    Raises MmalignError for a missing, damaged or newer bundle, and for one whose plugins
    are not installed.
    """
    folder = find(Path(path))
    config, tensors = _config(folder), _tensors(folder)
    try:
        recipe = assemble("model", config["recipe"], registry or discover(), where=str(folder))
        signature = _signature(config["signature"], set(recipe.parts.modalities))
        scalings = {
            name: _scaling(tensors, name, dim, bool(config["unit"][name]))
            for name, dim in signature.dims.items()
        }
    except (KeyError, TypeError, ValueError) as error:
        raise MmalignError(
            f"{folder / CONFIG}: incomplete or altered ({type(error).__name__}: {error})"
        ) from None
    fitted = recipe.method.restore(tensors, signature, recipe.parts)
    card = _card(folder)
    return Model(signature, scalings, recipe.parts.modalities, fitted, config, card)


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


def copy(folder: Path, to: Path, links: bool = False) -> None:
    """Copy a bundle's own files, and no others, to a folder that is not there.

    Links are followed only where ``links`` says so: in a cache that is made of them. Raises
    MmalignError for one elsewhere, and where the folder cannot be written.
    """
    if not links:
        refuse_links(folder)
    part = to.with_name(to.name + ".part")  # the copy is whole, or not there
    try:
        part.mkdir(parents=True)
        for name in (WEIGHTS, CONFIG, CARD):
            if (folder / name).is_file():
                shutil.copyfile(folder / name, part / name)
        part.rename(to)
    except OSError as error:
        raise MmalignError(f"cannot write {to}: {error.strerror or error}") from None


def refuse_links(folder: Path) -> None:
    """Raises MmalignError where a bundle's file is a link: it may lead to anything."""
    for name in (WEIGHTS, CONFIG, CARD):
        if (folder / name).is_symlink():
            raise MmalignError(
                f"{folder / name}: a link, and a model's files must not lead elsewhere; put the"
                " file itself in its place, if you trust it"
            )


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


def _tensors(folder: Path) -> dict[str, torch.Tensor]:
    try:
        tensors = load_file(folder / WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise MmalignError(f"{folder / WEIGHTS}: not readable as safetensors: {error}") from None
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise MmalignError(f"{folder / WEIGHTS}: '{name}' holds NaN or infinity")
    return tensors


def _config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        raise MmalignError(f"{folder / CONFIG}: no valid JSON: {error}") from None
    if not isinstance(config, dict) or type(config.get("format")) is not int:
        raise MmalignError(f"{folder / CONFIG}: this is no model of mmalign")
    if config["format"] > FORMAT:
        raise MmalignError(
            f"{folder / CONFIG}: format {config['format']} is newer than this mmalign reads"
            f" ({FORMAT}); upgrade mmalign"
        )
    return config


def _card(folder: Path) -> str:
    """The model card up to what changes of classes have added; "" where there is none."""
    try:
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


def _signature(table: Any, modalities: set[str]) -> Signature:
    """Read strictly. Raises ValueError for anything but names and shapes that agree."""
    signature: Signature = TypeAdapter(Signature).validate_json(json.dumps(table), strict=True)
    known = range(len(signature.classes))
    if not all(index in known for index in (*signature.seen, *signature.unseen)):
        raise ValueError(f"seen and unseen do not index {len(known)} classes")
    if not signature.dims.keys() == signature.levels.keys() == modalities:
        raise ValueError(f"dims and levels are not of {', '.join(sorted(modalities))}")
    return signature


def _scaling(tensors: dict[str, torch.Tensor], name: str, dim: int, unit: bool) -> Scaling:
    """Take a modality's scaling out of the tensors. Raises KeyError and ValueError."""
    offset, factor = (tensors.pop(f"scaling.{name}.{part}") for part in ("offset", "factor"))
    if offset.shape != (dim,) or factor.shape != (dim,):
        raise ValueError(f"the scaling of '{name}' is not {dim} wide")
    return Scaling(offset.numpy(), factor.numpy(), unit)
