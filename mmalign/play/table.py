"""What lies on the table: a model, samples to ask about, and the classes that came to it."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmalign.asking import inside
from mmalign.contracts import Extractor, Reclassable
from mmalign.errors import MmalignError
from mmalign.inputs import backbone_of
from mmalign.pictures import needs_pillow, read_picture
from mmalign.play.evidence import Among, Words, witness
from mmalign.play.newcomers import FILE, Added, Written, as_csv, grown, understood
from mmalign.play.samples import Samples

if TYPE_CHECKING:
    from mmalign.arrays import Floats
    from mmalign.model import Model
    from mmalign.types import Source


@dataclass
class Job:
    """Classes that are being added or removed: how far it is, and how it ended.

    ``listen`` is told of epochs, as ``Session.epoch_ended``, and ends what takes more than
    ``most`` seconds by raising MmalignError.
    """

    what: str
    most: float
    stage: str = ""
    done: int = 0
    total: int = 0
    error: str = ""
    over: bool = False
    began: float = field(default_factory=time.monotonic)
    seconds: float = 0.0

    def listen(self, stage: str, done: int, total: int, _: Mapping[str, float]) -> None:
        """Note how far it is."""
        self.stage, self.done, self.total = stage, done, total
        if time.monotonic() - self.began > self.most:
            raise MmalignError(f"{self.what} has taken more than {self.most:g} s and was ended")

    def end(self, error: str = "") -> None:
        """It is over, and how."""
        self.over, self.error, self.seconds = True, error, time.monotonic() - self.began

    def told(self) -> dict[str, Any]:
        """As JSON has it."""
        now = self.seconds if self.over else time.monotonic() - self.began
        kept = ("what", "stage", "done", "total", "error", "over")
        return {**{name: getattr(self, name) for name in kept}, "seconds": round(now, 2)}


class Table:
    """A loaded model that takes classes in and lets them go; on the disk it stays as it is.

    ``path`` is what the person called it, ``source`` its data set where that is at hand;
    pictures go through the backbone on ``device``.
    """

    def __init__(
        self,
        model: Model,
        path: str,
        samples: Samples,
        words: Words,
        source: Source | None = None,
        device: str = "cpu",
    ) -> None:
        self.base, self.path, self.samples, self.words = model, path, samples, words
        self.source, self.device = source, device
        self.added: tuple[Added, ...] = ()
        self.witness = witness(model, {}, words)
        self._extractor: Extractor | None = None

    @property
    def model(self) -> Model:
        """The model as it is now."""
        return self.witness.model

    def ask_picture(self, content: bytes, name: str, which: Among = "all") -> dict[str, Any]:
        """The answer to a picture. Raises MmalignError for what is none."""
        try:
            picture = read_picture(Path(name), content)
        except MmalignError as error:
            hint = (
                "; take a PNG, JPEG, WebP or GIF file" if "no whole picture" in str(error) else ""
            )
            raise MmalignError(f"{error}{hint}") from None
        modality = self.pictured()
        if self._extractor is None:
            backbone = backbone_of(self.base, modality, Path(name))
            with inside(backbone, "extractor()"):
                self._extractor = backbone.extractor(self.device)
        prepared = np.asarray(self._extractor.prepare(picture), np.float32)[None]
        row = np.asarray(self._extractor(prepared), np.float32)
        if row.ndim != 2 or len(row) != 1 or not np.isfinite(row).all():
            raise MmalignError(f"{name}: the backbone gives no row of finite numbers for it")
        return self.witness.answer({modality: row}, None, which)

    def ask_sample(self, number: int, which: Among = "all") -> dict[str, Any]:
        """The answer to a sample. Raises MmalignError for a number that there is not."""
        self.check(number)
        samples = self.samples
        name = samples.names[number] if samples.names else f"row {number}"
        truth = samples.truths[number] if samples.truths else None
        if samples.pictures:
            path = samples.pictures[number]
            try:
                content = path.read_bytes()
            except OSError as error:
                raise MmalignError(f"{path}: cannot be read: {error.strerror}") from None
            found = self.ask_picture(content, name, which)
        else:
            row: Mapping[str, Floats] = samples.rows[number]
            found = self.witness.answer(row, truth, which)
        return {**found, "name": name, "number": number}

    def check(self, number: int) -> None:
        """Raises MmalignError for a number that no sample has."""
        if not 0 <= number < len(self.samples):
            raise MmalignError(f"sample {number}: there are samples 0 to {len(self.samples) - 1}")

    def pictured(self) -> str:
        """The modality that a picture is of. Raises MmalignError where the model takes none."""
        known = self.base.config.get("backbones", {})
        name = next((each for each in self.base.sample_modalities if each in known), None)
        if name is None:
            raise MmalignError(
                "This model takes no pictures, for it does not say which backbone its features"
                " came from. Ask it about rows of features: mmalign play"
                f" {shlex.quote(self.path)} --samples features.npy"
            )
        needs_pillow()
        return name

    def add(self, written: Written, job: Job) -> None:
        """Take a class in; nothing changes where MmalignError is raised."""
        job.listen("reading the description", 0, 0, {})
        known = [each.written.name for each in self.added]
        if written.name in known:
            raise MmalignError(
                f"'{written.name}' is among the new classes already; remove it first"
            )
        self._become((*self.added, understood(written, self.base)), job)

    def remove(self, name: str, job: Job) -> None:
        """Let a class go that came on this page; nothing changes where MmalignError is raised."""
        left = tuple(each for each in self.added if each.written.name != name)
        if len(left) == len(self.added):
            raise MmalignError(f"'{name}' is not among the new classes")
        self._become(left, job)

    def _become(self, added: tuple[Added, ...], job: Job) -> None:
        def listen(stage: str, epoch: int, epochs: int, terms: Mapping[str, float]) -> None:
            job.listen(f"fitting the classifier ({stage})", epoch, epochs, terms)

        job.listen("fitting the classifier", 0, 0, {})
        model = grown(self.base, added, listen)
        new = {each.written.name: each.written.text for each in added}
        self.added, self.witness = added, witness(model, new, self.words)

    def csv(self) -> str:
        """The new classes as ``mmalign add-classes`` takes them."""
        return as_csv([each.written for each in self.added])

    def described(self, name: str) -> Written:
        """What the data set says of a class that the model does not know, to begin from."""
        if self.source is None or name not in self.strangers():
            raise MmalignError(f"the data set has no class '{name}' that the model does not know")
        row, numbers = self.source.classes.index(name), ()
        for modality in self._of_numbers():
            view = self.base.modalities[modality].view(self.source)
            numbers = tuple(view.values[np.array([row])][0].tolist()) if view.mask[row] else ()
        return Written(name, self.words.texts.get(name, ""), numbers)

    def strangers(self) -> list[str]:
        """Classes of the data set that the model does not know."""
        known = set(self.model.known_classes)
        return [] if self.source is None else [n for n in self.source.classes if n not in known]

    def _of_numbers(self) -> list[str]:
        """Class-level modalities that are numbers from the start, not made from texts."""
        base = self.base
        return [
            name
            for name, level in base.signature.levels.items()
            if level == "class" and not hasattr(base.modalities[name], "view_of_newcomers")
        ]

    def told(self) -> dict[str, Any]:
        """All that the page shows but for answers, as JSON has it."""
        signature, method = self.base.signature, self.base.config["recipe"]["method"]["use"]
        described = [name for name, level in signature.levels.items() if level == "class"]
        numbers, strangers = self._of_numbers(), self.strangers()
        able = isinstance(self.base.fitted, Reclassable) and bool(described)
        why = f"A model of the method '{method}' cannot change its classes once it is trained."
        try:
            self.pictured()
            pictures = ""
        except MmalignError as error:
            pictures = str(error)
        return {
            "path": self.path,
            "method": method,
            "seen": len(signature.seen),
            "unseen": len(signature.unseen),
            "described": described,
            "calibrated": self.base.temperature is not None,
            "no_pictures": pictures,
            "samples": {
                "kind": self.samples.kind,
                "about": self.samples.about,
                "count": len(self.samples),
            },
            "no_newcomers": "" if able else why,
            "takes_text": len(numbers) < len(described),
            "takes_numbers": [{"name": n, "dim": signature.dims[n]} for n in numbers],
            "strangers": strangers[:2000],
            "added": [
                {
                    "name": each.written.name,
                    "text": each.written.text,
                    "numbers": len(each.written.numbers),
                    "lacking": list(each.lacking),
                }
                for each in self.added
            ],
            "command": f"mmalign add-classes {shlex.quote(self.path)} {FILE} bigger-model",
        }
