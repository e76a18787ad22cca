"""Classes: how well each was recognised, and what it was taken for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from mmalign.pages.marks import clean, drawing, el, finite, line, text
from mmalign.pages.scales import Scale, label, steps

WIDTH, HEIGHT, BINS = 760, 240, 20


@dataclass(frozen=True)
class ClassRow:
    """One class; ``accuracy`` and ``std`` over runs in per cent, ``rows`` asked in each run."""

    name: str
    side: str
    accuracy: float
    std: float | None
    rows: float
    taken: str  # the class that it was most often taken for
    share: float  # of its rows, in per cent


@dataclass(frozen=True)
class Mistake:
    """A class taken for another: how often in all runs, and the share of its rows in per cent."""

    true: str
    said: str
    sides: str
    count: int
    share: float


def class_rows(
    runs: Sequence[Mapping[str, float]],
    confusion: Mapping[tuple[str, str], int],
    unseen: set[str] | None,
) -> list[ClassRow]:
    """Every class that was asked, the worst first."""
    totals: dict[str, int] = {}
    worst: dict[str, tuple[int, str]] = {}
    for (true, said), count in confusion.items():
        totals[true] = totals.get(true, 0) + count
        if true != said and count > worst.get(true, (0, ""))[0]:
            worst[true] = (count, said)
    made = []
    for name in dict.fromkeys(name for run in runs for name in run):
        values = [100 * finite(run[name]) for run in runs if name in run]
        count, taken = worst.get(name, (0, ""))
        rows = totals.get(name, 0)
        share = 100 * count / rows if rows else 0.0
        made.append(
            ClassRow(name, side(name, unseen), *_spread(values), rows / len(runs), taken, share)
        )
    return sorted(made, key=lambda row: (row.accuracy, row.name))


def _spread(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation; there are many classes, and ``statistics`` is slow."""
    mean = sum(values) / len(values)
    if len(values) < 2:
        return mean, None
    return mean, (sum((value - mean) ** 2 for value in values) / (len(values) - 1)) ** 0.5


def side(name: str, unseen: set[str] | None) -> str:
    """On which side a class is; nothing where that is not known."""
    return "" if unseen is None else ("unseen" if name in unseen else "seen")


def mistakes(
    confusion: Mapping[tuple[str, str], int], unseen: set[str] | None, most: int
) -> list[Mistake]:
    """The commonest mistakes, by the share of the true class's rows."""
    totals: dict[str, int] = {}
    for (true, _), count in confusion.items():
        totals[true] = totals.get(true, 0) + count
    wrong = [(pair, count) for pair, count in confusion.items() if pair[0] != pair[1]]
    wrong.sort(key=lambda each: (-each[1], -each[1] / totals[each[0][0]], each[0]))
    return [
        Mistake(
            clean(true), clean(said),
            f"{side(true, unseen)} → {side(said, unseen)}" if unseen is not None else "",
            count, 100 * count / totals[true],
        )
        for (true, said), count in wrong[:most]
    ]  # fmt: skip


@dataclass(frozen=True)
class Sides:
    """Of the rows of one side, in per cent: right, wrong on the same side, and on the other."""

    name: str
    other: str
    rows: int
    right: float
    same: float
    across: float

    @property
    def kept(self) -> float:
        """The share that was answered with a class of their own side, right or wrong."""
        return self.right + self.same


def sides(confusion: Mapping[tuple[str, str], int], unseen: set[str]) -> list[Sides]:
    """Seen and unseen rows, as far as they were asked."""
    made = []
    for name, other in (("seen", "unseen"), ("unseen", "seen")):
        right = same = across = 0
        for (true, said), count in confusion.items():
            if side(true, unseen) != name:
                continue
            if true == said:
                right += count
            elif side(said, unseen) == name:
                same += count
            else:
                across += count
        if rows := right + same + across:
            shares = (100 * each / rows for each in (right, same, across))
            made.append(Sides(name, other, rows, *shares))
    return made


def sides_figure(ident: str, both: Sequence[Sides]) -> Markup:
    """A bar for each side: how much of it was right, and where the rest went."""
    left, right, top, step = 104, WIDTH - 36, 8, 66
    across = Scale(0, 100, left, right)
    body: list[Markup] = []
    for place, each in enumerate(both):
        y = top + place * step
        body.append(text(left - 10, y + 31, each.name, "main", "end"))
        own, other = ("f0", "f1") if each.name == "seen" else ("f1", "f0")
        at = 0.0
        parts = (
            (each.right, own, "inside", "right"),
            (each.same, f"{own} band", "", f"another {each.name} class"),
            (each.across, other, "inside", f"{each.other} class"),
        )
        for share, kind, lettering, said in parts:
            named = el("title", f"{each.name} rows, {said}: {share:.1f} %")
            x, wide = across(at), across(at + share) - across(at)
            bar = {"x": x, "y": y, "width": max(0.0, wide - 1.5), "height": 44, "rx": 2}
            body.append(el("rect", named, class_=kind, **bar))
            if share >= 12:
                word = f"{share:.0f} % {said}" if share >= 45 else f"{share:.0f} %"
                body.append(text(x + wide / 2, y + 28, word, lettering, "middle"))
            at += share
    y = top + step * len(both)
    for tick in across.ticks():
        body.append(text(across(tick), y + 12, f"{label(tick)} %", "tick", "middle"))
    described = "; ".join(
        f"{e.name} rows: {e.right:.1f} per cent right, {e.same:.1f} another {e.name} class,"
        f" {e.across:.1f} {e.other}"
        for e in both
    )
    title = "Where the rows of seen and of unseen classes were put"
    return drawing(ident, WIDTH, y + 24, title, described, body, "sides")


def spread_figure(ident: str, rows: Sequence[ClassRow]) -> Markup:
    """How many classes have which accuracy, seen and unseen beside each other."""
    left, right, top, bottom = 52, WIDTH - 36, 12, HEIGHT - 56
    groups = [(name, [r for r in rows if r.side == name]) for name in ("seen", "unseen", "")]
    groups = [(name, those) for name, those in groups if those]
    counts = {}
    for name, those in groups:
        of = Counter(min(BINS - 1, int(row.accuracy * BINS / 100)) for row in those)
        counts[name] = [of[number] for number in range(BINS)]
    most = max(max(each) for each in counts.values())
    across, up = Scale(0, 100, left, right), Scale(0, max(1.0, float(most)), bottom, top)
    body: list[Markup] = []
    for tick in (t for t in steps(0, up.high, 4) if t == int(t)):
        body.append(line(left, up(tick), right, up(tick), "grid"))
        body.append(text(left - 8, up(tick) + 5, label(tick), "tick", "end"))
    for tick in across.ticks():
        body.append(text(across(tick), bottom + 20, f"{label(tick)} %", "tick", "middle"))
    wide = (right - left) / BINS
    for place, (name, each) in enumerate(counts.items()):
        share = (wide - 4) / len(counts)
        for number, count in enumerate(each):
            x = left + wide * number + 2 + place * share
            span = f"{100 * number // BINS} to {100 * (number + 1) // BINS} %"
            title = el("title", f"{count} {name} classes with {span}")
            kind = "f1" if name == "unseen" else "f0"
            if count:
                bar = {"x": x, "y": up(count), "width": share - 0.5, "height": bottom - up(count)}
                body.append(el("rect", title, class_=kind, **bar))
        if name:
            x = left + 150 * place
            kind = "f1" if name == "unseen" else "f0"
            body.append(el("rect", x=x, y=HEIGHT - 18, width=14, height=14, class_=kind))
            said = f"{name} ({len(dict(groups)[name])})"
            body.append(text(x + 20, HEIGHT - 6, said, "key"))
    body.append(line(left, bottom, right, bottom, "axis"))
    described = "; ".join(
        f"{name or 'all'}: {len(those)} classes, "
        f"median {sorted(r.accuracy for r in those)[len(those) // 2]:.0f} per cent"
        for name, those in groups
    )
    return drawing(ident, WIDTH, HEIGHT, "Classes by accuracy", described, body, "spread")
