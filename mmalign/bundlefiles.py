"""The files of a model's folder, read as what anybody may have written: nothing is believed."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field, TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load

from mmalign.errors import MmalignError
from mmalign.memory import refuse_too_large
from mmalign.types import Signature

FORMAT = 2  # 1 kept nothing of the latents of classes, and is read still
WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
FILES = (WEIGHTS, CONFIG, CARD)
LARGEST = 64 * 2**20  # bytes of a config.json; one of 20,000 classes has 1 MB


@dataclass(frozen=True)
class Change:
    """Classes that came and went at once, by name."""

    added: list[str]
    removed: list[str]


@dataclass(frozen=True)
class Config:
    """What loading reads of config.json, with its types; whatever else is there is kept."""

    recipe: dict[str, Any]
    signature: Signature
    unit: dict[str, bool]
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] = 0
    changes: list[Change] = field(default_factory=list)
    plugins: dict[str, str] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)


def read_config(folder: Path) -> tuple[Config, dict[str, Any]]:
    """The configuration, checked, and all of it as it stands in the file.

    Raises MmalignError for a file that is no configuration of a model, is altered in a way
    that can be seen, or is of a newer format.
    """
    path = folder / CONFIG
    table = _json(path)
    if not isinstance(table, dict) or type(table.get("format")) is not int:
        raise MmalignError(f"{path}: this is no model of mmalign")
    if table["format"] > FORMAT:
        raise MmalignError(
            f"{path}: format {table['format']} is newer than this mmalign reads ({FORMAT});"
            " upgrade mmalign"
        )
    digests = table.get("sha256")
    seal = digests.get(CONFIG) if isinstance(digests, dict) else None
    if seal is not None and seal != config_digest(table):
        raise MmalignError(
            f"{path}: it was damaged or changed after the model was written; get it again (who"
            f" changed it on purpose takes its own line, '{CONFIG}', out of its 'sha256')"
        )
    known = {name: table[name] for name in Config.__dataclass_fields__ if name in table}
    try:
        config: Config = TypeAdapter(Config).validate_json(json.dumps(known), strict=True)
        _check(config.signature)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise MmalignError(f"{path}: incomplete or altered ({where}: {first['msg']})") from None
    except (ValueError, RecursionError) as error:
        raise MmalignError(f"{path}: incomplete or altered ({error})") from None
    return config, table


def _json(path: Path) -> Any:
    try:
        if path.stat().st_size > LARGEST:
            raise MmalignError(f"{path}: larger than {LARGEST >> 20} MB; this is no model's")
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        raise MmalignError(f"{path}: no valid JSON: {error}") from None


def _check(signature: Signature) -> None:
    """Raises ValueError for names and numbers that do not agree with each other."""
    count, both = len(signature.classes), (*signature.seen, *signature.unseen)
    if not all(0 <= index < count for index in both):
        raise ValueError(f"seen and unseen do not index {count} classes")
    if len(set(both)) < len(both):
        raise ValueError("a class is there twice in seen and unseen")
    if signature.dims.keys() != signature.levels.keys():
        raise ValueError("dims and levels are not of the same modalities")
    if not all(dim >= 0 for dim in signature.dims.values()):
        raise ValueError("dims are below 0")


def read_tensors(folder: Path, sha256: str | None) -> dict[str, torch.Tensor]:
    """Every tensor of the weights' file, whose digest must be this one, if one is known.

    Raises MmalignError for a file that is damaged or was changed, and for numbers that are
    not finite.
    """
    path = folder / WEIGHTS
    try:
        refuse_too_large(path.stat().st_size, f"{path}", "a model must fit into memory")
        content = path.read_bytes()
        if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
            raise MmalignError(
                f"{path}: its SHA-256 is not what {CONFIG} says: it was damaged or changed after"
                " the model was written; get it again"
            )
        tensors = load(content)
        wrong = [name for name, tensor in tensors.items() if not tensor.isfinite().all()]
    except OSError as error:
        raise MmalignError(f"{path}: not readable: {error.strerror or error}") from None
    # What of a broken header comes through, and dtypes that a model has not.
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise MmalignError(f"{path}: not readable as safetensors: {error}") from None
    if wrong:
        raise MmalignError(f"{path}: '{wrong[0]}' holds NaN or infinity")
    return tensors


def config_digest(table: Mapping[str, Any]) -> str:
    """The SHA-256 of all that a configuration says, but for this digest itself."""
    digests = {name: each for name, each in table["sha256"].items() if name != CONFIG}
    content = json.dumps({**table, "sha256": digests}, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
        for name in FILES:
            if (folder / name).is_file():
                shutil.copyfile(folder / name, part / name)
        part.rename(to)
    except OSError as error:
        raise MmalignError(f"cannot write {to}: {error.strerror or error}") from None


def refuse_links(folder: Path) -> None:
    """Raises MmalignError where a bundle's file is a link: it may lead to anything."""
    for name in FILES:
        if (folder / name).is_symlink():
            raise MmalignError(
                f"{folder / name}: a link, and a model's files must not lead elsewhere; put the"
                " file itself in its place, if you trust it"
            )
