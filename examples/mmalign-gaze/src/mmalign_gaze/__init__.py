"""Eye tracking as a modality for mmalign."""

from mmalign import hookimpl


@hookimpl
def mmalign_modalities() -> list[type]:
    """Give the modality."""
    from mmalign_gaze.modality import Gaze

    return [Gaze]
