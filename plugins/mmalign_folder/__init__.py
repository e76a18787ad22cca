"""The data set ``folder``: features, classes and splits of one's own."""

from mmalign import hookimpl


@hookimpl
def mmalign_datasets() -> list[type]:
    """Give the data set."""
    from mmalign_folder.dataset import Folder

    return [Folder]
