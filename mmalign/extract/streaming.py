"""Features of pictures as they come, for a model that is asked about them; nothing is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mmalign.asking import inside
from mmalign.contracts import Backbone
from mmalign.errors import MmalignError
from mmalign.extract.finding import Found, find_pictures
from mmalign.extract.working import checked, prepared, stacked
from mmalign.pictures import SUFFIXES, needs_pillow
from mmalign.rows import Part

BATCH = 32  # pictures at a time


def is_pictures(path: Path) -> bool:
    """Whether this is a picture, by its suffix, or a folder, which is searched for some."""
    return path.is_dir() or path.suffix.lower() in SUFFIXES


def stream(path: Path, backbone: Backbone, device: str = "cpu", workers: int = 2) -> Iterator[Part]:
    """Features and names of a picture, or of a folder's, in the order of their names.

    Raises MmalignError for a picture that cannot be read.
    """
    needs_pillow()
    found = find_pictures(path) if path.is_dir() else (_one(path),)
    with inside(backbone, "extractor()"):
        extractor = backbone.extractor(device)
    for whole, broken in prepared(found, extractor, BATCH, workers):
        for error in broken.values():
            raise MmalignError(f"{error}; mend it, or take it out")
        rows = checked(extractor(stacked(whole)), whole, {})
        yield Part(np.stack(list(rows.values())), tuple(each.name for each in rows))


def _one(path: Path) -> Found:
    try:
        about = path.stat()
    except OSError as error:
        raise MmalignError(f"{path}: {error.strerror}") from None
    return Found(path.name, path, (about.st_size, about.st_mtime_ns))
