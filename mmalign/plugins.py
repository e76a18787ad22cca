"""Discovery of plugins by entry point; the registry, provenance and load errors.

There is no list of default plugins and no global manager: first-party plugins come through
the same door as anyone's, and every caller asks for a registry of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import Distribution, EntryPoint, entry_points
from types import FunctionType, ModuleType

import pluggy

from mmalign import hooks
from mmalign.component import complete
from mmalign.contracts import KINDS, Kind
from mmalign.errors import MmalignError, did_you_mean

GROUP = "mmalign"
HOOKS: dict[str, Kind] = {
    "mmalign_datasets": "dataset",
    "mmalign_modalities": "modality",
    "mmalign_losses": "loss",
    "mmalign_heads": "head",
    "mmalign_methods": "method",
    "mmalign_backbones": "backbone",
}


@dataclass(frozen=True)
class Plugin:
    """Where a component comes from, and whether it could be loaded."""

    name: str
    version: str
    distribution: str
    module: str
    components: tuple[str, ...] = ()
    problem: str | None = None


@dataclass
class Registry:
    """Every component that the plugins offer, by kind and name, and where it comes from."""

    plugins: list[Plugin] = field(default_factory=list)
    components: dict[Kind, dict[str, type]] = field(
        default_factory=lambda: {kind: {} for kind in KINDS}
    )
    origins: dict[tuple[Kind, str], list[Plugin]] = field(default_factory=dict)
    manager: pluggy.PluginManager = field(default_factory=lambda: pluggy.PluginManager(GROUP))

    def find(self, kind: Kind, name: str) -> type:
        """The component of this kind and name.

        Raises MmalignError, with the nearest name, for one that is not there; where two
        distributions offer it, where a plugin that may hold it could not be loaded, and where
        one of its fields has a type that no value can be checked against.
        """
        origins = self.origins.get((kind, name), [])
        if len(origins) > 1:
            both = " and ".join(f"{p.distribution} (plugin '{p.name}')" for p in origins)
            raise MmalignError(
                f"{kind} '{name}' is offered by {both}; uninstall one of them, or name the"
                " plugins to use in MMALIGN_PLUGINS"
            )
        if name in self.components[kind]:
            return self._completed(kind, name)
        message = f"no {kind} '{name}'; {did_you_mean(name, self.components[kind])}"
        broken = [p for p in self.plugins if p.problem]
        if broken:
            said = "; ".join(f"'{p.name}' of {p.distribution}: {p.problem}" for p in broken)
            message += f" (not loaded: {said})"
        raise MmalignError(message)

    def _completed(self, kind: Kind, name: str) -> type:
        found = self.components[kind][name]
        try:
            complete(found)
        except Exception as error:  # a plugin is somebody else's program, as in _load
            said = " ".join(str(error).split())
            home = self.origins[kind, name][0].distribution
            raise MmalignError(
                f"{kind} '{name}' of {home} cannot be used: {type(error).__name__}: {said}"
            ) from None
        return found


def discover(entries: Iterable[EntryPoint] | None = None) -> Registry:
    """Load every plugin, in the order of their names, and ask each for its components.

    A plugin that fails in any way is kept with its problem and harms nothing else.
    ``MMALIGN_PLUGINS=a,b`` restricts to those; tests hand in ``entries``.
    """
    registry = Registry()
    registry.manager.add_hookspecs(hooks)
    found = list(entry_points(group=GROUP) if entries is None else entries)
    only = os.environ.get("MMALIGN_PLUGINS")
    wanted = None if only is None else {name.strip() for name in only.split(",") if name.strip()}
    by_name: dict[str, list[EntryPoint]] = {}
    for entry in _ordered(found):
        if wanted is None or entry.name in wanted:
            by_name.setdefault(entry.name, []).append(entry)
    unknown = sorted((wanted or set()) - set(by_name))
    if unknown:
        names = [entry.name for entry in found]
        raise MmalignError(
            f"MMALIGN_PLUGINS names '{unknown[0]}': no such plugin;"
            f" {did_you_mean(unknown[0], names)}"
        )
    for entries_of_name in by_name.values():
        _load(registry, entries_of_name)
    return registry


def _ordered(found: Iterable[EntryPoint]) -> list[EntryPoint]:
    """By name; one that is found twice counts once, but not one of two distributions.

    Entry points are equal without regard to their distribution, so they make no set.
    """
    apart = {(each.name, each.value, _plugin(each).distribution): each for each in found}
    return [apart[key] for key in sorted(apart)]


def _load(registry: Registry, entries: Sequence[EntryPoint]) -> None:
    plugin = _plugin(entries[0])
    if len(entries) > 1:
        both = " and ".join(_plugin(entry).distribution for entry in entries)
        problem = f"{both} both call a plugin '{plugin.name}'; uninstall one of them"
        registry.plugins.extend(replace(_plugin(entry), problem=problem) for entry in entries)
        return
    try:
        module = entries[0].load()
        registry.manager.register(module, name=plugin.name)
        registry.manager.check_pending()
        offered = _components(module, _implemented(registry.manager, module))
    # A plugin is somebody else's program: whatever it raises, SystemExit included, is its
    # problem and not that of a recipe which does without it.
    except (Exception, SystemExit) as error:
        if registry.manager.has_plugin(plugin.name):
            registry.manager.unregister(name=plugin.name)
        said = " ".join(str(error).split()) or "no message"
        registry.plugins.append(replace(plugin, problem=f"{type(error).__name__}: {said}"))
        return
    names = tuple(f"{kind}:{each.name}" for kind, each in offered)  # type: ignore[attr-defined]
    plugin = replace(plugin, components=names)
    registry.plugins.append(plugin)
    for kind, each in offered:
        name: str = each.name  # type: ignore[attr-defined]
        registry.components[kind].setdefault(name, each)
        registry.origins.setdefault((kind, name), []).append(plugin)


def _plugin(entry: EntryPoint) -> Plugin:
    name, version = _distribution(entry.dist)
    return Plugin(entry.name, version, name, entry.value)


# Each of the two reads the whole of a distribution's METADATA, its README too; the plugins of
# one distribution share the object.
@cache
def _distribution(dist: Distribution | None) -> tuple[str, str]:
    """Name and version."""
    return (dist.metadata["Name"], dist.version) if dist else ("unknown", "unknown")


def _implemented(manager: pluggy.PluginManager, module: ModuleType) -> set[str]:
    """The hooks that a plugin implements. Raises TypeError for a function that only looks so."""
    callers = manager.get_hookcallers(module) or []
    implemented = {caller.name for caller in callers}
    for name, value in vars(module).items():
        looks_so = name.startswith("mmalign_") and isinstance(value, FunctionType)
        if looks_so and name not in implemented:
            raise TypeError(f"{name} is no hook; decorate it with @mmalign.hookimpl")
    if not implemented:
        raise TypeError("it implements no hook; see docs/hooks.md for those there are")
    return implemented


def _components(module: ModuleType, implemented: set[str]) -> list[tuple[Kind, type]]:
    """What a plugin's hooks return. Raises TypeError for anything but classes with a name."""
    offered: list[tuple[Kind, type]] = []
    for hook, kind in HOOKS.items():
        if hook not in implemented:
            continue
        classes = getattr(module, hook)()
        if not isinstance(classes, (list, tuple)):
            raise TypeError(f"{hook} returned {type(classes).__name__}, not a list of classes")
        for each in classes:
            if not isinstance(each, type) or not isinstance(getattr(each, "name", None), str):
                raise TypeError(f"{hook} returned {each!r}, which is no class with a name")
            offered.append((kind, each))
    return offered
