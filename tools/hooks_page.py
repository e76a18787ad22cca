"""Write docs/hooks.md from the hooks themselves: python tools/hooks_page.py > docs/hooks.md."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from types import FunctionType

from mmalign import hooks
from mmalign.plugins import HOOKS, Registry, discover

OPENING = """\
# Hooks

<!-- Written by tools/hooks_page.py; change mmalign/hooks.py and run `make docs`. -->

A plugin's module implements any of these, each decorated with `@mmalign.hookimpl`. An
implementation may leave out arguments that it does not need. How to write and declare a plugin:
[writing-plugins.md](writing-plugins.md).
"""


def hookspecs() -> dict[str, FunctionType]:
    """Every hook, in the order of ``mmalign/hooks.py``."""
    return {
        name: value
        for name, value in vars(hooks).items()
        if name.startswith("mmalign_") and isinstance(value, FunctionType)
    }


def implementers(registry: Registry, hook: str) -> list[str]:
    """The first-party plugins that implement a hook, by name."""
    ours = {each.name for each in registry.plugins if each.distribution == "mmalign"}
    found = getattr(registry.manager.hook, hook).get_hookimpls()
    return sorted({each.plugin_name for each in found} & ours)


def section(registry: Registry, name: str, hook: FunctionType) -> Iterator[str]:
    """A hook: its signature, what it is for, and who implements it."""
    said = inspect.getdoc(hook) or ""
    if name in HOOKS:
        said += f"\n\nCalled once, when plugins are discovered; see `mmalign ls {HOOKS[name]}`."
    names = ", ".join(f"`{each}`" for each in implementers(registry, name))
    yield f"## {name}\n"
    yield f"```python\ndef {name}{inspect.signature(hook)}\n```\n".replace("'", "")
    yield f"{said}\n"
    yield f"First-party plugins that implement it: {names or 'none'}.\n"


def page() -> str:
    """The whole page."""
    registry = discover()
    parts = [line for name, hook in hookspecs().items() for line in section(registry, name, hook)]
    return "\n".join([OPENING, *parts])


if __name__ == "__main__":
    sys.stdout.write(page())
