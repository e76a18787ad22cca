"""What importing the plugins would run, and whose files it is; nothing of them is imported.

A plugin is a program with all rights of the user's. This says, before any is run, which files
they are, who put them there and whether they are still as they were installed.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from importlib.metadata import Distribution, EntryPoint, FileHash, PackagePath, entry_points
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from rich.console import Console
from rich.text import Text

from mmalign.entries import GROUP, ONLY, ordered, plugin_of, wanted

NAMED = 3  # altered files that are named


@dataclass(frozen=True)
class Import:
    """A plugin, the module that its entry point names, and the file that would run.

    ``stray`` says that the file is none of the distribution's: another module of that name is
    found before it.
    """

    plugin: str
    module: str
    file: str | None
    wanted: bool
    stray: bool


@dataclass(frozen=True)
class Provenance:
    """A distribution that has plugins: how it came here, and the state of its files."""

    name: str
    version: str
    ours: bool
    origin: str
    files: str
    sound: bool
    imports: tuple[Import, ...]


def provenance(entries: Sequence[EntryPoint] | None = None) -> list[Provenance]:
    """Every distribution with plugins, by name, mmalign first. Raises MmalignError as discover."""
    found = ordered(entry_points(group=GROUP) if entries is None else entries)
    chosen = [each for of_name in wanted(found).values() for each in of_name]
    by_home: dict[tuple[str, str], list[EntryPoint]] = {}
    for entry in found:
        plugin = plugin_of(entry)
        by_home.setdefault((plugin.distribution, plugin.version), []).append(entry)
    made = [_of(own, chosen) for own in by_home.values()]
    return sorted(made, key=lambda each: (not each.ours, each.name, each.version))


def _of(entries: Sequence[EntryPoint], chosen: Sequence[EntryPoint]) -> Provenance:
    plugin, dist = plugin_of(entries[0]), entries[0].dist
    url = _direct_url(dist)
    editable = bool(url.get("dir_info", {}).get("editable"))
    listed = [] if dist is None else _listed(dist)
    paths = {Path(str(each.locate())).resolve() for each in listed}
    imports = []
    for entry in entries:
        file = file_of(entry.module)
        place = None if file is None else Path(file).resolve()
        stray = place is not None and bool(listed) and place not in paths
        if place is not None and editable:
            stray = not place.is_relative_to(Path(_address(url)).resolve())
        same = any(each is entry for each in chosen)
        imports.append(Import(entry.name, entry.value, file, same, stray))
    said, sound = _state(listed, editable)
    return Provenance(
        plugin.distribution, plugin.version, plugin.ours,
        _origin(dist, url), said, sound, tuple(imports),
    )  # fmt: skip


def _listed(dist: Distribution) -> list[PackagePath]:
    """The files of a distribution's RECORD that have a hash there, those that are gone too.

    ``dist.files`` leaves these out where somebody has imported importlib_metadata, which puts
    itself in the place of Python's own.
    """
    found = []
    for name, said, *_ in csv.reader((dist.read_text("RECORD") or "").splitlines()):
        if said:
            path = PackagePath(name)
            path.hash, path.dist = FileHash(said), dist
            found.append(path)
    return found


def file_of(module: str) -> str | None:
    """The file that importing a module would run, found without importing its packages either."""
    place: Sequence[str] | None = None
    spec: ModuleSpec | None = None
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        name = ".".join(parts[:count])
        finders = (finder for finder in sys.meta_path if hasattr(finder, "find_spec"))
        specs = (finder.find_spec(name, place) for finder in finders)
        spec = next((each for each in specs if each is not None), None)
        if spec is None:
            return None
        place = spec.submodule_search_locations
    return None if spec is None or not spec.has_location else spec.origin


def _direct_url(dist: Distribution | None) -> Mapping[str, Any]:
    """Where an installer says that the distribution came from (PEP 610); {} where it does not."""
    try:
        found = json.loads((dist and dist.read_text("direct_url.json")) or "{}")
    except ValueError:
        found = {}
    return found if isinstance(found, dict) else {}


def _origin(dist: Distribution | None, url: Mapping[str, Any]) -> str:
    if dist is None:
        return "of no distribution"
    by = (dist.read_text("INSTALLER") or "").strip()
    by = f", by {by}" if by else ""
    where = _address(url)
    if url.get("dir_info", {}).get("editable"):
        return f"editable, from {where}{by}"
    if vcs := url.get("vcs_info"):
        return f"{vcs.get('vcs', 'vcs')} {where} at {vcs.get('commit_id', 'unknown')}{by}"
    if where:
        return f"from {where}{by}"
    return f"from a package index{by}" if by else "put there by hand, by no installer"


def _address(url: Mapping[str, Any]) -> str:
    """A path where it was a file, else the address; "" where there is none."""
    address = str(url.get("url", ""))
    local = urlsplit(address)
    return url2pathname(unquote(local.path)) if local.scheme == "file" else address


def _state(listed: Sequence[PackagePath], editable: bool) -> tuple[str, bool]:
    """What has become of a distribution's files since they were installed; whether it is well."""
    if editable:
        return "editable: whatever stands in that folder runs; no hashes", True
    if not listed:
        return "no RECORD: nothing to compare them with", False
    altered = [str(each) for each in listed if not _same(each)]
    if not altered:
        return f"all {len(listed)} match their RECORD", True
    some = ", ".join(altered[:NAMED]) + (", ..." if len(altered) > NAMED else "")
    return f"ALTERED: {len(altered)} of {len(listed)} differ from their RECORD: {some}", False


def _same(each: PackagePath) -> bool:
    assert each.hash is not None, "only such are asked"
    try:
        made = hashlib.new(each.hash.mode, each.locate().read_bytes())  # type: ignore[attr-defined]
    except (OSError, ValueError):  # it is gone, or of a digest that nobody knows
        return False
    found = base64.urlsafe_b64encode(made.digest()).decode().rstrip("=")
    return found == str(each.hash.value).rstrip("=")


def show(console: Console) -> None:
    """Print what would be imported. Paths stand whole on a line, whatever the width."""
    for line in lines(provenance()):
        console.print(line, soft_wrap=True)


def lines(found: Sequence[Provenance]) -> Iterator[Text]:
    """What ``mmalign plugins --trust`` prints."""
    for each in found:
        party = "mmalign itself" if each.ours else "third party"
        yield Text.assemble((f"{each.name} {each.version}", "bold"), f"  {party}")
        yield Text(f"  installed  {each.origin}")
        yield Text.assemble("  files      ", (each.files, "" if each.sound else "red"))
        wide = max(len(one.plugin) for one in each.imports)
        for one in each.imports:
            what = "imports" if one.wanted else "off"
            line = Text(f"  {what:9}  {one.plugin:{wide}}  {one.module}")
            yield line
            if one.file is None:
                yield Text(f"{'':13}no such module is found", style="red")
                continue
            yield Text(f"{'':13}{one.file}", style="dim")
            if one.stray:
                yield Text(f"{'':13}STRAY: this is no file of {each.name}'s", style="red")
        yield Text()
    others = sum(not each.ours for each in found)
    yield Text(f"Nothing was imported. {others} third part{'y' if others == 1 else 'ies'}.")
    yield Text(f"{ONLY}= turns third parties off; {ONLY}=a,b takes these alone.")
