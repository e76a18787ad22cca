"""What a component of any kind must be: a frozen, strict, documented table."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from functools import cache

from mmalign.component import build, describe, plain
from mmalign.testing.trial import Trial


def is_a_component(trial: Trial) -> None:
    """The class itself is decorated: a subclass of a component is not one yet."""
    cls = type(trial.component)
    config = vars(cls).get("__pydantic_config__") or {}
    strict = config.get("strict") is True and config.get("extra") == "forbid"
    trial.require(
        "__dataclass_fields__" in vars(cls) and strict,
        f"{cls.__name__} is not strict; decorate the class itself with @mmalign.component",
    )


def is_frozen(trial: Trial) -> None:
    """No field can be set."""
    for field in dataclasses.fields(trial.component):
        value = getattr(trial.component, field.name)
        try:
            setattr(trial.component, field.name, value)
        except dataclasses.FrozenInstanceError:
            continue
        trial.require(False, f"its field '{field.name}' can be set; use @mmalign.component")


def has_name_and_docstring(trial: Trial) -> None:
    """A name that can stand in a recipe, and a docstring that says what it is."""
    cls = type(trial.component)
    trial.require(
        re.fullmatch(r"[a-z0-9][a-z0-9-]*", str(getattr(cls, "name", ""))) is not None,
        "its name must be a ClassVar[str] of lower-case letters, digits and hyphens",
    )
    # A dataclass without a docstring is given its signature as one.
    written = (cls.__doc__ or "").strip()
    trial.require(
        bool(written) and not written.startswith(f"{cls.__name__}("),
        f"{cls.__name__} has no docstring; its first line is what `mmalign ls` prints",
    )


def documents_its_fields(trial: Trial) -> None:
    """Each field has a docstring below it."""
    bare = [name for name, _, _, meaning in describe(type(trial.component)) if not meaning]
    trial.require(
        not bare, f"nothing is said of {', '.join(bare)}; put a docstring below each field"
    )


def refuses_unknown_keys(trial: Trial) -> None:
    """A misspelt key is a mistake, and the line says which."""
    table = {**plain(trial.component), "no_such_key": 0}
    made, problems = build(type(trial.component), table, "table")
    trial.require(
        made is None and any("no_such_key" in line for line in problems),
        "takes a key that it does not have; use @mmalign.component",
    )


def is_its_own_table(trial: Trial) -> None:
    """Written into a recipe and read again, it is equal: a model is rebuilt like this."""
    table = json.loads(json.dumps(plain(trial.component)))
    made, problems = build(type(trial.component), table, "table")
    trial.require(
        not problems,
        f"cannot be rebuilt from its own table ({'; '.join(problems)}); a field must take"
        " what it holds",
    )
    trial.require(
        made == trial.component,
        f"rebuilt from its own table it is another ({made!r}); an optional field must have"
        " the default None",
    )


def is_imported_without_torch(trial: Trial) -> None:
    """`mmalign ls` imports every component's module, and must not take a second for each."""
    module = type(trial.component).__module__
    trial.require(
        not imports_torch(module),
        f"importing {module} imports torch; import it inside the functions that need it, and"
        " under `if TYPE_CHECKING:` for annotations",
    )


@cache
def imports_torch(module: str) -> bool:
    """Whether a fresh Python that imports this module has torch then."""
    code = f"import sys, {module}; sys.exit(7 if 'torch' in sys.modules else 0)"
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": paths})
    if done.returncode not in (0, 7):
        raise ImportError(f"a fresh Python cannot import {module}; its traceback is above")
    return done.returncode == 7


CHECKS = (
    is_a_component,
    is_frozen,
    has_name_and_docstring,
    documents_its_fields,
    refuses_unknown_keys,
    is_its_own_table,
    is_imported_without_torch,
)
