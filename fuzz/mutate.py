"""Damages bytes as a fuzzer does, where no fuzzer is installed, and for tests."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1)


def flip(content: bytearray, rng: random.Random) -> None:
    """One bit."""
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def change(content: bytearray, rng: random.Random) -> None:
    """One byte."""
    content[rng.randrange(len(content))] = rng.randrange(256)


def cut(content: bytearray, rng: random.Random) -> None:
    """The end."""
    del content[rng.randrange(len(content)) :]


def leave_out(content: bytearray, rng: random.Random) -> None:
    """A stretch."""
    start = rng.randrange(len(content))
    del content[start : start + rng.randint(1, 16)]


def repeat(content: bytearray, rng: random.Random) -> None:
    """A stretch, once more or many times."""
    start = rng.randrange(len(content))
    piece = content[start : start + rng.randint(1, 32)]
    content[start:start] = piece * rng.choice((1, 1, 2, 50))


def number(content: bytearray, rng: random.Random) -> None:
    """A number at the edge of what a field holds, in either byte order."""
    width = rng.choice((1, 2, 4, 8))
    value = (rng.choice(NUMBERS) % 2 ** (8 * width)).to_bytes(width, rng.choice(("little", "big")))
    start = rng.randrange(len(content))
    content[start : start + width] = value


def digits(content: bytearray, rng: random.Random) -> None:
    """A number in a text: another one, often a huge one."""
    places = [place for place, byte in enumerate(content) if 48 <= byte < 58]
    if places:
        place = rng.choice(places)
        new = rng.choice((b"0", b"-1", b"999999999999", b"1e999", b"nan", b"1" * 40))
        content[place : place + 1] = new


def splice(content: bytearray, rng: random.Random) -> None:
    """One part over another."""
    start, to = rng.randrange(len(content)), rng.randrange(len(content))
    size = rng.randint(1, 64)
    content[to : to + size] = content[start : start + size]


WAYS: Sequence[Callable[[bytearray, random.Random], None]] = (
    *(flip, change, cut, leave_out, repeat, number, number, digits, splice),
)


def mutated(content: bytes, rng: random.Random, near: int | None = None) -> bytes:
    """The content with one to four damages, of which half lie in the first ``near`` bytes."""
    made = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        if not made:
            break
        if near is not None and near < len(made) and rng.random() < 0.5:
            head = made[:near]
            rng.choice(WAYS)(head, rng)
            made[:near] = head
        else:
            rng.choice(WAYS)(made, rng)
    return bytes(made)
