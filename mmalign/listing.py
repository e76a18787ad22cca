"""What ``mmalign ls`` and ``mmalign plugins`` show."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from mmalign.component import describe
from mmalign.contracts import KINDS, Kind
from mmalign.entries import Plugin
from mmalign.errors import MmalignError, did_you_mean
from mmalign.namelist import ASIDE, NAME, TITLE, NameList
from mmalign.plugins import Registry

PLURAL: dict[Kind, str] = {
    "dataset": "datasets",
    "modality": "modalities",
    "loss": "losses",
    "head": "heads",
    "method": "methods",
    "backbone": "backbones",
}


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0].replace("``", "")


def recipes(shipped: Mapping[str, Path]) -> RenderableType:
    """The shipped recipes, each with what its opening comment says."""
    rows = []
    for name, path in shipped.items():
        comment = [
            line.removeprefix("#").strip()
            for line in path.read_text(encoding="utf-8").splitlines()
            if line.startswith("#")
        ]
        about = [line for line in comment if line and not line.startswith("mmalign run")]
        rows.append((name, about[0] if about else ""))
    return NameList("recipes", rows)


def components(registry: Registry, what: str | None) -> RenderableType:
    """Components by kind, those of one kind, or the fields of one component.

    Raises MmalignError, with the nearest name, for anything else.
    """
    offered = registry.components
    kinds = [kind for kind in KINDS if what in (None, kind, PLURAL[kind])]
    if kinds:
        longest = max(len(name) for kind in KINDS for name in offered[kind])
        return Group(
            *(
                NameList(
                    PLURAL[kind],
                    [
                        (name, _about(each, registry.origins[kind, name][0]))
                        for name, each in sorted(offered[kind].items())
                    ],
                    longest,
                )
                for kind in kinds
            )
        )
    found: list[tuple[Kind, type]] = [
        (kind, offered[kind][what]) for kind in KINDS if what in offered[kind]
    ]
    if not found:
        names = [*KINDS, *(name for of_kind in offered.values() for name in of_kind)]
        raise MmalignError(f"no component '{what}'; {did_you_mean(str(what), names)}")
    return Group(*(fields(kind, each) for kind, each in found))


def _about(each: type, plugin: Plugin) -> Text:
    """What a component is, and whose, where it is not mmalign's own."""
    about = Text(_first_line(each.__doc__))
    if plugin.distribution != "mmalign":
        about.append(f" ({plugin.distribution})", style=ASIDE)
    return about


def fields(kind: Kind, each: type) -> RenderableType:
    """One component: what it is, and its fields, each with type and default."""
    rows = []
    for field, type_, default, meaning in describe(each):
        said = f"{type_}, {default}" if default == "required" else f"{type_} = {default}"
        meaning = " ".join(meaning.replace("``", "").split())
        rows.append((field, Text("\n").join([Text(said, style=ASIDE), Text(meaning)])))
    name: str = each.name  # type: ignore[attr-defined]
    opening = Text.assemble((f"{kind} ", TITLE), (name, f"{TITLE} {NAME}"))
    return Group(opening, Text(_first_line(each.__doc__)), Text(), NameList("fields", rows))


def plugins(registry: Registry) -> RenderableType:
    """Every plugin by its distribution, with what it offers, or why it could not be loaded."""
    homes: dict[str, list[tuple[str, Text]]] = {}
    for plugin in registry.plugins:
        state = _offers(registry, plugin)
        if plugin.problem:
            state = Text(f"not loaded: {plugin.problem}", style="red")
        for note in plugin.notes:
            state.append(f"\n{note}", style="yellow")
        homes.setdefault(f"{plugin.distribution} {plugin.version}", []).append((plugin.name, state))
    longest = max((len(each.name) for each in registry.plugins), default=0)
    lines: list[RenderableType] = [NameList(home, rows, longest) for home, rows in homes.items()]
    for (kind, name), origins in registry.origins.items():
        if len(origins) > 1:
            both = " and ".join(plugin.distribution for plugin in origins)
            lines.append(Text(f"{kind} '{name}' is offered by {both}: uninstall one", style="red"))
    return Group(*lines)


def _offers(registry: Registry, plugin: Plugin) -> Text:
    """A plugin's components, and how a run tells it."""
    said = list(plugin.components)
    if plugin.name in registry.trackers.ready:
        asked = registry.trackers.ready[plugin.name] is not None
        said.append(f"tracker, by --track {plugin.name}" if asked else "tracker of every run")
    return Text(", ".join(said) or "hooks only")
