"""A model's directory, out and in: safetensors, config.json and a model card.

``Fitted`` is tensors and a configuration, nothing else. Loading rebuilds the components
from the recipe in the configuration; nothing in the files is ever executed or unpickled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from mmalign.contracts import Fitted, Modality
from mmalign.errors import MmalignError
from mmalign.plugins import Registry, discover
from mmalign.recipe import assemble
from mmalign.types import Floats, Scaling, Signature, View

FORMAT = 1
WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"


@dataclass(frozen=True)
class Model:
    """A loaded model: scores raw features over classes, without the data set."""

    signature: Signature
    scalings: Mapping[str, Scaling]
    modalities: Mapping[str, Modality]
    fitted: Fitted
    config: Mapping[str, Any]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of all classes, seen and unseen."""
        return self.signature.classes

    @property
    def sample_modalities(self) -> tuple[str, ...]:
        """The modalities that a row of training had for itself, and not for its class."""
        return tuple(name for name, level in self.signature.levels.items() if level == "sample")

    def scores(
        self,
        features: Floats | Mapping[str, Floats],
        classes: Sequence[str] | None = None,
    ) -> Floats:
        """Scores of raw feature rows over classes, (rows, classes).

        ``features`` is (rows, dim), or such an array by modality: any of the modalities
        that the model was trained with, one or several. Of several, a row may lack some:
        NaN throughout says so. ``classes`` are names; all by default. Raises MmalignError
        for an unknown class or modality, for rows of another width than the model was
        trained on, and for a row that lacks every modality.
        """
        given, views = self._by_modality(features), {}
        for name, values in given.items():
            try:
                values = np.ascontiguousarray(values, dtype=np.float32)
                mask = np.ones(len(values), dtype=np.bool_)
                if len(given) > 1 and values.ndim == 2:
                    mask &= ~np.isnan(values).all(axis=1)
                views[name] = self.scalings[name](View(values, "sample", mask))
            except (MmalignError, ValueError, TypeError) as error:
                raise MmalignError(f"modality '{name}': {error}") from None
        counts = {name: len(view) for name, view in views.items()}
        if len(set(counts.values())) > 1:
            said = ", ".join(f"{count} of '{name}'" for name, count in counts.items())
            raise MmalignError(f"every modality must have the same rows; got {said}")
        return self.fitted.scores(views, self._indices(classes))

    def predict(
        self,
        features: Floats | Mapping[str, Floats],
        top: int = 1,
        classes: Sequence[str] | None = None,
    ) -> list[list[tuple[str, float]]]:
        """The ``top`` likeliest classes of each row, best first, with their scores.

        Raises MmalignError as ``scores`` does, and for a ``top`` below 1.
        """
        if top < 1:
            raise MmalignError(f"top: at least one class a row is needed, not {top}")
        names = self._names(classes)
        scores = self.scores(features, classes)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :top]
        return [
            [(names[place], float(row[place])) for place in best]
            for row, best in zip(scores, order, strict=True)
        ]

    def _by_modality(self, features: Floats | Mapping[str, Floats]) -> Mapping[str, Floats]:
        if not isinstance(features, Mapping):
            usual = self.sample_modalities
            if len(usual) != 1:
                known = ", ".join(self.signature.levels)
                raise MmalignError(f"say which modality these rows are: {known}")
            return {usual[0]: features}
        known = ", ".join(self.signature.levels)
        for name in features:
            if name not in self.signature.levels:
                raise MmalignError(f"the model has no modality '{name}'; it has {known}")
        if not features:
            raise MmalignError(f"no modality was given; the model has {known}")
        return features

    def _names(self, classes: Sequence[str] | None) -> tuple[str, ...]:
        if classes is not None:
            return tuple(classes)
        both = sorted((*self.signature.seen, *self.signature.unseen))
        return tuple(self.classes[index] for index in both)

    def _indices(self, classes: Sequence[str] | None) -> list[int]:
        place = {name: index for index, name in enumerate(self.classes)}
        known = {*self.signature.seen, *self.signature.unseen}
        for name in self._names(classes):
            if place.get(name) not in known:
                raise MmalignError(f"the model knows no class '{name}'")
        return [place[name] for name in self._names(classes)]


def save(
    folder: Path,
    fitted: Fitted,
    signature: Signature,
    scalings: Mapping[str, Scaling],
    table: Mapping[str, Any],
    about: Mapping[str, Any],
    card: str,
) -> None:
    """Write a model's directory. ``about`` goes into config.json: versions, hashes, seed."""
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
    return Model(signature, scalings, recipe.parts.modalities, fitted, config)


def find(path: Path) -> Path:
    """The folder that holds the bundle: the one given, or its ``model``."""
    with suppress(RuntimeError):  # a home folder of nobody
        path = path.expanduser()
    for folder in (path, path / "model"):
        if (folder / CONFIG).is_file():
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
