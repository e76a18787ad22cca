"""ConSE, a system to compare with, for mmalign."""

from mmalign import hookimpl


@hookimpl
def mmalign_methods() -> list[type]:
    """Give the method."""
    from mmalign_conse.conse import ConSE

    return [ConSE]
