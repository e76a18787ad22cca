"""The head ``softmax`` for generalized zero-shot classification."""

from mmalign import hookimpl


@hookimpl
def mmalign_heads() -> list[type]:
    """Give the head."""
    from mmalign_gzsl.softmax import Softmax

    return [Softmax]
