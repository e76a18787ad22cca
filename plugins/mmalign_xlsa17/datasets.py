"""The six public data sets: their settings and their known counts."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from mmalign import Published, Source, component

BY = "Xian et al., Max Planck Institute"


@component
class Xlsa17:
    """A folder with features and splits in the layout of Xian et al. (TPAMI 2018)."""

    name: ClassVar[str]
    folder: ClassVar[str]
    counts: ClassVar[dict[str, int]]
    dims: ClassVar[dict[str, int]]
    published: ClassVar[Published]
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

    def differences(self) -> tuple[str, ...]:
        """Where counts and widths are not the public ones. Raises MmalignError as ``load``."""
        from mmalign_xlsa17.reading import differences

        return differences(self)


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


def _published(archive: str, folder: str) -> Published:
    """An archive of the authors: it has the layout that is read here below its own name."""
    return Published(
        url=f"https://datasets.d2.mpi-inf.mpg.de/xian/{archive}.zip",
        files={
            f"{archive}/data/{folder}/{name}": f"{folder}/{name}"
            for name in ("res101.mat", "att_splits.mat")
        },
        by=BY,
    )


@component
class CUB(Xlsa17):
    """CUB-200-2011: 200 bird species, 312 attributes."""

    name: ClassVar[str] = "cub"
    folder: ClassVar[str] = "CUB"
    counts: ClassVar[dict[str, int]] = _counts(200, 50, 7057, 1764, 2967)
    dims: ClassVar[dict[str, int]] = {"image": 2048, "attributes": 312}
    published: ClassVar[Published] = _published("xlsa17", "CUB")


@component
class SUN(Xlsa17):
    """SUN Attribute: 717 scenes, 102 attributes."""

    name: ClassVar[str] = "sun"
    folder: ClassVar[str] = "SUN"
    counts: ClassVar[dict[str, int]] = _counts(717, 72, 10320, 2580, 1440)
    dims: ClassVar[dict[str, int]] = {"image": 2048, "attributes": 102}
    published: ClassVar[Published] = _published("xlsa17", "SUN")


@component
class AWA1(Xlsa17):
    """Animals with Attributes 1: 50 animals, 85 attributes."""

    name: ClassVar[str] = "awa1"
    folder: ClassVar[str] = "AWA1"
    counts: ClassVar[dict[str, int]] = _counts(50, 10, 19832, 4958, 5685)
    dims: ClassVar[dict[str, int]] = {"image": 2048, "attributes": 85}
    published: ClassVar[Published] = _published("xlsa17", "AWA1")


@component
class AWA2(Xlsa17):
    """Animals with Attributes 2: 50 animals, 85 attributes, other pictures."""

    name: ClassVar[str] = "awa2"
    folder: ClassVar[str] = "AWA2"
    counts: ClassVar[dict[str, int]] = _counts(50, 10, 23527, 5882, 7913)
    dims: ClassVar[dict[str, int]] = {"image": 2048, "attributes": 85}
    published: ClassVar[Published] = _published("xlsa17", "AWA2")


@component
class APY(Xlsa17):
    """Attribute Pascal and Yahoo: 32 kinds of objects, 64 attributes."""

    name: ClassVar[str] = "apy"
    folder: ClassVar[str] = "APY"
    counts: ClassVar[dict[str, int]] = _counts(32, 12, 5932, 1483, 7924)
    dims: ClassVar[dict[str, int]] = {"image": 2048, "attributes": 64}
    published: ClassVar[Published] = _published("xlsa17", "APY")


@component
class FLO(Xlsa17):
    """Oxford Flowers: 102 flowers; its "attributes" are 1,024-d sentence embeddings."""

    name: ClassVar[str] = "flo"
    folder: ClassVar[str] = "FLO"
    counts: ClassVar[dict[str, int]] = _counts(102, 20, 5631, 1403, 1155)
    dims: ClassVar[dict[str, int]] = {"image": 2048, "attributes": 1024}
    published: ClassVar[Published] = _published("cvpr18xian", "FLO")
    att_names: ClassVar[tuple[str, ...]] = ("attributes", "sentences")
