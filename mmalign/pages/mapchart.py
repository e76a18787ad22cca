"""The map of the latent space as a figure: a mark for each class and modality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from markupsafe import Markup

from mmalign.pages.marks import SHAPES, clean, drawing, el, finite, mark, number, text
from mmalign.pages.palette import SERIES
from mmalign.pages.scales import Scale

WIDTH, HEIGHT = 820, 660


@dataclass(frozen=True)
class Place:
    """One class as one modality sees it."""

    index: str
    name: str
    modality: str
    series: int
    unseen: bool
    x: float
    y: float
    rows: int

    @property
    def said(self) -> str:
        """What a reader is told of it."""
        side = "unseen" if self.unseen else "seen"
        return f"{self.name} ({side}): {self.modality}"


@dataclass(frozen=True)
class Legend:
    """One modality: its icon, its level, and how many classes it has on the map."""

    name: str
    series: int
    icon: Markup
    level: str
    count: int


def places_of(said: Mapping[str, Any], unseen: set[str] | None, most: int) -> list[Place]:
    """The places that a kept map says, those of unseen classes last, and so in front.

    Raises LookupError, TypeError or ValueError for a map of another form.
    """
    found = []
    names = {str(index): str(name) for index, name in said["classes"].items()}
    step = max(1, -(-sum(map(len, said["points"].values())) // max(1, most)))
    kept = set(list(names)[::step])
    for series, (modality, points) in enumerate(said["points"].items()):
        for index, x, y, rows in points:
            name = names[str(index)]
            if str(index) in kept:
                is_unseen = unseen is not None and name in unseen
                place = Place(
                    str(int(index)), clean(name), clean(modality), series, is_unseen,
                    finite(x), finite(y), int(rows),
                )  # fmt: skip
                found.append(place)
    return sorted(found, key=lambda place: place.unseen)


def legend(places: Sequence[Place], levels: Mapping[str, str]) -> list[Legend]:
    """The modalities in the order of the map."""
    by: dict[int, list[Place]] = {}
    for place in places:
        by.setdefault(place.series, []).append(place)
    made = []
    for series, those in sorted(by.items()):
        icon = el(
            "svg",
            mark(SHAPES[series % len(SHAPES)], 8, 8, 5.5, f"f{series % SERIES}"),
            viewBox="0 0 16 16",
            class_="icon",
            aria_hidden="true",
        )
        name = those[0].modality
        made.append(Legend(name, series, icon, clean(levels.get(name, "")), len(those)))
    return made


def latent_map(ident: str, places: Sequence[Place], explained: Sequence[float]) -> Markup:
    """The figure. A class's marks are joined, so that what belongs together is seen."""
    margin = 28
    scale_x, scale_y = _square(places, margin)
    at = {(p.index, p.series): (scale_x(p.x), scale_y(p.y)) for p in places}
    body: list[Markup] = [_frame(margin), *_links(places, at)]
    for p in places:
        x, y = at[p.index, p.series]
        kind = f"pt m{p.series} f{p.series % SERIES} k{p.series % SERIES} "
        kind += "unseen" if p.unseen else "seen"
        shape = SHAPES[p.series % len(SHAPES)]
        body.append(mark(shape, x, y, 4.5, kind, el("title", p.said), data_c=p.index))
    first, second = (100 * each for each in (*explained, 0.0, 0.0)[:2])
    body.append(
        text(WIDTH / 2, HEIGHT - 6, f"axis 1: {first:.0f} % of the variance", "tick", "middle")
    )
    y = (HEIGHT - 40) / 2
    turned = {"x": 14, "y": y, "text_anchor": "middle", "transform": f"rotate(-90 14 {y:g})"}
    body.append(el("text", f"axis 2: {second:.0f} %", class_="tick", **turned))
    modalities = list(dict.fromkeys(p.modality for p in places))
    count = len({p.index for p in places})
    described = (
        f"{count} classes, each as {', '.join(modalities)} put it; the two principal axes explain"
        f" {first + second:.0f} per cent of the variance. The table below has every place."
    )
    return drawing(ident, WIDTH, HEIGHT, "Map of the latent space", described, body, "map")


def _frame(margin: float) -> Markup:
    inside = {"width": WIDTH - margin - 4, "height": HEIGHT - margin - 8}
    return el("rect", x=margin, y=4, rx=6, class_="frame", **inside)


def _square(places: Sequence[Place], margin: float) -> tuple[Scale, Scale]:
    """Scales of both axes with one unit, so that distances are not bent."""
    xs, ys = [p.x for p in places], [p.y for p in places]
    wide, high = WIDTH - 2 * margin - 20, HEIGHT - 2 * margin - 30
    unit = max((max(xs) - min(xs)) / wide, (max(ys) - min(ys)) / high, 1e-12)
    x, y = (max(xs) + min(xs)) / 2, (max(ys) + min(ys)) / 2
    middle = margin + (WIDTH - margin - 4) / 2, 4 + (HEIGHT - margin - 8) / 2
    return (
        Scale(x - wide * unit / 2, x + wide * unit / 2, middle[0] - wide / 2, middle[0] + wide / 2),
        Scale(y - high * unit / 2, y + high * unit / 2, middle[1] + high / 2, middle[1] - high / 2),
    )


def _links(
    places: Sequence[Place], at: Mapping[tuple[str, int], tuple[float, float]]
) -> list[Markup]:
    """A faint line through the places of each class."""
    by: dict[str, list[Place]] = {}
    for p in places:
        by.setdefault(p.index, []).append(p)
    made = []
    for index, those in by.items():
        for one, other in pairwise(those):
            (x1, y1), (x2, y2) = at[index, one.series], at[index, other.series]
            way = " ".join(number(float(each)) for each in (x1, y1)) + "L"
            way += " ".join(number(float(each)) for each in (x2, y2))
            side = "unseen" if one.unseen else "seen"
            kind = f"link m{one.series} n{other.series} {side}"
            made.append(el("path", d=f"M{way}", class_=kind, data_c=index))
    return made
