"""Fills the templates, and writes a page: whole, small enough, and never at a run's expense."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mmalign
from mmalign.pages import PAGE
from mmalign.pages.limits import LARGEST, TRIED, Limits
from mmalign.pages.marks import breakable, signed
from mmalign.pages.palette import DARK, LIGHT, declared
from mmalign.writing import write_whole

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parents[1] / "templates"


@cache
def environment() -> Environment:
    """The templates; everything that is put into one is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {"light": declared(LIGHT), "dark": declared(DARK)}
    made.filters |= {"named": breakable, "signed": signed}
    made.globals |= {"version": mmalign.__version__}
    return made


def rendered(template: str, shown: Callable[[Limits], Mapping[str, Any]]) -> bytes:
    """A page of at most ``LARGEST`` bytes; ``shown`` gives what it shows within limits."""
    page = b""
    for limits in TRIED:
        said = environment().get_template(template).render(shown(limits))
        page = said.encode("utf-8", "replace")
        if len(page) <= LARGEST:
            break
    return page


def write(folder: Path, make: Callable[[], bytes]) -> None:
    """Write the page that ``make`` gives; a bug in it costs the page, not the run."""
    try:
        page = make()
    except Exception:
        page = apology(traceback.format_exc())
    write_whole(folder / PAGE, page)


def apology(trace: str) -> bytes:
    """What stands in the place of a page that could not be made."""
    said = (
        "<!doctype html><html lang=en><meta charset=utf-8><title>No report</title>"
        "<h1>This page could not be made</h1><p>The results are whole: they lie beside it, in"
        " report.json or results.csv. What went wrong is a bug of mmalign; please report it with"
        " these lines. <code>mmalign report FOLDER</code> tries again.</p><pre>"
    )
    return f"{said}{escape(trace[-20_000:])}</pre></html>\n".encode("utf-8", "replace")
