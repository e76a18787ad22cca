"""The modality ``image``."""

from mmalign import hookimpl


@hookimpl
def mmalign_modalities() -> list[type]:
    """Give the modality."""
    from mmalign_image.modality import Image

    return [Image]
