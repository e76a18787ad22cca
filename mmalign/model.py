"""A trained model as its owner uses it: scores, predictions, classes that come and go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmalign.arrays import Floats
from mmalign.checked import scores_of
from mmalign.contracts import Fitted, LatentSpace, Modality
from mmalign.errors import MmalignError
from mmalign.types import Scaling, Signature, View


@dataclass(frozen=True)
class Model:
    """A loaded model: scores raw features over classes, without the data set."""

    signature: Signature
    scalings: Mapping[str, Scaling]
    modalities: Mapping[str, Modality]
    fitted: Fitted
    config: Mapping[str, Any]
    card: str = ""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of all classes, seen and unseen."""
        return self.signature.classes

    @property
    def known_classes(self) -> tuple[str, ...]:
        """Names of the classes that it can answer; a data set may have others besides."""
        both = sorted((*self.signature.seen, *self.signature.unseen))
        return tuple(self.classes[index] for index in both)

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
        views = self._views(features)
        return scores_of(self.fitted, self.fitted, views, self._indices(classes))

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

    @property
    def temperature(self) -> float | None:
        """What scores are divided by to make probabilities; None where nothing told it."""
        return getattr(self.fitted, "temperature", None)

    def probabilities(
        self, features: Floats | Mapping[str, Floats], classes: Sequence[str] | None = None
    ) -> Floats:
        """Calibrated probabilities of raw feature rows over classes, (rows, classes).

        ``softmax(scores / temperature)`` over all classes that the model knows; over some
        classes, given that it is one of these. Raises MmalignError as ``scores`` does, and for
        a model whose temperature is not known.
        """
        from mmalign.calibration import probabilities

        if self.temperature is None:
            raise MmalignError(
                "the model's scores are not calibrated, since nothing of it was chosen on the"
                " validation protocol; train it with a head whose epochs are, or use the scores"
            )
        names = self.known_classes
        found = probabilities(self.scores(features), self.temperature)
        if classes is None:
            return found
        self._indices(classes)
        asked = found[:, [names.index(name) for name in classes]].astype(np.float64)
        total = np.maximum(asked.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
        some: Floats = (asked / total).astype(np.float32)
        return some

    def embed(self, features: Floats | Mapping[str, Floats]) -> Floats:
        """Latents of raw rows of any modality, or of several fused, (rows, latent).

        Raises MmalignError as ``scores`` does, and for a method without a latent space.
        """
        return self._space().embed(self._views(features))

    def class_latents(self, classes: Sequence[str] | None = None) -> Floats:
        """Latents of the descriptions that the model keeps of classes, (classes, latent).

        A class of which it keeps none is NaN. ``classes`` are names; all by default. Raises
        MmalignError for an unknown class, and for a method that keeps no such latents.
        """
        latents = getattr(self._space(), "class_latents", None)
        if latents is None:
            method = self.config["recipe"]["method"]["use"]
            raise MmalignError(f"a model of the method '{method}' keeps no latents of classes")
        found: Floats = latents(self._indices(classes))
        return found

    def translate(self, features: Floats | Mapping[str, Floats], to: str) -> Floats:
        """Another modality's numbers, decoded from the latents of these rows, (rows, dim).

        They are unscaled, like those of training; where the modality's scaler is "unit" they
        keep their direction only. Raises MmalignError as ``embed`` does, and for a modality
        that the model has not.
        """
        if to not in self.signature.levels:
            known = ", ".join(self.signature.levels)
            raise MmalignError(f"the model has no modality '{to}'; it has {known}")
        return self.scalings[to].undone(self._space().decode(self.embed(features), to))

    def with_classes(
        self, names: Sequence[str], descriptions: Mapping[str, Floats | View]
    ) -> Model:
        """The same model with new classes besides, known from their descriptions.

        ``descriptions`` are unscaled arrays (classes, dim), or views, by class-level
        modality; a class lacks one whose row is NaN throughout. Raises MmalignError.
        """
        from mmalign.reclassing import with_classes

        views = {name: _view(name, given) for name, given in descriptions.items()}
        return with_classes(self, names, views)

    def without_classes(self, names: Sequence[str]) -> Model:
        """The same model without these classes. Raises MmalignError."""
        from mmalign.reclassing import without_classes

        return without_classes(self, names)

    def _space(self) -> LatentSpace:
        if not isinstance(self.fitted, LatentSpace):
            method = self.config["recipe"]["method"]["use"]
            raise MmalignError(f"a model of the method '{method}' has no latent space")
        return self.fitted

    def _views(self, features: Floats | Mapping[str, Floats]) -> dict[str, View]:
        """Scaled views of raw rows. Raises MmalignError for what are no such rows."""
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
        return views

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
        return self.known_classes if classes is None else tuple(classes)

    def _indices(self, classes: Sequence[str] | None) -> list[int]:
        place = {name: index for index, name in enumerate(self.classes)}
        known = {*self.signature.seen, *self.signature.unseen}
        for name in self._names(classes):
            if place.get(name) not in known:
                raise MmalignError(f"the model knows no class '{name}'")
        return [place[name] for name in self._names(classes)]


def _view(name: str, given: Floats | View) -> View:
    """Descriptions as a view; a row of NaN is a class without one."""
    if isinstance(given, View):
        return given
    try:
        values = np.ascontiguousarray(given, dtype=np.float32)
    except (ValueError, TypeError) as error:
        raise MmalignError(f"'{name}': {error}") from None
    if values.ndim != 2:
        raise MmalignError(f"'{name}': (classes, dim) was expected; this is {values.shape}")
    return View(values, "class", np.asarray(~np.isnan(values).all(axis=1), dtype=np.bool_))
