"""Every reader of a file that somebody may hand in, as a function of bytes.

A target writes the bytes where a user would have put them, and calls the real readers.
``MmalignError`` is a fine outcome; whatever else is raised, a crash, a hang, or memory beyond
the limit is a bug.
"""

from __future__ import annotations

import json
import os
import tempfile
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

import mmalign_imagenet.files as imagenet
from mmalign import MmalignError, Problems, Source, Splits, View, opened, read_features
from mmalign.bundle import load as load_bundle
from mmalign.bundlefiles import CONFIG, WEIGHTS
from mmalign.cells import expand
from mmalign.classfile import read_class_file
from mmalign.comparison import gathered
from mmalign.download import Part as Download
from mmalign.extract import skipped_in
from mmalign.job import finished
from mmalign.pages.runpage import page_of
from mmalign.pages.sweeppage import sweep_page
from mmalign.plugins import discover
from mmalign.recipe import read
from mmalign.rows import read_parts
from mmalign.search import score
from mmalign.space import read_space
from mmalign.unpack import unpack
from mmalign_folder.arrays import read_array
from mmalign_folder.dataset import Folder
from mmalign_folder.samples import read_samples
from mmalign_imagenet.tables import Table
from mmalign_sentences.embedding import load as load_kept
from mmalign_sentences.files import read_texts
from mmalign_sentences.modality import Sentences
from mmalign_word2vec.vectors import read_vectors
from mmalign_xlsa17.matfile import MatFile

Target: TypeAlias = Callable[[bytes, Path], None]
CORPUS = Path(__file__).parent / "corpus"
NAMES = ("gull", "tern", "swift")
LONGEST = 100_000  # letters that a terminal shows, however large the file
WORDS = {"gull", "tern", "Swift", "red"}
MATRICES = ("att", "features")
INDICES = ("labels", "trainval_loc")
RUN = {  # a run's report.json
    "recipe": "r", "notes": [], "variants": {}, "target": {"H": 50.0}, "seeds": [0],
    "summary": {"H": {"mean": 0.5, "std": None, "ci95": None, "runs": [0.5]}},
    "runs": [{"seed": 0, "facts": {}, "per_class": {"gull": 0.5, "tern": 1.0}}],
}  # fmt: skip
TEXTS = ("allclasses_names", "image_files")


def known() -> Source:
    """A data set of three classes and three samples, whose names files may have."""
    return Source(
        name="known",
        classes=NAMES,
        labels=np.arange(3),
        arrays={"image": View(np.eye(3, dtype=np.float32), "sample")},
        splits=Splits(np.array([0, 1]), np.array([], np.int64), np.array([2])),
        samples=("a/1.jpg", "a/2.jpg", "b/1.jpg"),
    )


@cache
def registry() -> Any:
    """The components that are installed."""
    return discover()


def each(*calls: Callable[[], object]) -> None:
    """Call all of them, whatever is wrong for the others."""
    for call in calls:
        try:
            call()
        except MmalignError as error:
            said = len(str(error))
            if said > LONGEST:
                raise AssertionError(f"a message of {said} letters") from None


def consumed(parts: Iterable[object]) -> None:
    """Read to the end."""
    for _ in parts:
        pass


def recipe(content: bytes, folder: Path) -> None:
    """A recipe, its sweep and its search; nothing is run."""
    path = folder / "recipe.toml"
    path.write_bytes(content)

    def whole() -> None:
        made = read(str(path), registry())
        assert made.seeds
        assert made.draws
        if made.sweep is not None:
            expand(made, registry())
        if made.tune is not None:
            read_space(made, registry())

    each(whole)


def mat(content: bytes, folder: Path) -> None:
    """A MATLAB file: whatever is in it, taken as what a data set has."""
    path = folder / "att_splits.mat"
    path.write_bytes(content)

    def whole() -> None:
        file = MatFile.read(path, [*MATRICES, *INDICES, *TEXTS])
        each(
            *(lambda key=key: file.matrix(key) for key in MATRICES),
            *(lambda key=key: file.indices(key, 9, "samples") for key in INDICES),
            *(lambda key=key: file.texts(key, "class") for key in TEXTS),
        )

    each(whole)


def _features(path: Path) -> None:
    """All that reads a file of rows, by whatever suffix."""

    def stored() -> None:
        rows = opened(path, lacking=True)
        if rows.nbytes < 2**24:
            consumed(rows.parts(64))
            rows.fingerprint()

    each(
        lambda: read_array(path, "auto"),
        lambda: read_array(path, "never"),
        stored,
        lambda: consumed(read_parts(path, 64)),
    )


def npy(content: bytes, folder: Path) -> None:
    """An .npy file, as features, as labels, as embeddings, and as a table."""
    path = folder / "image.npy"
    path.write_bytes(content)
    (folder / "image.names.txt").write_text("gull\ntern\nswift\n")
    (folder / "image.txt").write_text("n00000001\nn00000002\nn00000003\n")
    _features(path)
    each(
        lambda: read_samples(folder, "image.npy", (), (), NAMES, Problems()),
        lambda: Sentences(file=path).view(known()),
        lambda: Table.read(path),
    )


def safetensors(content: bytes, folder: Path) -> None:
    """A safetensors file, as features, as embeddings, as a table, and as what is kept."""
    path = folder / "image.safetensors"
    path.write_bytes(content)
    (folder / "image.txt").write_text("n00000001\nn00000002\nn00000003\n")
    _features(path)

    def named() -> None:
        read_file = read_features(path)
        read_file.rows_of(known().samples)
        skipped_in(read_file)

    each(
        named,
        lambda: Sentences(file=path).view(known()),
        lambda: Table.read(path),
        lambda: load_kept(path, 3),
    )


def parquet(content: bytes, folder: Path) -> None:
    """A parquet file, whole, by row groups, and batch by batch."""
    path = folder / "image.parquet"
    path.write_bytes(content)
    _features(path)


def arrow(content: bytes, folder: Path) -> None:
    """A saved data set of one Arrow file."""
    path = folder / "image"
    path.mkdir(exist_ok=True)
    (path / "state.json").write_text('{"_data_files": [{"filename": "data.arrow"}]}')
    (path / "data.arrow").write_bytes(content)
    each(lambda: read_array(path, "auto"), lambda: read_array(path, "never"))


def table(content: bytes, folder: Path) -> None:
    """A CSV file, as classes, as samples, as texts, as counts, and as a sweep's results."""
    path = folder / "classes.csv"
    path.write_bytes(content)
    data = folder / "data"
    data.mkdir(exist_ok=True)
    np.save(data / "image.npy", np.eye(3, dtype=np.float32))
    (data / "samples.csv").write_bytes(content)
    (data / "classes.csv").write_text("class,red\ngull,1\ntern,2\nswift,3\n")
    (folder / "results.csv").write_bytes(content)
    each(
        lambda: read_class_file(path),
        lambda: read_texts(path),
        lambda: imagenet.read_counts(path),
        lambda: Folder(root=data).load(),
        lambda: _compared(folder),
    )


def _compared(folder: Path) -> None:
    """What a comparison does with every line that it reads."""
    for line in gathered([str(folder)], folder):
        for metric in line.metrics:
            line.over(metric)
            line.difference(metric)


def words(content: bytes, folder: Path) -> None:
    """Word vectors, in any format, and compressed."""
    plain, packed = folder / "vectors.bin", folder / "vectors.txt.gz"
    plain.write_bytes(content)
    packed.write_bytes(content)
    each(
        lambda: read_vectors(plain, "auto", WORDS),
        lambda: read_vectors(plain, "binary", WORDS),
        lambda: read_vectors(plain, "glove", WORDS),
        lambda: read_vectors(packed, "auto", WORDS),
    )


def ids(content: bytes, folder: Path) -> None:
    """ImageNet's lists of ids and names of classes."""
    path = folder / "names.txt"
    path.write_bytes(content)
    np.save(folder / "names.npy", np.eye(3, dtype=np.float32))
    each(lambda: Table.read(folder / "names.npy"), lambda: imagenet.read_names(path))


def told(content: bytes, folder: Path) -> None:
    """JSON that commands read back, and that of data sets."""
    for name in ("report.json", "done.json", "lists.json", "data.part.json", "state.json"):
        (folder / name).write_bytes(content)
    (folder / "run").mkdir(exist_ok=True)
    (folder / "run" / "report.json").write_bytes(content)

    def tuned() -> None:
        done = finished(folder)
        if done is not None:
            score(done, "H")

    each(
        lambda: _compared(folder),
        tuned,
        lambda: imagenet.read_lists(folder / "lists.json"),
        lambda: imagenet.read_counts(folder / "lists.json"),
        lambda: Download(folder / "data").known(),
        lambda: opened(folder),
    )


def page(content: bytes, folder: Path) -> None:
    """What report.html is written again from: a run's files, and a sweep's."""
    rest = {"report.json": json.dumps(RUN).encode(), "figures.json": b"{}"}
    names = ("report.json", "figures.json", "metrics.jsonl", "confusion.csv", "recipe.toml")
    for name in names:
        home = folder / name
        home.mkdir(exist_ok=True)
        for other, valid in {**rest, name: content}.items():
            (home / other).write_bytes(valid)
    (folder / "results.csv").write_bytes(content)
    (folder / "sweep.json").write_bytes(content)
    each(*(partial(page_of, folder / name) for name in names), lambda: sweep_page(folder))


def _bundle(folder: Path, files: dict[str, bytes]) -> None:
    for name in (WEIGHTS, CONFIG):
        (folder / name).write_bytes(files.get(name) or (CORPUS / "bundle" / name).read_bytes())

    def asked() -> None:
        model = load_bundle(folder, registry())
        dims = {name: model.signature.dims[name] for name in model.sample_modalities}
        if sum(dims.values()) < 2**20:
            model.scores({name: np.ones((2, dim), np.float32) for name, dim in dims.items()})

    each(asked)


def config(content: bytes, folder: Path) -> None:
    """The configuration of a model that has no seal."""
    _bundle(folder, {CONFIG: content})


def weights(content: bytes, folder: Path) -> None:
    """The weights of a model that has no seal."""
    _bundle(folder, {WEIGHTS: content})


def archive(content: bytes, folder: Path) -> None:
    """A zip archive that was downloaded."""
    path, to = folder / "archive.zip", folder / "to"
    path.write_bytes(content)
    to.mkdir(exist_ok=True)
    each(lambda: unpack(path, {"in/a.mat": "CUB/a.mat", "in/b.mat": "CUB/b.mat"}, to))
    found = {str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file()}
    assert found <= {"archive.zip", "to/CUB/a.mat", "to/CUB/b.mat"}, found


TARGETS: dict[str, Target] = {
    made.__name__: made
    for made in (
        *(recipe, mat, npy, safetensors, parquet, arrow, table, words),
        *(ids, told, page, config, weights, archive),
    )
}


def seeds(name: str) -> Iterator[tuple[str, bytes]]:
    """The corpus of a target: name and content of each file."""
    for path in sorted((CORPUS / name).iterdir()):
        yield path.name, path.read_bytes()


@contextmanager
def emptied(folder: Path) -> Iterator[Path]:
    """A folder that is empty again afterwards; quicker than one that is made anew."""
    try:
        yield folder
    finally:
        for here, folders, files in os.walk(folder, topdown=False):
            for name in files:
                Path(here, name).unlink()
            for name in folders:
                Path(here, name).rmdir()


def run(name: str, content: bytes, folder: Path | None = None) -> None:
    """Hand these bytes to a target, in a folder that is emptied afterwards."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if folder is not None:
            with emptied(folder):
                TARGETS[name](content, folder)
            return
        with tempfile.TemporaryDirectory() as place:
            TARGETS[name](content, Path(place))


def number(content: bytes) -> str:
    """A short name for an input."""
    return f"{zlib.crc32(content):08x}"


def as_json(value: object) -> bytes:
    """JSON as bytes."""
    return json.dumps(value).encode()
