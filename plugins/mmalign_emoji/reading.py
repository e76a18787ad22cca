"""Reads the one file of the data set, and restores the features that it keeps in short."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmalign import Floats, MmalignError, Source, Splits, Texts, View

FILE = Path(__file__).with_name("emoji.safetensors")
SHA256 = "0d60ce082092a5fa6463a4ce00c32d9c02519859b6230f81bf755ef38ef97282"
"""Of the file that ships; another one is damaged, or of another version."""
VERSION = "1.0"
"""Of the data: splits, classes and numbers stay as they are within a version."""
BACKBONE = {"use": "efficientnet-lite0"}  # what a model sends a new picture through
STEPS = 15  # four bits
TRAIN, TEST_SEEN, TEST_UNSEEN = range(3)  # as the file's "splits" has them


def read(name: str, file: Path = FILE) -> Source:
    """The data set as a Source. Raises MmalignError for a file that is not the one shipped."""
    tensors, told = checked(file)
    labels = tensors["labels"].astype(np.int64)
    hexcodes, sets = told["hexcodes"], told["sets"]
    chosen = [sets[index] for index in tensors["sets"]]
    return Source(
        name=name,
        classes=tuple(told["labels"]),
        labels=labels,
        arrays=arrays(tensors, len(told["attributes"])),
        splits=Splits(
            train=np.flatnonzero(tensors["splits"] == TRAIN),
            test_seen=np.flatnonzero(tensors["splits"] == TEST_SEEN),
            test_unseen=np.flatnonzero(tensors["splits"] == TEST_UNSEEN),
            validation_classes=tensors["validation"].astype(np.int64),
        ),
        texts={
            "descriptions": Texts(tuple((text,) for text in told["texts"]), "class"),
            "characters": Texts(tuple((each,) for each in told["characters"]), "class"),
        },
        hashes={file.name: SHA256},
        samples=tuple(f"{s}/{hexcodes[i]}" for s, i in zip(chosen, labels, strict=True)),
    )


def checked(file: Path) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Tensors and metadata of the file that was shipped, and of no other."""
    from safetensors import safe_open

    try:
        content = file.read_bytes()
    except OSError as error:
        raise MmalignError(
            f"data set 'emoji': {file} cannot be read ({error.strerror}); install mmalign again"
        ) from None
    digest = hashlib.sha256(content).hexdigest()
    if digest != SHA256:
        raise MmalignError(
            f"data set 'emoji': {file} is not the file of version {VERSION} (its SHA-256 begins"
            f" with {digest[:12]}, not {SHA256[:12]}); install mmalign again"
        )
    with safe_open(file, framework="numpy") as opened:
        told = json.loads(opened.metadata()["emoji"])
        tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
    return tensors, told


def arrays(tensors: Mapping[str, Any], attributes: int) -> dict[str, View]:
    """The four arrays, in float32."""
    has = np.unpackbits(tensors["attributes"], axis=1, count=attributes)
    known = tensors["words_known"].astype(np.bool_)
    return {
        "image": View(restored(tensors), "sample", backbone=BACKBONE),
        "attributes": View(has.astype(np.float32), "class"),
        "sentences": View(tensors["sentences"] * tensors["sentences_step"], "class"),
        "word2vec": View(tensors["words"].astype(np.float32), "class", known),
    }


def restored(tensors: Mapping[str, Any]) -> Floats:
    """Features as the backbone gives them, nearly, (samples, 1280).

    So a model takes a new picture's features as they are. Two numbers are in a byte, and a
    number is the square of its four bits times the feature's largest.
    """
    packed = tensors["codes"]
    codes = np.empty((len(packed), 2 * packed.shape[1]), dtype=np.float32)
    codes[:, ::2], codes[:, 1::2] = packed >> 4, packed & STEPS
    values: Floats = (codes / np.float32(STEPS)) ** 2 * tensors["top"]
    return values
