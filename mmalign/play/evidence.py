"""What a model answers, and what speaks for it: as much as the model keeps, and no more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from mmalign.calibration import probabilities
from mmalign.errors import MmalignError
from mmalign.retrieval import nearest

if TYPE_CHECKING:
    from mmalign.arrays import Floats
    from mmalign.model import Model
    from mmalign.types import Source

Among: TypeAlias = Literal["all", "unseen", "new"]

TOP = 8  # classes shown
NEAR = 5  # neighbours shown
UNCALIBRATED = (
    "Scores, no probabilities: nothing of this model was chosen on the validation protocol, which"
    " would have calibrated them. The larger the likelier."
)
SOME = (
    "Scores, no probabilities: of some classes alone there are none, since a head may score these"
    " by another classifier than the calibrated one."
)
NO_DATA = (
    "The model keeps what it made of its classes' descriptions, not their words, and its data set"
    " is not at hand."
)
NO_TEXTS = "The data set describes its classes by numbers, and has no words for them."


@dataclass(frozen=True)
class Words:
    """Texts of classes, and signs such as an emoji, by name; ``silent`` says why there are none."""

    texts: Mapping[str, str] = field(default_factory=dict)
    signs: Mapping[str, str] = field(default_factory=dict)
    silent: str = NO_DATA


def words_of(source: Source) -> Words:
    """The class-level texts of a data set: its "descriptions", else the first that it has."""
    offered = {name: each for name, each in source.texts.items() if each.level == "class"}
    signs = offered.pop("characters", None)
    texts = offered.get("descriptions") or next(iter(offered.values()), None)
    found: list[dict[str, str]] = []
    for each in (texts, signs):
        rows = zip(source.classes, each.values, strict=True) if each else ()
        found.append({name: " ".join(said)[:500] for name, said in rows if said})
    return Words(found[0], found[1], "" if found[0] else NO_TEXTS)


@dataclass(frozen=True)
class Witness:
    """A model, which of its classes are new, and what is known of them in words."""

    model: Model
    new: Mapping[str, str]
    words: Words
    latents: Floats | None
    silent: str

    def among(self, which: Among) -> tuple[str, ...]:
        """The classes to choose from. Raises MmalignError where there is none."""
        model, signature = self.model, self.model.signature
        names = {
            "all": model.known_classes,
            "unseen": tuple(model.classes[index] for index in sorted(signature.unseen)),
            "new": tuple(self.new),
        }[which]
        if not names:
            raise MmalignError(f"there is no {which} class to choose from; ask among all")
        return names

    def answer(
        self, row: Mapping[str, Floats], truth: str | None = None, which: Among = "all"
    ) -> dict[str, Any]:
        """The likeliest classes of one row with their evidence, as JSON has it.

        ``row`` is (1, dim) by modality. Besides the best, new classes and the true one are
        listed wherever they stand. A class's ``share`` is its probability; where there is none
        it says how far its score is from the lowest (0) to the highest (1).
        """
        names = self.among(which)
        scores = self.model.scores(row, None if which == "all" else names)[0]
        warm = self.model.temperature if which == "all" else None
        chances = None if warm is None else probabilities(scores[None], warm)[0]
        shares = _between(scores) if chances is None else chances
        order = np.argsort(-scores, kind="stable")
        rank = {names[index]: place for place, index in enumerate(order, start=1)}
        listed = [names[index] for index in order[:TOP]]
        wanted = {*self.new, *([truth] if truth else [])} & rank.keys()

        def told(name: str) -> dict[str, Any]:
            index = int(order[rank[name] - 1])
            return {
                **self.about(name),
                "rank": rank[name],
                "score": float(scores[index]),
                "share": float(shares[index]),
            }

        return {
            "best": [told(name) for name in listed],
            "besides": [told(name) for name in sorted(wanted - {*listed}, key=rank.__getitem__)],
            "calibrated": chances is not None,
            "among": which,
            "classes": len(names),
            "truth": truth,
            "truth_rank": rank.get(truth or ""),
            "truth_known": truth in self.model.known_classes,
            "neighbours": self.neighbours(row),
            "notes": self.notes(chances is None),
        }

    def about(self, name: str) -> dict[str, Any]:
        """A class's name and kind, and what is known of it in words."""
        signature = self.model.signature
        seen = self.model.classes.index(name) in signature.seen
        kind = "new" if name in self.new else "seen" if seen else "unseen"
        text = self.new.get(name) or self.words.texts.get(name)
        return {"name": name, "kind": kind, "text": text, "sign": self.words.signs.get(name)}

    def neighbours(self, row: Mapping[str, Floats]) -> list[dict[str, Any]]:
        """The classes whose descriptions lie nearest to the row in the latent space.

        New classes are listed wherever they stand.
        """
        if self.latents is None:
            return []
        known = np.flatnonzero(np.isfinite(self.latents).all(axis=1))
        places, cosines = nearest(self.model.embed(row), self.latents[known], len(known))
        names = [self.model.known_classes[known[place]] for place in places[0]]
        return [
            {**self.about(name), "rank": rank, "cosine": float(cosine)}
            for rank, (name, cosine) in enumerate(zip(names, cosines[0], strict=True), start=1)
            if rank <= NEAR or name in self.new
        ]

    def notes(self, uncalibrated: bool) -> list[str]:
        """What a person must know of this answer, and why evidence is missing."""
        lines = [SOME if self.model.temperature else UNCALIBRATED] if uncalibrated else []
        return [*lines, *filter(None, (self.words.silent, self.silent))]


def _between(scores: Floats) -> Floats:
    """How far each score is from the lowest, 0, to the highest, 1."""
    wide = float(np.ptp(scores))
    far: Floats = (scores - scores.min()) / wide if wide > 0 else np.ones_like(scores)
    return far


def witness(model: Model, new: Mapping[str, str], words: Words) -> Witness:
    """A witness, with the latents of the model's classes where it keeps any."""
    try:
        latents = model.class_latents()
    except MmalignError as error:
        return Witness(model, new, words, None, f"No nearest classes: {error}.")
    if not np.isfinite(latents).all(axis=1).any():
        silent = "No nearest classes: the model keeps no latents of its classes' descriptions."
        return Witness(model, new, words, None, silent)
    return Witness(model, new, words, latents, "")
