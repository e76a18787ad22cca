"""Takes classes into a finished model and lets them go, without the data it was trained on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from mmalign.contracts import Reclassable
from mmalign.errors import MmalignError, did_you_mean
from mmalign.types import Session, Signature, View

if TYPE_CHECKING:
    from mmalign.model import Model

Told: TypeAlias = Callable[[str, int, int, Mapping[str, float]], None]


def with_classes(
    model: Model, names: Sequence[str], views: Mapping[str, View], told: Told | None = None
) -> Model:
    """The model with these classes besides, known from their descriptions.

    ``views`` are unscaled class-level views, a row for each name, of some or all of the
    model's class-level modalities. ``told`` hears of each epoch of what is fitted again, as
    ``Session.epoch_ended`` does, and ends it by raising. Raises MmalignError for a name
    that is there already or twice, for a class without any description, and for a model that
    cannot do it.
    """
    known = [name for name in names if name in model.known_classes]
    if known:
        raise MmalignError(
            f"the model knows the class '{known[0]}' already"
            f" ({len(known)} such names in all); remove it first, to describe it anew"
        )
    twice = [name for place, name in enumerate(names) if name in names[:place]]
    if twice:
        raise MmalignError(f"the class '{twice[0]}' is there twice")
    if not names:
        raise MmalignError("no class to add")
    levels = model.signature.levels
    for name, view in views.items():
        if levels.get(name) != "class":
            known_ones = [each for each, level in levels.items() if level == "class"]
            raise MmalignError(
                f"'{name}' describes no class; the model has {', '.join(known_ones) or 'nothing'}"
            )
        if len(view) != len(names):
            raise MmalignError(f"'{name}' has {len(view)} rows for {len(names)} classes")
    described = np.any([np.zeros(len(names), bool), *(v.mask for v in views.values())], axis=0)
    if not described.all():
        bare = names[int(np.argmin(described))]
        raise MmalignError(f"the class '{bare}' has no description")
    return _reclassed(model, _indices(model), names, views, told)


def without_classes(model: Model, names: Sequence[str]) -> Model:
    """The model without these classes, and without what it kept of them.

    Raises MmalignError for an unknown name, and where fewer than two classes are left.
    """
    known = model.known_classes
    for name in names:
        if name not in known:
            raise MmalignError(f"the model knows no class '{name}'; {did_you_mean(name, known)}")
    kept = [index for index in _indices(model) if model.classes[index] not in names]
    if len(kept) < 2:
        raise MmalignError(f"only {len(kept)} would be left; a model needs two classes")
    return _reclassed(model, kept, (), {})


def _indices(model: Model) -> list[int]:
    return sorted((*model.signature.seen, *model.signature.unseen))


def _reclassed(
    model: Model,
    kept: Sequence[int],
    new: Sequence[str],
    views: Mapping[str, View],
    told: Told | None = None,
) -> Model:
    if not isinstance(model.fitted, Reclassable):
        method = model.config["recipe"]["method"]["use"]
        raise MmalignError(
            f"a model of the method '{method}' cannot change its classes; train it again with them"
        )
    old = model.signature
    number = {index: place for place, index in enumerate(kept)}
    signature = Signature(
        classes=(*(model.classes[index] for index in kept), *new),
        seen=tuple(number[index] for index in kept if index in old.seen),
        unseen=(
            *(number[index] for index in kept if index in old.unseen),
            *range(len(kept), len(kept) + len(new)),
        ),
        dims=old.dims,
        levels=old.levels,
    )
    scaled = {}
    for name, view in views.items():
        try:
            scaled[name] = model.scalings[name](replace(view, level="class"))
        except MmalignError as error:
            raise MmalignError(f"'{name}': {error}") from None
    session = Session(int(model.config.get("seed", 0)))
    if told is not None:
        session = replace(session, epoch_ended=told)
    fitted = model.fitted.reclassed(kept, scaled, signature, session)
    gone = [model.classes[index] for index in _indices(model) if index not in number]
    change: dict[str, Any] = {"added": list(new), "removed": gone}
    config = {**model.config, "changes": [*model.config.get("changes", ()), change]}
    return replace(model, signature=signature, fitted=fitted, config=config)
