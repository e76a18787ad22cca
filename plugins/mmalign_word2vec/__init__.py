"""The modality ``word2vec``."""

from mmalign import hookimpl


@hookimpl
def mmalign_modalities() -> list[type]:
    """Give the modality."""
    from mmalign_word2vec.modality import Word2Vec

    return [Word2Vec]
