"""The method ``aligned-vae`` (CADA-VAE for M modalities) and its alignment losses."""

from mmalign import hookimpl


@hookimpl
def mmalign_methods() -> list[type]:
    """Give the method."""
    from mmalign_aligned_vae.method import AlignedVAE

    return [AlignedVAE]


@hookimpl
def mmalign_losses() -> list[type]:
    """Give the published alignment terms."""
    from mmalign import CrossAlignment, Wasserstein

    return [CrossAlignment, Wasserstein]
