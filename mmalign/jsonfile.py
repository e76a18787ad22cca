"""Reads a JSON file as what anybody may have written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mmalign.errors import MmalignError

LARGEST = 64 * 2**20  # bytes; a report of a thousand runs has 1 MB


def read_json(path: Path) -> Any:
    """What a file holds. Raises MmalignError for one that is no JSON, or too large for ours."""
    try:
        if not path.is_file():  # a pipe or a device may have no end
            raise MmalignError(f"{path}: cannot be read: no such file")
        if path.stat().st_size > LARGEST:
            raise MmalignError(f"{path}: larger than {LARGEST >> 20} MB, and none of mmalign's")
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MmalignError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise MmalignError(f"{path}: cannot be read: no valid JSON: {error}") from None
