"""What a .parquet file claims to hold, read from its footer without pyarrow.

pyarrow makes an object of each column before it tells its size, and where a damaged footer
contradicts itself (size statistics that fit no page) that ends the process: the C++ exception
passes Python by. The footer is a struct in Thrift's compact protocol
(https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md), the fields are
those of parquet.thrift (https://github.com/apache/parquet-format).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

DEEPEST = 32  # structs and lists within each other; parquet's own go to about eight
TRUE, FALSE, BYTE, I16, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = (
    1,
    2,
    3,
    4,
    6,
    7,
    8,
    9,
    10,
    11,
    12,
)
FIXED = {TRUE: 1, FALSE: 1, BYTE: 1, DOUBLE: 8, 13: 16}  # bytes, within a list; 13 is a UUID

# Which fields are kept, by their numbers in parquet.thrift; None keeps a number as it is.
Wanted: TypeAlias = "Mapping[int, Wanted | None]"
ROW_GROUPS, COLUMNS, ROWS, META, VALUES, SIZE = 4, 1, 3, 3, 5, 6
CLAIMS: Wanted = {ROW_GROUPS: {COLUMNS: {META: {VALUES: None, SIZE: None}}, ROWS: None}}


@dataclass(frozen=True)
class Claim:
    """What a row group is said to hold."""

    rows: int
    values: tuple[int, ...]  # of each column
    bytes: tuple[int, ...]  # of each column's pages, not compressed


def claims(path: Path) -> list[Claim]:
    """What each row group of a file is said to hold; ValueError where the footer is damaged."""
    try:
        about, _ = Compact(footer(path)).struct(0, CLAIMS)
        return [_claim(group) for group in about.get(ROW_GROUPS, [])]
    except (IndexError, KeyError, TypeError):
        raise ValueError("its footer is damaged") from None


def _claim(group: dict[int, Any]) -> Claim:
    columns = [column[META] for column in group[COLUMNS]]
    return Claim(
        max(0, group[ROWS]),
        tuple(max(0, each[VALUES]) for each in columns),
        tuple(max(0, each[SIZE]) for each in columns),
    )


def footer(path: Path) -> bytes:
    """The footer's bytes: the file ends with them, their length in 4 bytes, and "PAR1"."""
    with path.open("rb") as file:
        whole = file.seek(0, os.SEEK_END)
        file.seek(max(0, whole - 8))
        length = int.from_bytes(file.read(4), "little")
        if file.read(4) != b"PAR1" or length > whole - 8:
            raise ValueError("its footer is damaged")
        file.seek(whole - 8 - length)
        return file.read(length)


class Compact:
    """Walks over bytes in Thrift's compact protocol; what is cut off raises IndexError."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def varint(self, at: int) -> tuple[int, int]:
        """An unsigned number, seven bits a byte, and where it ends."""
        value = shift = 0
        while True:
            byte = self.content[at]
            at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value, at
            shift += 7
            if shift > 63:
                raise ValueError("its footer is damaged")

    def number(self, at: int) -> tuple[int, int]:
        """A signed number (zigzag), and where it ends."""
        value, at = self.varint(at)
        return (value >> 1) ^ -(value & 1), at

    def struct(self, at: int, wanted: Wanted, depth: int = 0) -> tuple[dict[int, Any], int]:
        """The wanted fields by number, and where the struct ends."""
        found: dict[int, Any] = {}
        field = 0
        while head := self.content[at]:
            at += 1
            kind, step = head & 15, head >> 4
            if step:
                field += step
            else:
                field, at = self.number(at)
            if field in wanted and kind not in (TRUE, FALSE):
                found[field], at = self.value(at, kind, wanted[field], depth)
            elif kind not in (TRUE, FALSE):  # the head is all of a truth value
                at = self.skip(at, kind, depth)
        return found, at + 1

    def value(self, at: int, kind: int, wanted: Wanted | None, depth: int) -> tuple[Any, int]:
        """A wanted value, and where it ends. TypeError where it is not of the kind wanted."""
        if wanted is None and I16 <= kind <= I64:
            return self.number(at)
        if wanted is not None and kind == STRUCT:
            return self.struct(at, wanted, _deeper(depth))
        if wanted is not None and kind == LIST:
            size, kind, at = self.list(at)
            if kind == STRUCT:
                each: list[dict[int, Any]] = []
                for _ in range(size):
                    one, at = self.struct(at, wanted, _deeper(depth))
                    each.append(one)
                return each, at
        raise TypeError

    def list(self, at: int) -> tuple[int, int, int]:
        """A list's length, the kind of its elements, and where they begin."""
        head = self.content[at]
        size, at = (head >> 4, at + 1) if head >> 4 < 15 else self.varint(at + 1)
        return self.plausible(size, at), head & 15, at

    def plausible(self, size: int, at: int) -> int:
        """A number of elements, each of which takes a byte at least."""
        if size > len(self.content) - at:
            raise IndexError
        return size

    def skip(self, at: int, kind: int, depth: int) -> int:
        """Where a value ends."""
        if kind in FIXED:
            return at + FIXED[kind]
        if I16 <= kind <= I64:
            return self.varint(at)[1]
        if kind == BINARY:
            length, at = self.varint(at)
            return at + length
        depth = _deeper(depth)
        if kind == STRUCT:
            return self.struct(at, {}, depth)[1]
        if kind in (LIST, SET):
            size, kind, at = self.list(at)
            if kind in FIXED:
                return at + size * FIXED[kind]
            for _ in range(size):
                at = self.skip(at, kind, depth)
            return at
        if kind == MAP:
            return self._skip_map(at, depth)
        raise ValueError("its footer is damaged")

    def _skip_map(self, at: int, depth: int) -> int:
        size, at = self.varint(at)
        if size:
            kinds, at = self.content[at], at + 1
            for _ in range(self.plausible(size, at)):
                at = self.skip(self.skip(at, kinds >> 4, depth), kinds & 15, depth)
        return at


def _deeper(depth: int) -> int:
    if depth >= DEEPEST:
        raise ValueError("its footer is damaged")
    return depth + 1
