"""The modality ``sentences``."""

from mmalign import hookimpl


@hookimpl
def mmalign_modalities() -> list[type]:
    """Give the modality."""
    from mmalign_sentences.modality import Sentences

    return [Sentences]
