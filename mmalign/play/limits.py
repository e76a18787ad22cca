"""What a request may cost, and how one that may not is refused."""

from __future__ import annotations

from dataclasses import dataclass


class RefusedError(Exception):
    """A request that is answered with an HTTP status and one sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        self.status = status
        super().__init__(sentence)


@dataclass(frozen=True)
class Limits:
    """Bounds in bytes, seconds, letters and numbers of things."""

    upload: int = 8 * 2**20
    """Bytes of a picture."""
    form: int = 2**18
    """Bytes of a description, its numbers as text among them."""
    seconds: float = 30.0
    """For an upload to come, and for an answer to be computed."""
    wait: float = 10.0
    """Seconds that a request waits for the one before it."""
    adding: float = 600.0
    """Seconds for classes to be added or removed."""
    name: int = 100
    """Letters of a class's name."""
    text: int = 2000
    """Letters of a class's description."""
    added: int = 50
    """Classes that may be added."""
    connections: int = 64
    """Open connections."""
