"""The heads ``prototype`` and ``ridge``: classifiers of latents in closed form."""

from mmalign import hookimpl


@hookimpl
def mmalign_heads() -> list[type]:
    """Give the heads."""
    from mmalign_closedform.prototype import Prototype
    from mmalign_closedform.ridge import Ridge

    return [Prototype, Ridge]
