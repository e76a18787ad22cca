"""Reads class lists, counts and names, and checks all that they hold."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmalign import MmalignError, did_you_mean

WNID = re.compile(r"n\d{8}")
LISTS = ("train", "2-hops", "3-hops", "all")


def wnid(number: int) -> str:
    """A WordNet id as it is written; within this plugin it is the number after the "n"."""
    return f"n{number:08d}"


def raw(path: Path) -> bytes:
    """A file's bytes. Raises MmalignError where it cannot be read."""
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else error
        raise MmalignError(f"{path}: cannot be read: {said}") from None


def text(path: Path) -> str:
    """A file's text, which must be UTF-8."""
    try:
        return raw(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise MmalignError(f"{path}: no UTF-8 text: {error}") from None


def digest(path: Path) -> str:
    """SHA-256 of a whole file."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise MmalignError(f"{path}: cannot be read: {error.strerror}") from None


def read_object(path: Path) -> Mapping[str, Any]:
    """A JSON file that holds an object."""
    try:
        found = json.loads(text(path))
    except (ValueError, RecursionError) as error:
        raise MmalignError(f"{path}: no JSON: {error}") from None
    if not isinstance(found, dict):
        raise MmalignError(f"{path}: a JSON object was expected, not {type(found).__name__}")
    return found


def read_lists(path: Path) -> Mapping[str, tuple[int, ...]]:
    """The lists of classes that the file has, "train" always among them.

    Raises MmalignError for something other than WordNet ids, for one that is twice in a
    list, and for an unseen class that is also seen.
    """
    held = read_object(path)
    if "train" not in held:
        raise MmalignError(f"{path}: no list 'train'; {did_you_mean('train', held)}")
    lists = {}
    for key in LISTS:
        if key in held:
            lists[key] = _ids(path, key, held[key])
    for key in lists.keys() - {"train"}:
        both = sorted(set(lists["train"]) & set(lists[key]))
        if both:
            raise MmalignError(
                f"{path}: {len(both)} classes of '{key}' are also in 'train', so they are not"
                f" unseen; the first is {wnid(both[0])}"
            )
    return lists


def _ids(path: Path, key: str, held: Any) -> tuple[int, ...]:
    if not isinstance(held, list) or not held:
        raise MmalignError(f"{path}: '{key}' is no list of WordNet ids, or an empty one")
    for place, each in enumerate(held):
        if not isinstance(each, str) or not WNID.fullmatch(each):
            raise MmalignError(
                f"{path}: entry {place + 1} of '{key}' is {each!r:.100}, no WordNet id such as"
                " n01440764"
            )
    ids = tuple(int(each[1:]) for each in held)
    once(ids, f"{path}: '{key}'")
    return ids


def once(ids: Sequence[int], where: str) -> None:
    """Raises MmalignError for an id that stands there twice."""
    numbers, counts = np.unique(np.asarray(ids, dtype=np.int64), return_counts=True)
    if (counts > 1).any():
        twice = wnid(int(numbers[np.argmax(counts > 1)]))
        raise MmalignError(f"{where} holds {int((counts > 1).sum())} ids twice, the first {twice}")


def read_counts(path: Path) -> Mapping[int, int]:
    """Images of each class, from a JSON object or from lines of CSV, "id,images".

    A first line of CSV that names the columns is passed over.
    """
    lines: Iterable[tuple[Any, ...]]
    if path.suffix == ".json":
        lines = list(read_object(path).items())
    elif path.suffix == ".csv":
        try:
            lines = [tuple(line) for line in csv.reader(text(path).splitlines()) if line]
        except csv.Error as error:
            raise MmalignError(f"{path}: no CSV: {error}") from None
        if lines and not WNID.fullmatch(lines[0][0].strip()):
            lines = lines[1:]
    else:
        raise MmalignError(f"{path}: counts are a .json or a .csv file")
    counts: dict[int, int] = {}
    for line in lines:
        key, images = (str(each).strip() for each in line) if len(line) == 2 else ("", "")
        if not WNID.fullmatch(key) or not re.fullmatch(r"\d{1,12}", images):
            said = repr(line)[:100]
            raise MmalignError(f"{path}: {said} is no WordNet id with a whole number of images")
        if int(key[1:]) in counts:
            raise MmalignError(f"{path}: {key} is counted twice")
        counts[int(key[1:])] = int(images)
    return counts


def read_names(path: Path) -> Mapping[int, str]:
    """What classes are called, from lines of WordNet id, tab, words."""
    names = {}
    for number, line in enumerate(text(path).splitlines(), start=1):
        key, tab, words = line.partition("\t")
        if not line.strip():
            continue
        if not WNID.fullmatch(key) or not tab or not words.strip():
            raise MmalignError(f"{path}: line {number} is no WordNet id, tab, and words")
        names[int(key[1:])] = words.strip()
    return names
