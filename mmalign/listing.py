"""The tables of ``mmalign ls`` and ``mmalign plugins``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mmalign.component import describe
from mmalign.contracts import KINDS, Kind
from mmalign.errors import MmalignError, did_you_mean
from mmalign.plugins import Registry


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]


def recipes(shipped: Mapping[str, Path]) -> RenderableType:
    """The shipped recipes, each with what its opening comment says."""
    table = _table("recipe", "")
    for name, path in shipped.items():
        comment = [
            line.removeprefix("#").strip()
            for line in path.read_text(encoding="utf-8").splitlines()
            if line.startswith("#")
        ]
        about = [line for line in comment if line and not line.startswith("mmalign run")]
        table.add_row(name, about[0] if about else "")
    return Group(table, Text())


def components(registry: Registry, what: str | None) -> RenderableType:
    """Components by kind, those of one kind, or the fields of one component.

    Raises MmalignError, with the nearest name, for anything else.
    """
    offered = registry.components
    if what is None or what in KINDS:
        table = _table("kind", "name", "", "from")
        for kind in KINDS:
            if what in (None, kind):
                for name, each in sorted(offered[kind].items()):
                    home = registry.origins[kind, name][0].distribution
                    table.add_row(kind, name, _first_line(each.__doc__), home)
        return table
    found: list[tuple[Kind, type]] = [
        (kind, offered[kind][what]) for kind in KINDS if what in offered[kind]
    ]
    if not found:
        names = [*KINDS, *(name for of_kind in offered.values() for name in of_kind)]
        raise MmalignError(f"no component '{what}'; {did_you_mean(what, names)}")
    return Group(*(fields(kind, each) for kind, each in found))


def fields(kind: Kind, each: type) -> RenderableType:
    """One component: what it is, and its fields."""
    table = _table("field", "type", "default", "")
    for row in describe(each):
        table.add_row(*map(Text, row))
    name: str = each.name  # type: ignore[attr-defined]
    return Group(
        Text(f"{kind} {name}", style="bold"), Text(_first_line(each.__doc__)), Text(), table, Text()
    )


def plugins(registry: Registry) -> RenderableType:
    """Every plugin found, with what it offers, or why it could not be loaded."""
    table = _table("plugin", "version", "distribution", "state")
    for plugin in registry.plugins:
        state = Text(", ".join(plugin.components) or "ready: hooks only")
        if plugin.problem:
            state = Text(f"not loaded: {plugin.problem}", style="red")
        for note in plugin.notes:
            state.append(f"\n{note}", style="yellow")
        table.add_row(plugin.name, plugin.version, plugin.distribution, state)
    lines: list[RenderableType] = [table]
    for (kind, name), origins in registry.origins.items():
        if len(origins) > 1:
            both = " and ".join(plugin.distribution for plugin in origins)
            lines.append(Text(f"{kind} '{name}' is offered by {both}: uninstall one", style="red"))
    return Group(*lines)
