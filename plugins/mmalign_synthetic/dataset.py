"""Classes that differ in a few hidden factors, seen through any number of modalities."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from mmalign import MmalignError, Source, Splits, View, component

if TYPE_CHECKING:
    import numpy as np

    from mmalign import Floats, Indices

HELD_OUT = 0.2  # of a seen class's samples, as its test samples


@component
class Synthetic:
    """Seeded random classes, told apart by hidden factors that every modality shows.

    A class is a point in the space of ``factors``; a sample is that point plus noise of
    standard deviation ``spread``. Each modality is a random two-layer map of the point
    with noise of its own. Arrays are called "image", "image2", ... (one row a sample) and
    "attributes", "attributes2", ... (one row a class); samples "sample 0000" and so on.
    """

    name: ClassVar[str] = "synthetic"
    seen: int = Field(default=30, ge=2)
    """Classes with training samples."""
    unseen: int = Field(default=10, ge=1)
    """Classes known from their description only."""
    validation: int = Field(default=10, ge=1)
    """Seen classes that the validation protocol treats as unseen."""
    samples: int = Field(default=40, ge=2)
    """Samples of each class."""
    sample_views: tuple[int, ...] = (64,)
    """Numbers a row of each sample-level modality."""
    class_views: tuple[int, ...] = (24,)
    """Numbers a row of each class-level modality."""
    factors: int = Field(default=8, ge=1)
    """Hidden factors."""
    spread: float = Field(default=0.35, ge=0)
    """Standard deviation of a sample's factors around its class's, which have 1."""
    missing: float = Field(default=0.0, ge=0, lt=1)
    """Share of rows that lack each modality but the first of its level."""
    seed: int = Field(default=0, ge=0)
    """Seed of the data; the seeds of a run do not move it."""

    def load(self) -> Source:
        """Make the data. Raises MmalignError for sizes that leave no class to train on."""
        import numpy as np

        if self.validation >= self.seen:
            raise MmalignError(
                f"data set 'synthetic': {self.validation} validation classes of {self.seen}"
                " seen ones leave none to train on; make validation smaller than seen"
            )
        if not self.sample_views or min(*self.sample_views, *self.class_views, 1) < 1:
            raise MmalignError(
                "data set 'synthetic': give at least one of sample_views, and sizes from 1"
            )
        count = self.seen + self.unseen
        points = self._generator("classes").normal(size=(count, self.factors))
        labels = np.repeat(np.arange(count), self.samples)
        noise = self._generator("samples").normal(size=(len(labels), self.factors))
        scattered = points[labels] + self.spread * noise
        arrays = {}
        for level, dims, hidden in (
            ("image", self.sample_views, scattered),
            ("attributes", self.class_views, points),
        ):
            for place, dim in enumerate(dims):
                name = level if place == 0 else f"{level}{place + 1}"
                arrays[name] = self._view(name, hidden, dim, place)
        classes = [f"seen {i:03d}" for i in range(self.seen)]
        classes += [f"unseen {i:03d}" for i in range(self.unseen)]
        digest = hashlib.sha256(b"".join(view.array.tobytes() for view in arrays.values()))
        return Source(
            name=self.name,
            classes=tuple(classes),
            labels=labels.astype(np.int64),
            arrays=arrays,
            splits=self._splits(labels),
            hashes={"synthetic": digest.hexdigest()},
            samples=tuple(f"sample {i:04d}" for i in range(len(labels))),
        )

    def _generator(self, name: str) -> np.random.Generator:
        import numpy as np

        digest = hashlib.sha256(f"{self.seed}/{name}".encode()).digest()
        return np.random.default_rng(int.from_bytes(digest[:8]))

    def _view(self, name: str, hidden: np.ndarray, dim: int, place: int) -> View:
        """A random map of the factors: tanh, then a rectified mixture, then noise."""
        import numpy as np

        generator = self._generator(name)
        inner = generator.normal(size=(self.factors, 4 * self.factors)) / self.factors**0.5
        outer = generator.normal(size=(4 * self.factors, dim)) / (4 * self.factors) ** 0.5
        shown = np.maximum(np.tanh(hidden @ inner) @ outer, 0)
        shown += 0.02 * generator.normal(size=shown.shape)
        values: Floats = shown.astype(np.float32)
        mask = np.ones(len(values), dtype=np.bool_)
        if place > 0:
            mask = generator.random(len(values)) >= self.missing
            values[~mask] = np.nan
        return View(values, "sample" if name.startswith("image") else "class", mask)

    def _splits(self, labels: Indices) -> Splits:
        """The last fifth of each seen class is asked; the last classes validate."""
        import numpy as np

        held = max(1, round(HELD_OUT * self.samples))
        place = np.arange(len(labels)) % self.samples
        seen, asked = labels < self.seen, place >= self.samples - held
        return Splits(
            train=np.flatnonzero(seen & ~asked),
            test_seen=np.flatnonzero(seen & asked),
            test_unseen=np.flatnonzero(~seen),
            validation_classes=np.arange(self.seen - self.validation, self.seen),
        )
