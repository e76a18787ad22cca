"""Reads embeddings with names, and texts; nothing is unpickled."""

from __future__ import annotations

import csv
import hashlib
import io
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mmalign import Floats, Level, MmalignError, Source, View, map_npy, refuse_too_large
from mmalign_sentences.naming import level_of, matched, names_from_json


def read_embeddings(path: Path, source: Source, missing: Literal["error", "mask"]) -> View:
    """The file's rows in the order of the classes or samples that their names say.

    Raises MmalignError, naming the file and what is wrong in it.
    """
    path = at_home(path)
    read = _safetensors if path.suffix == ".safetensors" else _npy
    content = contents(path)
    values, names = read(path, content)
    if len(names) != len(values):
        raise MmalignError(f"{path}: {len(names)} names for {len(values)} rows")
    level = level_of(names, source, path)
    rows, notes = matched(names, level, source, path, missing)
    mask = rows >= 0
    taken = np.where(mask[:, None], values[rows], 0)
    wrong = ~np.isfinite(taken).all(axis=1)
    if wrong.any():
        name = names[rows[int(np.argmax(wrong))]]
        raise MmalignError(f"{path}: the row of '{name}' holds NaN or infinity")
    return View(taken, level, mask, notes, {path.name: sha256(content)})


def at_home(path: Path) -> Path:
    """The path with "~" as the home folder. Raises MmalignError for a home of nobody."""
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise MmalignError(f"{path}: {error}") from None


def contents(path: Path) -> bytes:
    """The file's bytes. Raises MmalignError where they cannot be had."""
    try:
        refuse_too_large(path.stat().st_size, f"{path}", "take a smaller file")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or error
        raise MmalignError(f"{path}: cannot be read: {said}") from None


def sha256(content: bytes) -> str:
    """The SHA-256 of these bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _safetensors(path: Path, content: bytes) -> tuple[Floats, tuple[str, ...]]:
    """The only tensor, and the names in the metadata under "names"."""
    from safetensors import safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata, keys = file.metadata() or {}, list(file.keys())
            tensors = {key: file.get_tensor(key) for key in keys} if len(keys) == 1 else {}
    # A damaged file makes the reader raise nearly anything; none of it is a bug of ours.
    except Exception as error:
        raise MmalignError(f"{path}: no safetensors file that numpy can hold: {error}") from None
    if len(keys) != 1:
        raise MmalignError(f"{path}: holds {len(keys)} tensors; give one, (rows, dim)")
    if "names" not in metadata:
        raise MmalignError(
            f"{path}: its metadata have no 'names'; give the rows' names there, as a JSON list"
        )
    names = names_from_json(metadata["names"], f"{path}, metadata 'names'")
    return _matrix(path, tensors[keys[0]]), names


def _npy(path: Path, content: bytes) -> tuple[Floats, tuple[str, ...]]:
    """The array, and the names in NAME.names.txt or NAME.names.json beside it."""
    try:
        values = map_npy(path, ".npy numbers")
    except MmalignError as error:
        raise MmalignError(f"{path}: {error}") from None
    beside = [path.with_suffix(suffix) for suffix in (".names.txt", ".names.json")]
    found = [file for file in beside if file.is_file()]
    if len(found) != 1:
        raise MmalignError(
            f"{path}: {'both' if found else 'no file of names'},"
            f" {(' and ' if found else ' or ').join(file.name for file in beside)}, beside it;"
            " give one of them"
        )
    try:
        text = contents(found[0]).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MmalignError(f"{found[0]}: not UTF-8: {error.reason}") from None
    if found[0].suffix == ".json":
        return _matrix(path, values), names_from_json(text, str(found[0]))
    return _matrix(path, values), tuple(line.strip() for line in text.splitlines() if line.strip())


def _matrix(path: Path, values: Any) -> Floats:
    """Rows of real numbers as float32."""
    if not isinstance(values, np.ndarray) or values.ndim != 2 or values.dtype.kind not in "fiu":
        what = getattr(values, "shape", type(values).__name__), getattr(values, "dtype", "")
        raise MmalignError(f"{path}: holds {what[0]} {what[1]}, not (rows, dim) of real numbers")
    if values.size == 0:
        raise MmalignError(f"{path}: is empty, {values.shape}")
    with np.errstate(over="ignore"):  # beyond float32 it is infinite, which is refused
        return values.astype(np.float32)


def read_texts(path: Path) -> tuple[Level, dict[str, list[str]], str]:
    """The texts of each class or sample of a CSV file, and the file's SHA-256.

    The first line names the columns: "text", and "class" or "sample"; others are ignored.
    Raises MmalignError, naming the line.
    """
    content = contents(path)
    try:
        lines = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        columns = lines.fieldnames or ()
        keys = [key for key in ("class", "sample") if key in columns]
        if "text" not in columns or len(keys) != 1:
            raise MmalignError(
                f"{path}: its columns are {', '.join(columns[:20]) or 'none'}; the first line must"
                " name 'text', and 'class' or 'sample'"
            )
        texts: dict[str, list[str]] = {}
        for line in lines:
            name, text = ((line[key] or "").strip() for key in (keys[0], "text"))
            if not name or not text or None in line:
                raise MmalignError(
                    f"{path}: line {lines.line_num} must have as many cells as there are columns,"
                    f" and a {keys[0]} and a text that are not empty"
                )
            texts.setdefault(name, []).append(text)
    except UnicodeDecodeError as error:
        raise MmalignError(f"{path}: not UTF-8: {error.reason} at byte {error.start}") from None
    except csv.Error as error:
        raise MmalignError(f"{path}: after line {lines.line_num}: {error}") from None
    if not texts:
        raise MmalignError(f"{path}: has no line of text")
    return "class" if keys[0] == "class" else "sample", texts, sha256(content)
