"""TOML to Recipe: every mistake at once, each with its path in the file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

from mmalign.component import build
from mmalign.contracts import Method, Parts
from mmalign.errors import MmalignError, RecipeError, did_you_mean
from mmalign.plugins import Registry
from mmalign.shipped import shipped
from mmalign.tables import Reader, Recipe

LARGEST = 2**20  # bytes of a recipe
DEEPEST = 32  # tables in one another

__all__ = [
    "Recipe",
    "assemble",
    "assemble_parts",
    "built",
    "locate",
    "overrides",
    "read",
    "shipped",
]


def locate(name: str) -> Path:
    """A recipe's file, from its path or its shipped name. Raises MmalignError if there is none."""
    path = Path(name)
    # A name that no file can have, such as one of 300 letters, is an error of the system's.
    with suppress(OSError, RuntimeError):
        path = path.expanduser()
        if path.is_file():
            return path
    known = shipped()
    if name.removesuffix(".toml") in known:
        return known[name.removesuffix(".toml")]
    raise MmalignError(
        f"no recipe '{name}': no such file under {Path.cwd()}, and none of that name is shipped;"
        f" {did_you_mean(path.stem, known)}"
    )


def read(name: str, registry: Registry, settings: Sequence[str] = ()) -> Recipe:
    """Read a recipe by path or shipped name, with ``a.b=c`` settings laid over it.

    Raises RecipeError with every mistake at once, before any data is loaded.
    """
    path = locate(name)
    try:
        if path.stat().st_size > LARGEST:
            raise MmalignError(f"{path}: larger than {LARGEST >> 20} MB; this is no recipe")
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MmalignError(f"cannot read {path}: {error.strerror}") from None
    # More than a TOMLDecodeError: bytes that are no text, and numbers of 5000 digits.
    except (ValueError, RecursionError) as error:
        raise RecipeError(str(path), [f"no valid TOML: {error}"]) from None
    if wrong := unlikely(table):
        raise RecipeError(str(path), [wrong])
    return assemble(path.stem, table, registry, settings, where=str(path))


def unlikely(table: Mapping[str, Any]) -> str:
    """What no recipe has and TOML can say: tables in tables without end, and endless numbers."""
    waiting: list[tuple[Any, int]] = [(table, 0)]
    while waiting:
        value, depth = waiting.pop()
        if depth > DEEPEST:
            return f"tables and lists lie in one another more than {DEEPEST} deep"
        if isinstance(value, int) and value.bit_length() > 64:
            return "a whole number has more than 64 bits"
        if isinstance(value, Mapping):
            waiting += [(each, depth + 1) for each in value.values()]
        elif isinstance(value, list):
            waiting += [(each, depth + 1) for each in value]
    return ""


def assemble(
    name: str,
    table: Mapping[str, Any],
    registry: Registry,
    settings: Sequence[str] = (),
    where: str = "recipe",
) -> Recipe:
    """A recipe from its table. Raises RecipeError with every mistake at once."""
    problems: list[str] = []
    laid = overrides(settings, problems)
    typed = deepcopy(dict(table))
    for key, (value, _) in laid.items():
        _set(typed, key, value, problems)
    if "run.seeds" in laid and isinstance(typed.get("sweep"), dict):
        typed["sweep"].pop("seeds", None)  # what the command line says goes before the file
    reader = Reader(registry)
    recipe = reader.recipe(name, typed)
    # ``--set head.epochs=validation`` and ``--set dataset.root=2024`` are typed by the
    # schema: a value that it refuses is tried once more as the text that was written.
    refused = [k for k in laid if any(p.startswith(f"{k}:") for p in reader.problems)]
    if refused:
        retried = deepcopy(typed)
        for key in refused:
            _set(retried, key, laid[key][1], [])
        again = Reader(registry)
        second = again.recipe(name, retried)
        if len(again.problems) < len(reader.problems):
            recipe, reader = second, again
    problems += reader.problems
    if problems or recipe is None:
        raise RecipeError(where, problems)
    return recipe


def assemble_parts(
    table: Mapping[str, Any], registry: Registry, where: str
) -> tuple[Method, Parts]:
    """What a trained model is made of, from its recipe's table, whatever data set it names.

    Raises RecipeError with every mistake at once.
    """
    reader = Reader(registry)
    made = reader.parts(deepcopy(dict(table)))
    if made is None:
        raise RecipeError(where, reader.problems)
    return made


def overrides(settings: Sequence[str], problems: list[str]) -> dict[str, tuple[Any, str]]:
    """Dotted keys with the value as TOML reads it, and as it was written."""
    found = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key.strip():
            problems.append(f"--set {setting}: write it as table.key=value")
            continue
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except (ValueError, RecursionError):
            value = text
        found[key.strip()] = (value, text)
    return found


def built(
    cls: type,
    settings: Sequence[str],
    path: str,
    title: str,
    table: Mapping[str, Any] | None = None,
) -> Any:
    """A component of its own from ``field=value`` settings, laid over a table.

    ``path`` stands before the fields in messages. Raises RecipeError with every mistake.
    """
    problems: list[str] = []
    laid = overrides(settings, problems)
    typed = {**(table or {}), **{key: value for key, (value, _) in laid.items()}}
    made, wrong = build(cls, typed, path)
    # As in a recipe: what the schema refuses is tried once more as the text that was written.
    refused = [key for key in laid if any(line.startswith(f"{path}.{key}:") for line in wrong)]
    if refused:
        again, fewer = build(cls, typed | {key: laid[key][1] for key in refused}, path)
        made, wrong = (again, fewer) if len(fewer) < len(wrong) else (made, wrong)
    if made is None or problems:
        raise RecipeError(title, [*problems, *wrong])
    return made


def _set(table: dict[str, Any], key: str, value: Any, problems: list[str]) -> None:
    *path, last = key.split(".")
    for step in path:
        table = table.setdefault(step, {})
        if not isinstance(table, dict):
            problems.append(f"--set {key}: '{step}' is no table")
            return
    table[last] = value
