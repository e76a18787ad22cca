"""Rows that are there already: in the feature file itself, and in the parts beside it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from mmalign.arrays import Floats
from mmalign.errors import MmalignError
from mmalign.extract.finding import Found
from mmalign.featurefile import FeatureFile, read_features, write_features

EVERY = 1.0  # seconds of work that a killed process loses at most, besides its last batch

Rows = dict[Found, Floats]


def filed(rows: Rows, about: Mapping[str, str]) -> FeatureFile:
    """Rows as a feature file."""
    return FeatureFile(
        np.stack(list(rows.values())).astype(np.float32),
        tuple(each.name for each in rows),
        np.array([each.stamp for each in rows], dtype=np.int64).reshape(-1, 2),
        about,
    )


def wanted(file: FeatureFile, found: Iterable[Found]) -> Rows:
    """Those rows of a file that are of these pictures, unchanged."""
    places = {
        (name, *map(int, stamp)): row
        for row, (name, stamp) in enumerate(zip(file.names, file.stamps, strict=False))
    }
    keys = {each: (each.name, *each.stamp) for each in found}
    return {each: file.features[places[key]] for each, key in keys.items() if key in places}


class Parts:
    """Rows kept beside a feature file while it is made; what was kept outlives the process.

    ``about`` is what rows depend on besides their picture: under another backbone, device
    or other facts, parts lie in another folder, and are not mixed up.
    """

    def __init__(self, out: Path, about: Mapping[str, str]) -> None:
        digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
        self.all = out.with_name(f"{out.name}.parts")
        self.folder = self.all / digest[:16]
        self.about = about
        self.unread = 0
        self.waiting: Rows = {}
        self.wrote, self.count = time.monotonic(), 0
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MmalignError(f"cannot make {self.folder}: {error.strerror}") from None

    def rows(self, found: Iterable[Found]) -> Rows:
        """What is kept of these pictures. A part that is not whole counts in ``unread``."""
        rows: Rows = {}
        for path in sorted(self.folder.glob("*.safetensors")):
            try:
                part = read_features(path)
            except MmalignError:
                self.unread += 1
                continue
            rows |= wanted(part, found)
        return rows

    def add(self, rows: Rows) -> None:
        """Keep these rows, at the latest in a second's time."""
        self.waiting |= rows
        if time.monotonic() - self.wrote >= EVERY:
            self.flush()

    def flush(self) -> None:
        """Write what is waiting as one part; a part is there whole, or not at all."""
        if self.waiting:
            self.count += 1
            name = f"{time.time_ns():020d}-{os.getpid()}-{self.count}.safetensors"
            write_features(self.folder / name, filed(self.waiting, self.about))
            self.waiting = {}
        self.wrote = time.monotonic()

    def remove(self) -> None:
        """The file is whole: parts, those of other settings too, are needed no more."""
        shutil.rmtree(self.all, ignore_errors=True)
