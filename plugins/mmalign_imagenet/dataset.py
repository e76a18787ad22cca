"""ImageNet's settings: which files, which of the nine splits, and how much of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field

from mmalign import Source, component

Split: TypeAlias = Literal["2-hops", "3-hops", "M500", "M1K", "M5K", "L500", "L1K", "L5K", "all"]
Most: TypeAlias = Annotated[int, Field(ge=1)] | None


@component
class ImageNet:
    """The 1,000 classes of ILSVRC 2012, and unseen classes of the rest of ImageNet.

    Rows of unseen classes alone are asked, the seen classes stay among those to choose
    from (Changpinyo et al. 2016; Xian et al. 2018, section 5.3). Arrays: "image", one row a
    sample, and "word2vec", one row a class. A class without a word vector or without a
    feature row is left out, and the report says how many are.

    A table is two files: NAME.npy, which is not read as a whole, or NAME.safetensors with
    one array in it, of shape (rows, dim); and NAME.txt, the WordNet id of each row, one a
    line. Every path is taken from ``root``, unless it is absolute.
    """

    name: ClassVar[str] = "imagenet"
    root: Path = Path("data/imagenet")
    """The folder of the files."""
    classes: Path = Path("imagenet-testsets.json")
    """Lists of WordNet ids: an object with "train", "2-hops", "3-hops" and "all"."""
    split: Split = "2-hops"
    """The unseen classes: a list of the file, or the most (M) or least (L) populated of "all"."""
    seen: Path = Path("seen.npy")
    """Table of features of seen classes, which train."""
    unseen: Path = Path("unseen.npy")
    """Table of features of unseen classes, which are asked."""
    vectors: Path = Path("word2vec.npy")
    """Table of word vectors, one row a class."""
    counts: Path | None = None
    """Images of each class for M and L: .json (an object) or .csv; by default feature rows."""
    names: Path | None = None
    """What classes are called: lines of WordNet id, tab, words, as WordNet's words.txt."""
    seen_classes: Most = None
    """Take the first so many seen classes, in the order of the list."""
    unseen_classes: Most = None
    """Take the first so many classes of the split, in the order of the list (M, L: of counts)."""
    seen_rows: Most = None
    """Take the first so many rows of each seen class."""
    unseen_rows: Most = None
    """Take the first so many rows of each unseen class."""

    def load(self) -> Source:
        """Read and check the files. Raises MmalignError, naming file and class."""
        from mmalign_imagenet.loading import load

        return load(self)
