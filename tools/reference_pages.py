"""Write docs/reference/ from the registry and the command line: python tools/reference_pages.py."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from mmalign.cli import app
from mmalign.component import describe
from mmalign.contracts import KINDS, Kind
from mmalign.figure import Figure
from mmalign.losses import Ramp
from mmalign.plugins import Registry, discover
from mmalign.protocol import Protocol
from mmalign.tables import ReportSettings, RunSettings, Target, Weight
from mmalign.withheld import Mix

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"
WRITTEN = "<!-- Written by tools/reference_pages.py; change {} and run `make docs`. -->\n"

RECIPE = """\
# Recipes

{}
A recipe is a TOML file of these tables. What a table names by `use` is a
[component](components.md), whose fields are the table's other keys. A key that is unknown or of
a wrong type is an error before any data is read: `mmalign check RECIPE`. `--set table.key=value`
lays a value over a file.

| table | | |
|---|---|---|
| `[dataset]` | required | one [data set](components.md#data-sets) |
| `[modality.NAME]` | required | one [modality](components.md#modalities) each; `use` is NAME by default |
| `[method]` | required | one [method](components.md#methods) |
| `[loss.NAME]` | | one [loss](components.md#losses) each, and its `weight`; `use` is NAME by default |
| `[head]` | by method | one [head](components.md#heads) |
| `[protocol]` | | what is asked, and from what: [below](#protocol), and [protocol.md](../protocol.md) |
| `[run]` | | how often and where: [below](#run) |
| `[report]` | | what to compare with: [below](#report) |
| `[sweep]`, `[figure]`, `[tune]` | | many runs: [sweeps.md](../sweeps.md) |
"""
COMPONENTS = """\
# Components

{}
What stands behind `use` in a [recipe](recipe.md), with every field. A field without a default must be
given. `mmalign ls NAME` prints the same of one, those of plugins besides; [writing-plugins.md](../writing-plugins.md)
says how to add one.
"""
COMMANDS = """\
# Commands

{}
`mmalign COMMAND --help` says the same. What is the user's to mend is one message and exit status 2;
an interrupted command ends with 130. `NO_COLOR` and `COLUMNS` are respected.
"""
TITLES: dict[Kind, str] = {
    "dataset": "Data sets",
    "modality": "Modalities",
    "loss": "Losses",
    "head": "Heads",
    "method": "Methods",
    "backbone": "Backbones",
}
TABLES: dict[str, type] = {
    "protocol": Protocol,
    "protocol.mix": Mix,
    "run": RunSettings,
    "report": ReportSettings,
    "report.target": Target,
    "figure": Figure,
}


def fields(cls: type) -> Iterator[str]:
    """Each field of a component, an item of a list."""
    for name, kind, default, meaning in describe(cls):
        shown = "required" if default == "required" else f"default `{default}`"
        lines = meaning.strip().replace("\n", "\n    ")
        yield f"- **`{name}`** (`{kind}`, {shown})" + (f": {lines}" if lines else "")


def section(title: str, cls: type, level: int) -> Iterator[str]:
    """A component: what it is, and its fields."""
    yield f"{'#' * level} {title}\n"
    yield f"{inspect.getdoc(cls) or ''}\n"
    yield from fields(cls)
    yield ""


def recipe_page() -> str:
    """The tables that are the same in every recipe."""
    parts = [RECIPE.format(WRITTEN.format("what is described here"))]
    for name, cls in TABLES.items():
        parts += section(name, cls, 2)
    parts += section("weight", Weight, 2)
    parts += ["A ramp is `{ to = 2.37, start = 21, end = 75 }`:\n"]
    parts += [f"{inspect.getdoc(Ramp)}\n", *fields(Ramp), ""]
    return "\n".join(parts)


def components_page(registry: Registry) -> str:
    """Every component that comes with mmalign, by kind."""
    parts = [COMPONENTS.format(WRITTEN.format("the component"))]
    for kind in KINDS:
        parts += [f"## {TITLES[kind]}\n"]
        for name, cls in sorted(registry.components[kind].items()):
            if registry.origins[kind, name][0].distribution == "mmalign":
                parts += section(name, cls, 3)
    return "\n".join(parts)


def commands_page() -> str:
    """Every command, with its arguments and options."""
    parts = [COMMANDS.format(WRITTEN.format("mmalign/cli*.py"))]
    for path, command in sorted(commands(typer.main.get_command(app))):
        parts += command_section(path, command)
    return "\n".join(parts)


def commands(command: Any, path: tuple[str, ...] = ("mmalign",)) -> Iterator[tuple[Any, Any]]:
    """The commands of a group, and of the groups in it, each with the words that call it."""
    for name, each in command.commands.items():
        if hasattr(each, "commands"):
            yield from commands(each, (*path, name))
        elif not each.hidden:
            yield (*path, name), each


def command_section(path: tuple[str, ...], command: Any) -> Iterator[str]:
    """One command: what it does, how it is called, and what it takes."""
    yield f"## {' '.join(path)}\n"
    yield f"{command.help}\n"
    context = command.context_class(command, info_name=" ".join(path), max_content_width=200)
    usage = " ".join(command.get_usage(context).split()).removeprefix("Usage: ")
    yield f"    {usage}\n"
    for parameter in command.params:
        record = parameter.get_help_record(context)
        if record is not None and not getattr(parameter, "hidden", False):
            name, said = record
            said = re.sub(r" *\[required\]", "", said.replace("  ", " "))
            yield f"- **`{name}`**: {said}" if said else f"- **`{name}`**"
    yield ""


def pages() -> dict[Path, str]:
    """Every page with its text."""
    return {
        REFERENCE / "recipe.md": recipe_page(),
        REFERENCE / "components.md": components_page(discover()),
        REFERENCE / "commands.md": commands_page(),
    }


def main() -> None:
    """Write the pages anew."""
    REFERENCE.mkdir(exist_ok=True)
    for path, text in pages().items():
        lines = [line.rstrip() for line in text.strip().splitlines()]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
