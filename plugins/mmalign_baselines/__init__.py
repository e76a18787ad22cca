"""The systems that CADA-VAE is compared with, one module each."""

from mmalign import hookimpl


@hookimpl
def mmalign_methods() -> list[type]:
    """Give the methods."""
    from mmalign_baselines.eszsl import ESZSL
    from mmalign_baselines.sync import SYNC

    return [ESZSL, SYNC]
