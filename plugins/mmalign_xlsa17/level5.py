"""Reads MATLAB files (level 5, '-v6' and '-v7'): numbers, texts and cells of texts.

Every length in the file is checked against what is there before it is believed, since readers
in C crash on files with altered types (scipy/scipy#25349). Of compressed variables only those
that are wanted are unpacked, up to the size that they say, which must fit into memory. The
format is that of "MAT-File Format", The MathWorks, R2024a, chapter 1.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Container, Iterator
from dataclasses import dataclass
from math import prod
from typing import IO, TypeAlias

import numpy as np

from mmalign import refuse_too_large

MATRIX, PACKED = 14, 15
NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8",
           13: "u8"}  # fmt: skip
ENCODINGS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
CELL, STRUCT, OBJECT, CHAR, SPARSE = 1, 2, 3, 4, 5
KINDS = {CELL: "a cell array", STRUCT: "a struct", OBJECT: "an object", SPARSE: "a sparse matrix"}
COMPLEX = 0x0800
HEAD = 2**16  # bytes in which a variable's flags, shape and name must lie
BLOCK = 2**20  # bytes unpacked at once
MOST_AXES = 32


class DamagedError(Exception):
    """What is no MATLAB file, or not a whole one."""


class OtherVersionError(Exception):
    """A MATLAB file of a version that is not read."""


@dataclass(frozen=True)
class Other:
    """Something that is not read; ``kind`` says what it is."""

    kind: str


Rows: TypeAlias = tuple[str, ...]  # of a character array
Value: TypeAlias = np.ndarray | Rows | list[Rows | Other] | Other


@dataclass(frozen=True)
class Head:
    """How a variable opens: the class of its numbers, flags, shape and name."""

    kind: int
    flags: int
    shape: tuple[int, ...]
    name: str


class Cursor:
    """Elements one after another; raises DamagedError for one that reaches beyond the end."""

    def __init__(self, data: memoryview, order: str) -> None:
        self.data, self.order, self.at = data, order, 0

    def element(self) -> tuple[int, memoryview]:
        """The next one's type and bytes."""
        if len(self.data) - self.at < 8:
            raise DamagedError("a variable ends too soon")
        kind, size = struct.unpack_from(f"{self.order}II", self.data, self.at)
        start, room = self.at + 8, size + -size % 8
        if kind >> 16:  # up to four bytes stand in the tag itself
            kind, size, start, room = kind & 0xFFFF, kind >> 16, self.at + 4, 4
            if size > 4:
                raise DamagedError(f"a short element of {size} bytes")
        if size > len(self.data) - start:
            raise DamagedError(f"{size} bytes are announced, and {len(self.data) - start} there")
        self.at = min(start + room, len(self.data))
        return kind, self.data[start : start + size]

    def numbers(self) -> np.ndarray:
        """The next element as numbers, along one axis."""
        kind, data = self.element()
        if kind not in NUMBERS:
            raise DamagedError(f"numbers of the unknown type {kind}")
        dtype = np.dtype(self.order + NUMBERS[kind])
        if len(data) % dtype.itemsize:
            raise DamagedError(f"{len(data)} bytes are no numbers of {dtype.itemsize}")
        return np.frombuffer(data, dtype)


def variables(file: IO[bytes], wanted: Container[str]) -> Iterator[tuple[str, Value | None]]:
    """Every variable's name, and what it holds where it is wanted.

    Raises DamagedError, OtherVersionError, and MmalignError where memory is too small.
    """
    file.seek(0, os.SEEK_END)
    size = file.tell()
    file.seek(0)
    order = _order(file.read(128))
    while left := size - file.tell():
        if left < 8:
            raise DamagedError("it ends within a variable")
        kind, length = struct.unpack(f"{order}II", file.read(8))
        start = file.tell()
        if length > size - start:
            raise DamagedError(f"cut short: {length} bytes are announced, {size - start} there")
        if kind not in (MATRIX, PACKED):
            raise DamagedError(f"a variable of the unknown type {kind}")
        read = _whole if kind == MATRIX else _unpacked
        head = _head(Cursor(memoryview(read(file, length, HEAD, order)), order))
        if head.name:
            value = None
            if head.name in wanted:
                file.seek(start)
                value = _value(Cursor(memoryview(read(file, length, None, order)), order))
            yield head.name, value
        file.seek(start + length)


def _order(opening: bytes) -> str:
    """The order of bytes, "<" or ">"."""
    order = {b"IM": "<", b"MI": ">"}.get(opening[126:128])
    version = struct.unpack_from(f"{order}H", opening, 124)[0] >> 8 if order else 0
    if version == 2 or opening.startswith(b"\x89HDF"):
        raise OtherVersionError("a MATLAB v7.3 (HDF5) file")
    if version == 1:
        return str(order)
    # Version 4 opens with a type below 5000, hence with a zero; texts do not.
    if len(opening) >= 20 and opening[:4].count(0) >= 2 and sorted(opening[:4])[-1] < 50:
        raise OtherVersionError("a MATLAB v4 file")
    raise DamagedError("it does not open as one")


def _whole(file: IO[bytes], length: int, most: int | None, order: str) -> bytes:
    """A variable as it lies in the file, or its first bytes."""
    if most is None:
        refuse_too_large(length, "a variable of this size", "take a file of fewer numbers")
    return file.read(length if most is None else min(length, most))


def _unpacked(file: IO[bytes], length: int, most: int | None, order: str) -> bytes | bytearray:
    """A compressed variable without its tag, or its first bytes."""
    unpacker, made, left = zlib.decompressobj(), bytearray(), length
    said: int | None = None  # how long the variable is, and its tag
    while not unpacker.eof and (said is None or len(made) <= said):
        given = unpacker.unconsumed_tail
        if not given:
            given = file.read(min(left, BLOCK))
            left -= len(given)
            if not given:
                raise DamagedError("a compressed variable is cut short")
        # One byte more than announced, so that what is too long is seen.
        made += unpacker.decompress(given, BLOCK if said is None else min(BLOCK, said + 1))
        if said is None and len(made) >= 8:
            kind, size = struct.unpack_from(f"{order}II", made)
            if kind != MATRIX:
                raise DamagedError(f"a compressed variable of the unknown type {kind}")
            said = size + 8
            if most is None:
                refuse_too_large(size, "an unpacked variable", "take a file of fewer numbers")
        if most is not None and len(made) >= most:
            return made[8:]
    if said is None or len(made) != said:
        raise DamagedError("a compressed variable is longer or shorter than it says")
    return made[8:]


def _head(cursor: Cursor) -> Head:
    flags = cursor.numbers()
    if flags.size != 2 or flags.dtype.kind != "u":
        raise DamagedError("a variable has no flags")
    shape = cursor.numbers()
    if not 2 <= shape.size <= MOST_AXES or shape.dtype.kind != "i" or (shape < 0).any():
        raise DamagedError("a variable has no shape")
    _, name = cursor.element()
    said = int(flags[0])
    sizes = tuple(map(int, shape))
    return Head(said & 0xFF, said & 0xFF00, sizes, bytes(name).decode("latin-1"))


def _value(cursor: Cursor) -> Value:
    """What a whole variable holds."""
    head = _head(cursor)
    if head.kind == CELL:
        return _cells(cursor, prod(head.shape))
    if head.kind == CHAR:
        return _rows(cursor, head.shape)
    if head.kind in KINDS:
        return Other(KINDS[head.kind])
    if head.flags & COMPLEX:
        return Other("of complex numbers")
    numbers = cursor.numbers()
    if numbers.size != prod(head.shape):
        raise DamagedError(f"'{head.name}' has {numbers.size} numbers for {head.shape}")
    return numbers.reshape(head.shape, order="F")


def _cells(cursor: Cursor, count: int) -> list[Rows | Other]:
    """Texts in cells; nothing is read that lies deeper."""
    found: list[Rows | Other] = []
    while len(found) < count:
        kind, data = cursor.element()
        if kind != MATRIX:
            raise DamagedError(f"a cell of the unknown type {kind}")
        inner = Cursor(data, cursor.order)
        head = _head(inner) if len(data) else None
        text = head is not None and head.kind == CHAR
        found.append(_rows(inner, head.shape) if text and head else Other("no text"))
    return found


def _rows(cursor: Cursor, shape: tuple[int, ...]) -> Rows:
    """The rows of a character array, which lies column by column."""
    kind, data = cursor.element()
    if kind not in ENCODINGS:
        raise DamagedError(f"a text of the unknown type {kind}")
    wide = ENCODINGS[kind] in ("utf-16", "utf-32")
    ending = {"<": "-le", ">": "-be"}[cursor.order] if wide else ""
    try:
        text = bytes(data).decode(ENCODINGS[kind] + ending)
    except UnicodeDecodeError as error:
        raise DamagedError(f"a text that is none: {error.reason}") from None
    if len(text) != prod(shape):
        raise DamagedError(f"a text of {len(text)} letters for {shape}")
    if not text:
        return ()
    return tuple(text[row :: shape[0]].rstrip("\0") for row in range(shape[0]))
