"""Reads the vectors of the words that are needed; nothing is unpickled."""

from __future__ import annotations

import hashlib
import lzma
import tempfile
import zlib
from collections.abc import Iterable, Set
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from mmalign import Floats, MmalignError, refuse_too_large

if TYPE_CHECKING:
    from mmalign_word2vec.modality import Format

UNREADABLE = (
    *(OSError, EOFError, ValueError, MemoryError, AssertionError, RuntimeError),
    *(zlib.error, lzma.LZMAError),
)
LONGEST = 1 << 12  # bytes of a word
CHUNK = 1 << 18  # bytes read at once
HEAD = 1 << 20  # bytes looked at to tell formats apart: one row of a hundred thousand numbers


def read_vectors(
    path: Path, format: Format, needed: Set[str]
) -> tuple[dict[str, Floats], tuple[str, ...], str]:
    """The vector of each needed word that the file has, notes, and the file's SHA-256.

    Where a word is there twice the first counts, as gensim has it, and a note says so.
    Raises MmalignError for what is no such file, or a damaged one.
    """
    smart_open, gensim = _imported()
    try:
        with path.open("rb") as raw:
            digest = hashlib.file_digest(raw, "sha256").hexdigest()
        with closing(smart_open.open(path, "rb")) as file:
            head = file.read(HEAD)
        kind, count, dim = _told_apart(path, head, format)
        with closing(smart_open.open(path, "rb")) as file:
            if kind == "binary":
                vectors, twice = _binary(path, file, needed, count or 0, dim)
            else:
                vectors, twice = _text(path, file, gensim, needed, count, dim)
    except MmalignError:
        raise
    except UNREADABLE as error:
        said = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise MmalignError(f"{path}: cannot be read: {said or type(error).__name__}") from None
    wrong = sorted(word for word, vector in vectors.items() if not np.isfinite(vector).all())
    if wrong:
        raise MmalignError(f"{path}: the vector of '{wrong[0]}' holds NaN or infinity")
    said = f"{path.name} has {len(twice)} words twice, of which the first counts"
    return vectors, ((f"{said}: {', '.join(sorted(twice)[:5])}",) if twice else ()), digest


def _imported() -> tuple[Any, Any]:
    try:
        import smart_open
        from gensim.models import keyedvectors
    except ImportError as error:
        raise MmalignError(
            "modality 'word2vec': reading word vectors needs the extra 'text':"
            f" pip install 'mmalign[text]' ({error})"
        ) from None
    return smart_open, keyedvectors


def _told_apart(path: Path, head: bytes, format: Format) -> tuple[Format, int | None, int]:
    """The format, how many words the file says it has (None for GloVe), and the dimension."""
    if not head:
        raise MmalignError(f"{path}: is empty")
    if head[:1] == b"\x80":
        raise MmalignError(
            f"{path}: a pickle, as gensim's save() writes it, and pickles can run anything; where"
            f" you trust it, convert it once: gensim.models.KeyedVectors.load('{path.name}')"
            f".save_word2vec_format('{path.stem}.bin', binary=True)"
        )
    if head[:4] == b"PK\x03\x04":
        raise MmalignError(f"{path}: a ZIP archive; unpack it and name the file inside")
    first, _, rest = head.partition(b"\n")
    fields = first.split()
    if len(fields) == 2 and all(field.isdigit() for field in fields) and format != "glove":
        count, dim = int(fields[0]), int(fields[1])
        # What the file says: a packed one may say it in a few bytes.
        refuse_too_large(4 * count * dim, f"{path}: its numbers", "take a file of fewer words")
        if count < 1 or dim < 1:
            raise MmalignError(f"{path}: its first line says {count} words of {dim} numbers")
        second = rest.partition(b"\n")[0].split()
        as_text = len(second) > 1 and _numbers(second[1:]) is not None
        return (("text" if as_text else "binary") if format == "auto" else format), count, dim
    if format in ("text", "binary"):
        raise MmalignError(
            f'{path}: no first line of two counts, as format = "{format}" has it; files without'
            ' are format = "glove"'
        )
    if len(fields) < 2 or _numbers(fields[1:]) is None:
        raise MmalignError(
            f"{path}: no file of word vectors: its first line is neither two counts (word2vec) nor"
            " a word and numbers (GloVe)"
        )
    return "glove", None, len(fields) - 1


def _numbers(fields: Iterable[bytes]) -> list[float] | None:
    """The fields as numbers; None where one is none."""
    try:
        return [float(field) for field in fields]
    except ValueError:
        return None


def _text(
    path: Path, file: IO[bytes], gensim: Any, needed: Set[str], count: int | None, dim: int
) -> tuple[dict[str, Floats], set[str]]:
    """Hand gensim the lines of needed words alone: it takes its time over every number."""
    kept, twice = _lines(path, file, {word.encode() for word in needed}, count, dim)
    if not kept:
        return {}, twice
    with tempfile.TemporaryDirectory() as folder:
        few = Path(folder) / "needed.txt"
        few.write_bytes(b"\n".join([f"{len(kept)} {dim}".encode(), *kept.values(), b""]))
        with np.errstate(over="ignore"):  # beyond float32 it is infinite, which is refused
            vectors = gensim.KeyedVectors.load_word2vec_format(str(few), binary=False)
    return {word: vectors[word] for word in map(bytes.decode, kept)}, twice


def _lines(
    path: Path, file: IO[bytes], needed: Set[bytes], count: int | None, dim: int
) -> tuple[dict[bytes, bytes], set[str]]:
    """The checked lines of needed words, and the words that are there twice."""
    first = 1 if count is None else 2
    if count is not None:
        file.readline(HEAD)
    kept: dict[bytes, bytes] = {}
    twice: set[str] = set()
    number, line = first - 1, b""
    longest = HEAD + 64 * dim  # bytes of a line: a packed file may have one without end
    for number, line in enumerate(iter(partial(file.readline, longest), b""), start=first):
        if len(line) == longest:
            raise MmalignError(f"{path}: line {number} has no end within {longest:,} bytes")
        word = line.split(b" ", 1)[0]
        if word not in needed and number > first:
            continue
        fields = line.split()[1:]
        # Some words of GloVe have spaces inside: "at home" is not "at".
        if len(fields) > dim and number > first:
            continue
        if len(fields) != dim or _numbers(fields) is None:
            raise MmalignError(f"{path}: line {number} is not a word and {dim} numbers")
        if word in kept:
            twice.add(word.decode())
        elif word in needed:
            kept[word] = b" ".join([word, *fields])
    lines = number - first + 1
    if count is not None and lines != count:
        raise MmalignError(f"{path}: cut short? Its first line says {count} words; it has {lines}")
    if len(line.split()) < dim + 1:
        raise MmalignError(f"{path}: cut short? Its last line is not a word and {dim} numbers")
    return kept, twice


def _binary(
    path: Path, file: IO[bytes], needed: Set[str], count: int, dim: int
) -> tuple[dict[str, Floats], set[str]]:
    """The vectors of needed words: each a word, a space, and ``dim`` little-endian float32.

    Read here, for gensim looks for a word's end without bound, in a time that is quadratic.
    """
    kept: dict[str, Floats] = {}
    twice: set[str] = set()
    file.readline(HEAD)
    held, at, size = b"", 0, 4 * dim
    for number in range(1, count + 1):
        while (end := held.find(b" ", at, at + LONGEST)) < 0 or len(held) <= end + size:
            if end < 0 and len(held) - at >= LONGEST:
                raise MmalignError(f"{path}: no word ends within {LONGEST} bytes of word {number}")
            more = file.read(CHUNK + size)
            if not more:
                raise MmalignError(
                    f"{path}: cut short? Its first line says {count} words of {dim} numbers; it"
                    f" ends in word {number}"
                )
            held, at = held[at:] + more, 0
        word = held[at:end].lstrip(b"\n").decode(errors="replace")  # some end a vector with one
        if word in kept:
            twice.add(word)
        elif word in needed:
            kept[word] = np.frombuffer(held, "<f4", dim, end + 1).astype(np.float32)
        at = end + 1 + size
    return kept, twice
