"""Files that somebody hands in: whatever is in them, one sentence or the numbers, and no more.

`python fuzz/run.py` goes on for as long as is wanted; here is its corpus, some damages to it, and
what a fuzzer does not come upon: pickles, files that claim more than there is, paths that lead out.
"""

import contextlib
import gzip
import io
import json
import pickle
import random
import re
import struct
import sys
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mmalign.memory
from mmalign import MmalignError

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "fuzz"))

import targets  # noqa: E402
from killing import survived  # noqa: E402
from mutate import mutated  # noqa: E402

INPUTS = [(name, file) for name in targets.TARGETS for file, _ in targets.seeds(name)]
FEW = settings(
    max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)


@pytest.mark.parametrize(("name", "file"), INPUTS, ids=lambda each: each)
def test_every_file_of_the_corpus_is_read_or_refused(name, file, tmp_path):
    """Those that once crashed, hung or ran out of memory are among them."""
    targets.run(name, (targets.CORPUS / name / file).read_bytes(), tmp_path)


@pytest.mark.parametrize("name", targets.TARGETS)
@FEW
@given(seed=st.integers(0, 2**32))
def test_damaged_files_are_read_or_refused(name, seed, tmp_path_factory):
    draw = random.Random(seed)
    whole = draw.choice([content for _, content in targets.seeds(name)])
    targets.run(name, mutated(whole, draw, 512), tmp_path_factory.mktemp("damaged"))


@pytest.mark.parametrize("name", targets.TARGETS)
@FEW
@given(content=st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(name, content, tmp_path_factory):
    targets.run(name, content, tmp_path_factory.mktemp("bytes"))


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", sorted(set(targets.TARGETS) - {"archive"}))
def test_no_pickle_is_ever_loaded(name, tmp_path):
    """As it is, and in what numpy and torch write around it."""
    exploded = tmp_path / "exploded"
    held = io.BytesIO()
    np.save(held, np.array([Bomb(exploded)], dtype=object), allow_pickle=True)
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps(Bomb(exploded)))
    for protocol in (0, 2, 5):
        targets.run(name, pickle.dumps(Bomb(exploded), protocol), tmp_path / "in")
    for content in (held.getvalue(), zipped.getvalue()):
        targets.run(name, content, tmp_path / "in")
    assert not exploded.exists()


@pytest.fixture(autouse=True)
def folder(tmp_path):
    (tmp_path / "in").mkdir()


def npy(shape):
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape!r}, }}".encode()
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head


def safetensors(shape):
    size = 4 * int(np.prod(shape, dtype=object))
    table = {"features": {"dtype": "F32", "shape": list(shape), "data_offsets": [0, size]}}
    head = json.dumps(table).encode()
    return struct.pack("<Q", len(head)) + head


def packed(size):
    """A compressed matrix of a MATLAB file, whose numbers are all zeros: a thousandth of them."""
    numbers = struct.pack("<II", 9, size) + bytes(size)
    flags = struct.pack("<IIII", 6, 8, 6, 0)
    dims = struct.pack("<IIii", 5, 8, 1, size // 8)
    name = struct.pack("<IHH4s", 1, 1, 3, b"att\0")[:4] + struct.pack("<I", 3) + b"att\0\0\0\0\0"
    body = flags + dims + name + numbers
    whole = zlib.compress(struct.pack("<II", 14, len(body)) + body, 9)
    head = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    return head + struct.pack("<II", 15, len(whole)) + whole


CLAIMS = {
    "npy: a million rows that are not there": ("npy", lambda: npy((10**6, 10**6))),
    "npy: more numbers than an address": ("npy", lambda: npy((2**62, 2**62))),
    "safetensors: a terabyte": ("safetensors", lambda: safetensors((10**6, 2**18))),
    "safetensors: a head of an exabyte": ("safetensors", lambda: struct.pack("<Q", 2**60) + b"{}"),
    "mat: a quarter of a gigabyte of zeros": ("mat", lambda: packed(2**28)),
    "recipe: a deep array": ("recipe", lambda: b"a = " + b"[" * 10**5),
    "recipe: a deep table": ("recipe", lambda: b"[" + b"a." * 10**4 + b"a]"),
    "recipe: a number of 10,000 digits": ("recipe", lambda: b"[run]\nseeds = " + b"9" * 10**4),
    "recipe: a hundred million seeds": ("recipe", lambda: b"[run]\nseeds = 100000000"),
    "told: a deep list": ("told", lambda: b"[" * 10**6),
    "words: a billion words": ("words", lambda: b"1000000000 300\ngull " + b"0 " * 300),
    "words: a billion words, packed": (
        "words",
        lambda: gzip.compress(b"1000000000 300\n" + b"gull " + bytes(1200)),
    ),
    "words: a trillion numbers": ("words", lambda: b"3 1000000000000\ngull 1"),
    "table: one field of 30 MB": ("table", lambda: b"class,red\n" + b"x" * 30_000_000 + b",1\n"),
    "table: a million columns": ("table", lambda: b"class" + b",a" * 10**6 + b"\n"),
}
# What a reader may take where so much is at hand: half of it, and what is read into that.
MOST = 2**28
STATUS = Path("/proc/self/status")


def peak():
    """Most memory that this process has had, in bytes; a fork begins with what it has then."""
    return 1024 * int(re.search(r"VmHWM:\s*(\d+)", STATUS.read_text())[1])


def taken(work):
    """Have a fork do it where 256 MiB are at hand; it must not take more than so much."""

    def bounded():
        mmalign.memory.at_hand = lambda: MOST  # what readers may take half of
        before = peak()
        work()
        assert peak() - before < MOST, f"{peak() - before:,} bytes"

    return survived(bounded)


needs_proc = pytest.mark.skipif(
    not STATUS.exists(), reason="this system does not say what a process takes"
)


@needs_proc
@pytest.mark.parametrize("claim", CLAIMS)
def test_what_a_file_claims_takes_no_memory(claim, tmp_path):
    name, made = CLAIMS[claim]
    content = made()
    assert taken(lambda: targets.run(name, content, tmp_path / "in"))


@needs_proc
def test_the_limit_of_memory_would_be_felt():
    """The measure itself: a process that takes a gigabyte is seen to."""
    with pytest.raises(AssertionError, match="bytes"):
        taken(lambda: bytearray(b"1") * 2**30)


OUTSIDE = ("../outside", "/tmp/mmalign-outside", "a/../../outside", "..\\outside")


@pytest.mark.parametrize("member", OUTSIDE)
@pytest.mark.parametrize("kind", ["zip", "tar", "link"])
def test_an_archive_writes_into_its_folder_alone(member, kind, tmp_path):
    """As `mmalign data fetch` unpacks it; a link to what is outside is none either."""
    from mmalign.unpack import unpack

    archive, to = tmp_path / f"a.{'zip' if kind == 'zip' else 'tar'}", tmp_path / "in" / "to"
    to.mkdir()
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr(member, "let in")
    else:
        with tarfile.open(archive, "w") as file:
            info = tarfile.TarInfo(member if kind == "tar" else "fine")
            info.size = 6 if kind == "tar" else 0
            if kind == "link":
                info.type, info.linkname = tarfile.SYMTYPE, member
            file.addfile(info, io.BytesIO(b"let in") if kind == "tar" else None)
    before = sorted(tmp_path.rglob("*"))
    for wanted in ({member: "inside"}, {"fine": "inside"}):
        with contextlib.suppress(MmalignError):
            unpack(archive, wanted, to)
    new = [path for path in tmp_path.rglob("*") if path not in before]
    assert all(path.is_relative_to(to) and not path.is_symlink() for path in new), new
    assert not Path("/tmp/mmalign-outside").exists()
