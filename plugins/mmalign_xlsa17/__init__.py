"""The public zero-shot data sets in the layout of the proposed splits (xlsa17)."""

from mmalign import hookimpl


@hookimpl
def mmalign_datasets() -> list[type]:
    """Give the data sets."""
    from mmalign_xlsa17.datasets import APY, AWA1, AWA2, CUB, FLO, SUN

    return [APY, AWA1, AWA2, CUB, FLO, SUN]
