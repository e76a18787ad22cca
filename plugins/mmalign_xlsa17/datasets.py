"""The six public data sets: their settings and their known counts."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from mmalign import Source, component


@component
class Xlsa17:
    """A folder with features and splits in the layout of Xian et al. (TPAMI 2018)."""

    name: ClassVar[str]
    folder: ClassVar[str]
    counts: ClassVar[dict[str, int]]
    att_names: ClassVar[tuple[str, ...]] = ("attributes",)

    root: Path = Path("data/xlsa17")
    """The folder that holds the data sets' folders."""
    features: str = "res101"
    """Name of the file of features, without ".mat"; another backbone's in the same layout."""
    splits: str = "att_splits"
    """Name of the file of splits and attributes, without ".mat"."""
    sentences: str = "sent_splits"
    """Name of the file of sentence embeddings, without ".mat"; read where it is there."""

    def load(self) -> Source:
        """Read and check the files. Raises MmalignError, naming file and key."""
        from mmalign_xlsa17.reading import read

        return read(self)


def _counts(
    classes: int, unseen: int, trainval: int, test_seen: int, test_unseen: int
) -> dict[str, int]:
    return {
        "classes": classes,
        "seen classes": classes - unseen,
        "unseen classes": unseen,
        "training samples": trainval,
        "test samples of seen classes": test_seen,
        "test samples of unseen classes": test_unseen,
    }


@component
class CUB(Xlsa17):
    """CUB-200-2011: 200 bird species, 312 attributes."""

    name: ClassVar[str] = "cub"
    folder: ClassVar[str] = "CUB"
    counts: ClassVar[dict[str, int]] = _counts(200, 50, 7057, 1764, 2967)


@component
class SUN(Xlsa17):
    """SUN Attribute: 717 scenes, 102 attributes."""

    name: ClassVar[str] = "sun"
    folder: ClassVar[str] = "SUN"
    counts: ClassVar[dict[str, int]] = _counts(717, 72, 10320, 2580, 1440)


@component
class AWA1(Xlsa17):
    """Animals with Attributes 1: 50 animals, 85 attributes."""

    name: ClassVar[str] = "awa1"
    folder: ClassVar[str] = "AWA1"
    counts: ClassVar[dict[str, int]] = _counts(50, 10, 19832, 4958, 5685)


@component
class AWA2(Xlsa17):
    """Animals with Attributes 2: 50 animals, 85 attributes, other pictures."""

    name: ClassVar[str] = "awa2"
    folder: ClassVar[str] = "AWA2"
    counts: ClassVar[dict[str, int]] = _counts(50, 10, 23527, 5882, 7913)


@component
class APY(Xlsa17):
    """Attribute Pascal and Yahoo: 32 kinds of objects, 64 attributes."""

    name: ClassVar[str] = "apy"
    folder: ClassVar[str] = "APY"
    counts: ClassVar[dict[str, int]] = _counts(32, 12, 5932, 1483, 7924)


@component
class FLO(Xlsa17):
    """Oxford Flowers: 102 flowers; its "attributes" are 1,024-d sentence embeddings."""

    name: ClassVar[str] = "flo"
    folder: ClassVar[str] = "FLO"
    counts: ClassVar[dict[str, int]] = _counts(102, 20, 5631, 1403, 1155)
    att_names: ClassVar[tuple[str, ...]] = ("attributes", "sentences")
