"""Distribution losses: ``kl``, ``jeffreys``, ``mmd``, ``coral`` and ``sinkhorn``."""

from mmalign import hookimpl


@hookimpl
def mmalign_losses() -> list[type]:
    """Give the losses."""
    from mmalign_distribution.coral import Coral
    from mmalign_distribution.entropy import KL, Jeffreys
    from mmalign_distribution.mmd import MMD
    from mmalign_distribution.sinkhorn import Sinkhorn

    return [Coral, Jeffreys, KL, MMD, Sinkhorn]
