"""The heads ``softmax`` and ``few-shot``: linear classifiers of latents."""

from mmalign import hookimpl


@hookimpl
def mmalign_heads() -> list[type]:
    """Give the heads."""
    from mmalign_gzsl.fewshot import FewShot
    from mmalign_gzsl.softmax import Softmax

    return [FewShot, Softmax]
