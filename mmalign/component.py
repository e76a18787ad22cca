"""``@component``: a frozen, strictly validated dataclass that is its own recipe schema."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import textwrap
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    TypeVar,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

from mmalign.errors import nearest

# pydantic is imported when the first component is made: ``import mmalign`` stays quick.
if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def component(cls: type[T]) -> type[T]:
    """Make a class a component: its fields, types, defaults and docstring are its table.

    Fields are keyword-only and frozen. Values are validated strictly: ``1`` is no bool,
    ``"1"`` no number, NaN and infinity are refused. In a recipe, lists stand for tuples
    and strings for paths.

    What checks the values is built when the first value comes (or by ``complete``): a listing
    of sixty components makes none, and is spared their time.
    """
    from pydantic import ConfigDict
    from pydantic.dataclasses import dataclass

    strict = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, defer_build=True)
    made: type[T] = dataclass(frozen=True, kw_only=True, config=strict)(cls)  # type: ignore[assignment]
    return made


def complete(cls: type) -> None:
    """Build what checks a component's values; nothing for a class that is no component.

    Raises pydantic's own error for a field of a type that it cannot check.
    """
    from pydantic.dataclasses import is_pydantic_dataclass, rebuild_dataclass

    if is_pydantic_dataclass(cls):
        rebuild_dataclass(cls)


@cache
def _adapter(cls: type) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(cls)


def build(
    cls: type[T], table: Mapping[str, Any], path: str, more: tuple[str, ...] = ()
) -> tuple[T | None, list[str]]:
    """Read a recipe's table as a component.

    Returns the component, or None with one line per mistake; each line opens with the
    dotted path of the wrong key, and an unknown key names the nearest field, or one of
    ``more``, the keys that the table has besides.
    """
    from pydantic import ValidationError

    try:
        # As JSON, so that strictness still takes lists as tuples and strings as paths.
        text = json.dumps(table, default=str)
        made: T = _adapter(cls).validate_json(text)  # type: ignore[arg-type]
        return made, []
    except ValidationError as error:
        return None, _lines(cls, table, path, error, more)


def _lines(
    cls: type,
    table: Mapping[str, Any],
    path: str,
    error: ValidationError,
    more: tuple[str, ...],
) -> list[str]:
    """One line per wrong key: the alternatives of a union are one mistake, not several."""
    lines: dict[str, str] = {}
    for problem in error.errors(include_url=False):
        places = [str(place) for place in problem["loc"]]
        missing = problem["type"] in ("missing", "missing_argument")
        inside = _path(table, places[:-1] if missing else places)
        key = ".".join([path, *inside, *(places[-1:] if missing else [])])
        message = problem["msg"][:1].lower() + problem["msg"][1:]
        if missing:
            message = "missing"
        elif problem["type"] == "unexpected_keyword_argument":
            near = nearest(places[-1], [*_names(cls, places[:-1]), *more])
            message = "no such key" + (f"; did you mean '{near}'?" if near else "")
        elif problem["type"] == "value_error":
            message = str(problem["ctx"]["error"])
        else:
            message += f" (got {problem['input']!r})"
        lines[key] = f"{lines[key]}, or {message}" if key in lines else f"{key}: {message}"
    # Where a table was given for a union, what is wrong inside the table says it all.
    deeper = [key for key in lines if not any(other.startswith(f"{key}.") for other in lines)]
    return [lines[key] for key in deeper]


def _path(table: Any, places: list[str]) -> list[str]:
    """Those of ``places`` that are keys or positions of the table; the rest name types."""
    path = []
    for place in places:
        if isinstance(table, Mapping) and place in table:
            table = table[place]
        elif isinstance(table, (list, tuple)) and place.isdigit() and int(place) < len(table):
            table = table[int(place)]
        else:
            continue
        path.append(place)
    return path


def _names(cls: type, inside: list[str]) -> list[str]:
    """The keys that may stand where an unknown one was found."""
    if not inside:
        return [field.name for field in dataclasses.fields(cls)]
    schema = _adapter(cls).json_schema()
    return [
        name for each in schema.get("$defs", {}).values() for name in each.get("properties", {})
    ]


def describe(cls: type) -> list[tuple[str, str, str, str]]:
    """Name, type, default and meaning of each field, as ``mmalign ls`` prints them."""
    # From the base classes too: a field's meaning stands where the field was first written.
    meanings: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        for name, each in vars(base).get("__pydantic_fields__", {}).items():
            meanings |= {name: each.description} if each.description else {}
        meanings |= _docstrings(base)
    hints = get_type_hints(cls)
    rows = []
    for field in dataclasses.fields(cls):
        default = _default(field)
        shown = "required" if default is dataclasses.MISSING else _shown(default)
        kind = _type_name(hints[field.name])
        rows.append((field.name, kind, shown, meanings.get(field.name, "")))
    return rows


def _docstrings(cls: type) -> dict[str, str]:
    """The string that stands below each field in the source of a class, where there is one.

    Read when a component is described, and not by pydantic when it is made: finding a class
    in its file takes longer than all else that making it takes.
    """
    try:
        body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    except (OSError, TypeError, SyntaxError):  # no source: typed in, or built in
        return {}
    found = {}
    for field, below in pairwise(body.body if isinstance(body, ast.ClassDef) else []):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            match below:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    found[field.target.id] = inspect.cleandoc(text)
    return found


def _shown(default: Any) -> str:
    return "none" if default is None else json.dumps(plain(default))


def _type_name(hint: Any) -> str:
    """A type as a reader of ``mmalign ls`` wants it: choices instead of aliases."""
    arguments = get_args(hint)
    if get_origin(hint) is Literal:
        return " | ".join(json.dumps(each) for each in arguments)
    if get_origin(hint) in (Union, UnionType):
        return " | ".join(_type_name(each) for each in arguments)
    if hint in (None, type(None)):
        return "none"
    if hint is Ellipsis:
        return "..."
    name: str = getattr(hint, "__name__", str(hint))
    return f"{name}[{', '.join(map(_type_name, arguments))}]" if arguments else name


def _default(field: dataclasses.Field[Any]) -> Any:
    default = field.default
    if default is dataclasses.MISSING and field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    # ``Field(default=..., ge=...)`` keeps its default one level down.
    return getattr(default, "default", default)


def plain(value: Any) -> Any:
    """A component, or anything inside one, as JSON's and TOML's own types; None is left out."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items() if v is not None}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value if isinstance(value, (str, int, float, bool)) else str(value)
