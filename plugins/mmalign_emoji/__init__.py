"""The data set ``emoji``: real pictures and real text that come with mmalign."""

from mmalign import hookimpl


@hookimpl
def mmalign_datasets() -> list[type]:
    """Give the data set."""
    from mmalign_emoji.dataset import Emoji

    return [Emoji]
