"""Writes a recipe that suits a folder."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence

METHOD = """\
[method]
use = "aligned-vae"
latent = {latent}        # numbers of the space that all modalities share
epochs = {epochs}
batch = {batch}
lr = 1e-3
noise = "independent"
scale = "std"
kl = {{ to = 0.25, start = 0, end = 40 }}

[loss.cross]             # each modality is decoded from the others
weight = {{ to = 1.0, start = 5, end = 20 }}

[loss.distribution]      # a class's posteriors lie on one another
use = "wasserstein"
weight = {{ to = 2.0, start = 2, end = 10 }}

[head]
use = "softmax"          # a classifier of latents; its epochs are chosen by validation
seen = 100               # latents of each seen class that it learns from
unseen = 100
unseen_only = 100

[run]
seeds = 3
threads = 1              # small networks are fastest so
"""
WORDS = """\
[modality.words]         # the classes' names; needs the extra text
use = "word2vec"
file = "glove.6B.100d.txt"   # put here your file of word vectors
"""


def recipe(
    dataset: Sequence[str],
    samples: Iterable[str],
    classes: Iterable[str],
    texts: Iterable[str],
    batch: int = 64,
    epochs: int = 100,
    latent: int = 32,
) -> str:
    """A recipe as TOML. ``dataset`` are the lines of its table, below ``use``.

    ``samples`` and ``classes`` are the names of arrays of each level.
    """
    parts = ["\n".join(["[dataset]", 'use = "folder"', *dataset]) + "\n"]
    parts += [_modality(name, "image", name) for name in samples]
    described = [_modality(name, "attributes", name) for name in classes]
    sentences = [_sentences(name) for name in texts]
    if described:  # texts are one more kind of description; taking them is the user's choice
        sentences = ["".join(f"# {line}\n" for line in each.splitlines()) for each in sentences]
    parts += [*described, *sentences] or [WORDS]
    parts.append(METHOD.format(batch=batch, epochs=epochs, latent=latent))
    return "\n".join(parts)


def quoted(value: str | float | tuple[str, ...]) -> str:
    """A text, a number, or a list of texts, as TOML writes it."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _modality(name: str, use: str, array: str) -> str:
    own = "" if array == use else f"array = {quoted(array)}\n"
    return f"[modality.{_key(name)}]\nuse = {quoted(use)}\n{own}"


def _sentences(name: str) -> str:
    return (
        f"[modality.{_key(name)}]   # sentences, embedded; needs: pip install 'mmalign[text]'\n"
        f'use = "sentences"\ntexts = {quoted(name)}\n'
    )


def _key(name: str) -> str:
    """A name that needs no quotes in TOML."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or "features"
