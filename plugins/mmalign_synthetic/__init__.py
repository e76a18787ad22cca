"""The data set ``synthetic``: seeded, any number of modalities, nothing to download."""

from mmalign import hookimpl


@hookimpl
def mmalign_datasets() -> list[type]:
    """Give the data set."""
    from mmalign_synthetic.dataset import Synthetic

    return [Synthetic]
