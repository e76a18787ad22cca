"""The modality ``attributes``."""

from mmalign import hookimpl


@hookimpl
def mmalign_modalities() -> list[type]:
    """Give the modality."""
    from mmalign_attributes.modality import Attributes

    return [Attributes]
