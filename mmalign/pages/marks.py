"""Marks of a figure and pieces of a page: elements, escaped whatever stands in them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from markupsafe import Markup, escape

# Control characters, which no XML may hold, halves of surrogate pairs, and those that turn the
# direction of what follows.
UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
LONGEST = 80  # letters of a name


def clean(said: Any, most: int = LONGEST) -> str:
    """Somebody's text as a page can hold it, at most so many letters of it."""
    text = UNPRINTABLE.sub(" ", str(said)[: 2 * most + 2])
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def breakable(said: Any) -> Markup:
    """A name that a narrow column breaks after an underscore, sooner than within a word."""
    return Markup(str(escape(clean(said))).replace("_", "_<wbr>"))


def lines(said: Any, most: int) -> str:
    """The same of several lines."""
    return "\n".join(clean(line, most) for line in str(said)[:most].split("\n"))


def finite(value: Any) -> float:
    """A number that a scale can place. Raises ValueError for NaN and infinity."""
    found = float(value)
    if not math.isfinite(found):
        raise ValueError(f"{found} is no number to be shown")
    return found


def signed(value: float) -> str:
    """A difference with its sign, a true minus."""
    return f"{value:+.1f}".replace("-", "\N{MINUS SIGN}")


def number(value: Any) -> str:
    """A number as an attribute: no digits that nobody sees."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def el(tag: str, *inside: Any, **attributes: Any) -> Markup:
    """An element: ``class_`` is the attribute class, ``stroke_width`` is stroke-width.

    What is None is left out. Text and attributes are escaped, unless they are markup already.
    """
    said = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(number(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    content = "".join(escape(each) for each in inside)
    return Markup(f"<{tag}{said}>{content}</{tag}>" if content else f"<{tag}{said}/>")


def text(x: float, y: float, said: Any, class_: str = "", anchor: str | None = None) -> Markup:
    """Text in a figure, by its baseline."""
    return el("text", clean(said), x=x, y=y, class_=class_ or None, text_anchor=anchor)


def line(x1: float, y1: float, x2: float, y2: float, class_: str, **more: Any) -> Markup:
    """A straight line."""
    return el("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_, **more)


def path(points: Iterable[tuple[float, float]], class_: str, title: str = "") -> Markup:
    """A line through points."""
    way = "L".join(f"{number(float(x))} {number(float(y))}" for x, y in points)
    return el("path", *([el("title", title)] if title else []), d=f"M{way}", class_=class_)


# By series, so that no two are told apart by colour alone: (name, drawn in a square of 2 by 2).
SHAPES = ("circle", "square", "triangle", "diamond", "plus", "cross", "star")
OUTLINES = {
    "square": "M-.85-.85h1.7v1.7h-1.7z",
    "triangle": "M0-1.1 1.05.8h-2.1z",
    "diamond": "M0-1.2 1.2 0 0 1.2-1.2 0z",
    "plus": "M-.35-1.1h.7v.75h.75v.7h-.75v.75h-.7v-.75h-.75v-.7h.75z",
    "cross": "M-1-.6-.6-1 0-.4.6-1 1-.6.4 0 1 .6.6 1 0 .4-.6 1-1 .6-.4 0z",
    "star": "M0-1.3.35-.4 1.25-.4.55.2.8 1.1 0 .55-.8 1.1-.55.2-1.25-.4-.35-.4z",
}


def mark(
    shape: str, x: float, y: float, size: float, class_: str, *inside: Any, **more: Any
) -> Markup:
    """A point of this shape, ``size`` from its middle to its edge."""
    if shape == "circle":
        return el("circle", *inside, cx=x, cy=y, r=size, class_=class_, **more)
    outline = re.sub(
        r"-?\d*\.?\d+", lambda found: " " + number(float(found[0]) * size), OUTLINES[shape]
    )
    at = f"translate({number(float(x))} {number(float(y))})"
    return el("path", *inside, d=outline, transform=at, class_=class_, **more)


def drawing(
    ident: str, width: float, height: float, title: str, description: str, body: Sequence[Markup],
    class_: str = "",
) -> Markup:  # fmt: skip
    """A figure that says what it shows to who cannot see it."""
    return el(
        "svg",
        el("title", clean(title, 200), id=f"{ident}-title"),
        el("desc", clean(description, 600), id=f"{ident}-desc"),
        *body,
        xmlns="http://www.w3.org/2000/svg",
        id=ident,
        viewBox=f"0 0 {number(width)} {number(height)}",
        role="img",
        aria_labelledby=f"{ident}-title {ident}-desc",
        class_=f"w{round(width)} {class_}".strip(),
    )
