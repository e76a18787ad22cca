"""The entry points of plugins: which there are, whose they are, and which are wanted."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import Distribution, EntryPoint, entry_points

from mmalign.errors import MmalignError, did_you_mean

GROUP = "mmalign"
ONLY = "MMALIGN_PLUGINS"


@dataclass(frozen=True)
class Plugin:
    """Where a component comes from, and whether it could be loaded.

    ``notes`` are what it did, while it was loaded, that it should not have done.
    """

    name: str
    version: str
    distribution: str
    module: str
    components: tuple[str, ...] = ()
    problem: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def home(self) -> str:
        """The plugin and its distribution, as a sentence names them."""
        return f"plugin '{self.name}' of {self.distribution} {self.version}"

    @property
    def ours(self) -> bool:
        """Whether it comes with mmalign itself."""
        return self.distribution == "mmalign"


def plugin_of(entry: EntryPoint) -> Plugin:
    """Where an entry point comes from; nothing is imported."""
    name, version = _distribution(entry.dist)
    return Plugin(entry.name, version, name, entry.value)


# Each of the two reads the whole of a distribution's METADATA, its README too; the plugins of
# one distribution share the object.
@cache
def _distribution(dist: Distribution | None) -> tuple[str, str]:
    """Name and version."""
    return (dist.metadata["Name"], dist.version) if dist else ("unknown", "unknown")


def wanted(entries: Iterable[EntryPoint] | None = None) -> dict[str, list[EntryPoint]]:
    """The entry points to load, by name and in its order; several under one name are a clash.

    ``MMALIGN_PLUGINS=a,b`` restricts to those, and ``MMALIGN_PLUGINS=`` to mmalign's own. Raises
    MmalignError for a name that is none.
    """
    found = ordered(entry_points(group=GROUP) if entries is None else entries)
    given = os.environ.get(ONLY)
    names = {name.strip() for name in (given or "").split(",") if name.strip()}
    unknown = sorted(names - {entry.name for entry in found})
    if unknown:
        known = did_you_mean(unknown[0], {entry.name for entry in found})
        raise MmalignError(f"{ONLY} names '{unknown[0]}': no such plugin; {known}")
    by_name: dict[str, list[EntryPoint]] = {}
    for entry in found:
        if given is None or entry.name in names or (not names and plugin_of(entry).ours):
            by_name.setdefault(entry.name, []).append(entry)
    return by_name


def ordered(found: Iterable[EntryPoint]) -> list[EntryPoint]:
    """By name; one that is found twice counts once, but not one of two distributions.

    Entry points are equal without regard to their distribution, so they make no set.
    """
    apart = {(each.name, each.value, plugin_of(each).distribution): each for each in found}
    return [apart[key] for key in sorted(apart)]
