"""Check or write constraints.txt, the versions that mmalign is developed and tested with.

    python tools/lock.py             says what differs from this environment; exit status 1 if any
    python tools/lock.py --write     writes the file from this environment

Followed are the requirements of ``mmalign[dev]`` and of what is installed of its other extras, and
theirs in turn. A local version is left out: torch 2.13.0+cpu and the CUDA build are both 2.13.0.
A package that is not installed here keeps its line.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "constraints.txt"
OPENING = "# The versions that mmalign is tested with; `make` installs exactly these.\n"
PROJECT = "mmalign"
# timm and torchvision have an environment of their own (`make test-vision`): 6 GB.
APART = {"timm", "torchvision"}
MUST = "dev"


def requirements(name: str, extras: Iterable[str]) -> Iterator[Requirement]:
    """What an installed distribution requires here, with these extras."""
    wanted = ["", *extras]
    for line in distribution(name).requires or ():
        found = Requirement(line)
        if found.marker is None or any(found.marker.evaluate({"extra": each}) for each in wanted):
            yield found


def closure(name: str, extras: Iterable[str]) -> tuple[dict[str, str], set[str]]:
    """Versions of all that is required and installed, by canonical name; and what is missing."""
    versions: dict[str, str] = {}
    missing: set[str] = set()
    seen: set[tuple[str, frozenset[str]]] = set()
    left = [(name, frozenset(extras))]
    while left:
        each = left.pop()
        if each in seen:
            continue
        seen.add(each)
        for required in requirements(*each):
            key = canonicalize_name(required.name)
            try:
                found = distribution(required.name)
            except PackageNotFoundError:
                missing.add(key)
                continue
            if key != PROJECT:
                versions[key] = Version(found.version).public
            left.append((required.name, frozenset(required.extras)))
    return versions, missing


def environment() -> tuple[dict[str, str], set[str]]:
    """Versions of what mmalign needs here, and what its extra ``dev`` lacks."""
    versions, missing = closure(PROJECT, [MUST])
    for extra in distribution(PROJECT).metadata.get_all("Provides-Extra") or ():
        versions |= closure(PROJECT, [extra])[0]
    return {name: each for name, each in versions.items() if name not in APART}, missing


def locked(text: str) -> dict[str, tuple[str, str]]:
    """Each pin of a file of constraints: its name as written, and its version."""
    pins = {}
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            name, version = line.split("==")
            pins[canonicalize_name(name)] = (name, version.strip())
    return pins


def differences(pins: dict[str, tuple[str, str]]) -> list[str]:
    """What is wrong with these pins, as this environment sees it."""
    versions, missing = environment()
    said = [f"{name} is required by mmalign[{MUST}] and not installed" for name in sorted(missing)]
    for name, version in sorted(versions.items()):
        if name not in pins:
            said.append(f"{name} {version} is not pinned")
        elif pins[name][1] != version:
            said.append(f"{name} is pinned to {pins[name][1]}, and {version} is installed")
    return said


def written(pins: dict[str, tuple[str, str]]) -> str:
    """The file, with the versions of this environment."""
    versions, _ = environment()
    lines = {name: f"{own}=={version}" for name, (own, version) in pins.items()}
    for name, version in versions.items():
        own = pins[name][0] if name in pins else distribution(name).metadata["Name"]
        lines[name] = f"{own}=={version}"
    return OPENING + "".join(f"{line}\n" for line in sorted(lines.values(), key=str.lower))


def main() -> int:
    """Check, or write; the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="write constraints.txt")
    pins = locked(LOCK.read_text(encoding="utf-8"))
    if parser.parse_args().write:
        LOCK.write_text(written(pins), encoding="utf-8")
        return 0
    for line in (said := differences(pins)):
        print(line)
    print(f"{LOCK.name}: {len(pins)} pins, {len(said)} differ from this environment")
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
