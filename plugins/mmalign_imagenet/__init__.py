"""The data set ``imagenet``: 1,000 seen classes, up to 20,842 unseen ones, word vectors."""

from mmalign import hookimpl


@hookimpl
def mmalign_datasets() -> list[type]:
    """Give the data set."""
    from mmalign_imagenet.dataset import ImageNet

    return [ImageNet]
