"""Scales of a figure: numbers to places, and the numbers that an axis names."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """From ``low`` to ``high``, which are not equal, to places from ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The place of a value; one outside is put at the nearer end."""
        low, high = self.low, self.high
        value = min(max(value, low), high)
        if self.log:
            low, high, value = math.log10(low), math.log10(high), math.log10(value)
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def ticks(self, count: int = 5) -> list[float]:
        """About so many round numbers within."""
        if not self.log:
            return steps(self.low, self.high, count)
        tens = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        apart = max(1, len(tens) // count)
        decades = [10.0**each for each in list(tens)[::apart]]
        ones = [t for t in decades if self.low <= t <= self.high]
        if len(ones) >= 3:
            return ones
        every = [10.0**each * by for each in tens for by in (1, 2, 5)]
        return [t for t in every if self.low <= t <= self.high][: count + 2]


def steps(low: float, high: float, count: int) -> list[float]:
    """Round numbers from ``low`` to ``high``, about so many: steps of 1, 2 or 5 times a ten."""
    rough = (high - low) / max(1, count)
    if not rough > 0 or not math.isfinite(rough):
        return [low]
    ten = 10.0 ** math.floor(math.log10(rough))
    step = ten * next(by for by in (1, 2, 5, 10) if by * ten >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(each * step, 12) for each in range(first, last + 1)][:50]


def label(value: float) -> str:
    """A tick in few letters."""
    if value and (abs(value) >= 1e5 or abs(value) < 1e-3):
        return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
    return f"{value:g}"


def around(values: Iterable[float], start: float, end: float, log: bool = False) -> Scale:
    """A linear scale that holds all finite values, or a logarithmic one where they ask for it.

    They do where all are positive and the largest is a hundred times the smallest.
    """
    there = [value for value in values if math.isfinite(value) and abs(value) < 1e300]
    low, high = (min(there), max(there)) if there else (0.0, 1.0)
    if log and low > 0 and high / low >= 100:
        return Scale(low / 1.15, high * 1.15, start, end, log=True)
    if not high - low > 1e-9 * max(abs(low), abs(high), 1e-12):
        half = max(abs(low) / 2, 0.5)
        low, high = (0.0 if low >= 0 and low < half else low - half), high + half
    room = 0.05 * (high - low)
    return Scale(low - room if low < 0 or low - room > 0 else 0.0, high + room, start, end)


def per_cent(values: Iterable[float], start: float, end: float) -> Scale:
    """A scale of accuracies in per cent, to whole tens, and no less than twenty of them."""
    there = [value for value in values if math.isfinite(value)]
    low, high = (min(there), max(there)) if there else (0.0, 100.0)
    low, high = max(0.0, 10 * ((low - 1) // 10)), min(100.0, 10 * -((-high - 1) // 10))
    while high - low < 20:
        low, high = max(0.0, low - 10), min(100.0, high + 10)
    return Scale(low, high, start, end)
