"""metrics.jsonl: a line for each epoch, once, whether or not its run was killed on the way."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from mmalign.writing import write_whole


class Metrics:
    """The file, with what a killed run has written there; more is written after it.

    A run that goes on tells of the epochs before its checkpoints, and computes those after
    them again: lines that are there already are not written twice.
    """

    def __init__(self, path: Path) -> None:
        lines, self.there = [], Counter[tuple[Any, ...]]()
        with suppress(OSError):
            for line in path.read_text(encoding="utf-8").splitlines():
                with suppress(ValueError, KeyError):  # the last one, of which a part is missing
                    self.there[_key(json.loads(line))] += 1
                    lines.append(line + "\n")
        write_whole(path, "".join(lines).encode())
        # A line is in the file, for others to read, when it is told.
        self.file = path.open("a", encoding="utf-8", buffering=1)

    def tell(self, which: Mapping[str, Any], terms: Mapping[str, float]) -> None:
        """An epoch: ``which`` has its seed, draw where there is one, stage and number."""
        key = _key(which)
        if self.there[key] > 0:
            self.there[key] -= 1
            return
        self.file.write(json.dumps({**which, **terms}) + "\n")

    def close(self) -> None:
        """Nothing more is told."""
        self.file.close()


def _key(said: Mapping[str, Any]) -> tuple[Any, ...]:
    return said["seed"], said.get("draw"), said["stage"], said["epoch"]
