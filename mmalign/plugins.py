"""Discovery of plugins by entry point; the registry, provenance and load errors.

There is no list of default plugins and no global manager: first-party plugins come through
the same door as anyone's, and every caller asks for a registry of its own.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint
from types import FunctionType, ModuleType

import pluggy

from mmalign import hooks
from mmalign.component import complete
from mmalign.contracts import KINDS, Kind
from mmalign.entries import GROUP, Plugin, plugin_of, wanted
from mmalign.errors import MmalignError, did_you_mean
from mmalign.guard import Hung, gathered, guarded, most_seconds, name_home, name_package
from mmalign.trackers import Trackers

HOOKS: dict[str, Kind] = {
    "mmalign_datasets": "dataset",
    "mmalign_modalities": "modality",
    "mmalign_losses": "loss",
    "mmalign_heads": "head",
    "mmalign_methods": "method",
    "mmalign_backbones": "backbone",
}
MOST = 120.0  # seconds that a plugin may take to be imported


@dataclass
class Registry:
    """Every component that the plugins offer, by kind and name, and where it comes from."""

    plugins: list[Plugin] = field(default_factory=list)
    components: dict[Kind, dict[str, type]] = field(
        default_factory=lambda: {kind: {} for kind in KINDS}
    )
    origins: dict[tuple[Kind, str], list[Plugin]] = field(default_factory=dict)
    manager: pluggy.PluginManager = field(default_factory=lambda: pluggy.PluginManager(GROUP))
    trackers: Trackers = field(default_factory=Trackers)

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
    ``MMALIGN_PLUGINS=a,b`` restricts to those, ``MMALIGN_PLUGINS=`` to mmalign's own; tests hand in
    ``entries``. Raises MmalignError for a name that is none.
    """
    registry = Registry()
    registry.manager.add_hookspecs(hooks)
    with _uncollected():
        for entries_of_name in wanted(entries).values():
            _load(registry, entries_of_name)
    return registry


@contextmanager
def _uncollected() -> Iterator[None]:
    """No garbage collection meanwhile: imports make much and drop little (20 ms of mmalign ls)."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _load(registry: Registry, entries: Sequence[EntryPoint]) -> None:
    plugin = plugin_of(entries[0])
    if len(entries) > 1:
        both = " and ".join(plugin_of(entry).distribution for entry in entries)
        problem = f"{both} both call a plugin '{plugin.name}'; uninstall one of them"
        registry.plugins.extend(replace(plugin_of(entry), problem=problem) for entry in entries)
        return
    most, offered = most_seconds(MOST), []
    with gathered() as notes:
        try:
            with guarded(plugin.home, "while it was imported", most):
                offered = _asked(registry, plugin, entries[0])
        # A plugin is somebody else's program: whatever it raises, SystemExit included, is its
        # problem and not that of a recipe which does without it.
        except (Exception, SystemExit, Hung) as error:
            if registry.manager.has_plugin(plugin.name):
                registry.manager.unregister(name=plugin.name)
            said = " ".join(str(error).split()) or "no message"
            plugin = replace(plugin, problem=f"{type(error).__name__}: {said}")
    names = tuple(f"{kind}:{each.name}" for kind, each in offered)  # type: ignore[attr-defined]
    plugin = replace(plugin, components=names, notes=tuple(notes))
    registry.plugins.append(plugin)
    for kind, each in offered:
        name: str = each.name  # type: ignore[attr-defined]
        name_home(each, f"{kind} '{name}' ({plugin.home})")
        name_package(each.__module__, plugin.home)
        registry.components[kind].setdefault(name, each)
        registry.origins.setdefault((kind, name), []).append(plugin)


def _asked(registry: Registry, plugin: Plugin, entry: EntryPoint) -> list[tuple[Kind, type]]:
    """Import a plugin, register its hooks, and ask for its components; its code runs here."""
    module, manager = entry.load(), registry.manager
    manager.register(module, name=plugin.name)
    manager.check_pending()
    callers = sorted(manager.get_hookcallers(module) or [], key=lambda each: each.name)
    offered = _components(module, _implemented(callers, module))
    stand_in = registry.trackers.stand_in(plugin, module, callers)
    if stand_in is not None:
        manager.unregister(module)
        manager.register(stand_in, name=plugin.name)
    return offered


def _implemented(callers: Sequence[pluggy.HookCaller], module: ModuleType) -> set[str]:
    """The hooks that a plugin implements. Raises TypeError for what only looks like one."""
    implemented = {caller.name for caller in callers}
    for name, value in vars(module).items():
        looks_so = name.startswith("mmalign_") and isinstance(value, FunctionType)
        if looks_so and name not in implemented:
            raise TypeError(f"{name} is no hook; decorate it with @mmalign.hookimpl")
    if not implemented:
        raise TypeError("it implements no hook; see docs/hooks.md for those there are")
    for caller in callers:
        for impl in caller.get_hookimpls():
            if impl.plugin is module and (impl.wrapper or impl.hookwrapper):
                raise TypeError(f"{caller.name} would wrap those of other plugins; leave that out")
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
