"""What is installed only with an extra."""

from __future__ import annotations

from importlib.util import find_spec

from mmalign.errors import MmalignError


def need(extra: str, *modules: str) -> None:
    """Raises MmalignError, naming the extra, when one of its modules is missing."""
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise MmalignError(
            f"{' and '.join(missing)}: not installed; this needs the extra '{extra}':"
            f" pip install 'mmalign[{extra}]'"
        )
