"""Fetching public data sets, from a server that does what servers on a bad day do."""

import hashlib
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from commands import PROGRAM, call, refused
from scipy.io import savemat
from serving import (
    ARCHIVE,
    COUNTS,
    CUT,
    Handler,
    Server,
    breaks_off,
    breaks_off_ignoring_range,
    chunked,
    chunked_breaks_off,
    ignores_range,
    members,
    newer,
    other_part,
    packed,
    redirects,
    refuses,
    serving,
    stalls,
    whole,
)

from mmalign import MmalignError, download
from mmalign.datafiles import Fetchable
from mmalign.download import Downloaded
from mmalign.lock import locked
from mmalign.plugins import discover
from mmalign.unpack import WrongArchiveError, unpack
from mmalign_xlsa17.datasets import AWA1, CUB, FLO


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(download, "PAUSE", 0.0)
    monkeypatch.setattr(download, "TIMEOUT", 2.0)
    monkeypatch.setattr(CUB, "counts", COUNTS)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serving() as made:
        yield made


def left(folder: Path) -> set[str]:
    """Every file below a folder but the lock, which is nobody's."""
    paths = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return set(paths) - {".fetch/lock"}


FILES = {"CUB/res101.mat", "CUB/att_splits.mat", "CUB/fetched.json"}
PART = {".fetch/xlsa17.zip.part", ".fetch/xlsa17.zip.part.json"}


def fetched(server: Server, to: Path, *more: str) -> str:
    """Fetch cub from the server; what was printed."""
    done = call("data", "fetch", "cub", "--to", to, "--mirror", server.url(), *more, cwd=to.parent)
    assert done.returncode == 0, done.stderr
    assert left(to) == FILES
    for name, content in members().items():
        assert (to / "CUB" / Path(name).name).read_bytes() == content
    assert len(CUB(root=to).load().labels) == 9
    return done.stdout


def not_fetched(server: Server, to: Path, *more: str) -> str:
    return refused(
        "data", "fetch", "cub", "--to", to, "--mirror", server.url(), *more, cwd=to.parent
    )


def ranges(server: Server) -> list[str | None]:
    return [asked.get("Range") for asked in server.asked]


def test_fetches_checks_and_records(server, tmp_path):
    said = fetched(server, tmp_path / "data")
    digest = hashlib.sha256(ARCHIVE).hexdigest()
    assert f"cub: {tmp_path}/data/CUB, as published" in said
    assert f"SHA-256 of xlsa17.zip: {digest}" in said
    assert "xlsa17.zip  MB 1/1" in said
    record = json.loads((tmp_path / "data" / "CUB" / "fetched.json").read_text())
    assert record["url"] == server.url()
    assert record["archive"] == {"bytes": len(ARCHIVE), "sha256": digest}
    assert record["files"] == {
        f"CUB/{Path(name).name}": {
            "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(),
        }
        for name, content in members().items()
    }  # fmt: skip
    assert (
        record["files"]["CUB/res101.mat"]["sha256"]
        == (CUB(root=tmp_path / "data").load().hashes["CUB/res101.mat"])
    )


def test_fetched_already_is_left_alone(server, tmp_path):
    fetched(server, tmp_path / "data")
    assert "already, as published" in fetched(server, tmp_path / "data")
    assert len(server.asked) == 1
    fetched(server, tmp_path / "data", "--force")
    assert len(server.asked) == 2


def test_what_is_there_and_differs_is_kept(server, tmp_path):
    mine = tmp_path / "data" / "CUB"
    mine.mkdir(parents=True)
    for name, content in members(dim=7).items():
        (mine / Path(name).name).write_bytes(content)
    before = {path.name: path.read_bytes() for path in mine.iterdir()}
    said = not_fetched(server, tmp_path / "data")
    assert "but not as it is published; --force replaces it" in said
    assert "has 7 numbers a row in 'image'; the public one has 2048" in said
    (mine / "res101.mat").write_bytes(b"junk")
    before["res101.mat"] = b"junk"
    assert "damaged, or no MATLAB file" in not_fetched(server, tmp_path / "data")
    assert {path.name: path.read_bytes() for path in mine.iterdir()} == before
    assert server.asked == []
    (mine / "vit.mat").write_bytes(b"mine")
    server.plan = [refuses(404)]
    not_fetched(server, tmp_path / "data", "--force")
    assert (mine / "res101.mat").read_bytes() == b"junk"
    server.plan = [whole]
    done = call(
        "data", "fetch", "cub", "--force", "--to", "data", "--mirror", server.url(), cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert (mine / "vit.mat").read_bytes() == b"mine"
    assert len(CUB(root=tmp_path / "data").load().labels) == 9


def test_one_file_that_is_there_and_differs_is_kept(server, tmp_path):
    mine = tmp_path / "data" / "CUB"
    mine.mkdir(parents=True)
    (mine / "att_splits.mat").write_bytes(b"mine")
    said = not_fetched(server, tmp_path / "data")
    assert "att_splits.mat is there already, and is another file than the published one" in said
    assert left(tmp_path / "data") == {"CUB/att_splits.mat", ".fetch/xlsa17.zip"}
    assert (mine / "att_splits.mat").read_bytes() == b"mine"
    fetched(server, tmp_path / "data", "--force")
    assert len(server.asked) == 1  # the archive was kept for that


def test_killed_between_two_files_goes_on(server, tmp_path):
    mine = tmp_path / "data" / "CUB"
    mine.mkdir(parents=True)
    (mine / "res101.mat").write_bytes(members()["xlsa17/data/CUB/res101.mat"])
    fetched(server, tmp_path / "data")


def test_goes_on_where_it_broke_off(server, tmp_path):
    server.plan = [breaks_off, breaks_off, whole]
    fetched(server, tmp_path / "data")
    assert ranges(server) == [None, f"bytes={CUT}-", f"bytes={2 * CUT}-"]
    assert [asked.get("If-Range") for asked in server.asked] == [None, '"v1"', '"v1"']


def test_gives_up_keeps_the_part_and_goes_on_later(server, tmp_path):
    server.plan = [breaks_off, refuses(503), refuses(503), refuses(503), refuses(500)]
    said = not_fetched(server, tmp_path / "data")
    assert "the server says 503" in said
    assert "tried 4 times in a row. The 40,000 bytes that came are kept: call again" in said
    assert left(tmp_path / "data") == PART
    assert len(server.asked) == 4
    server.plan = [whole]
    fetched(server, tmp_path / "data")
    assert ranges(server)[-1] == f"bytes={CUT}-"


def test_attempts_that_bring_enough_do_not_count(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "ENOUGH", 10_000)
    server.plan = [lambda h: breaks_off(h, after=10_000)] * 9 + [whole]
    fetched(server, tmp_path / "data")
    assert len(server.asked) == 10


def test_begins_anew_where_the_server_ignores_range(server, tmp_path):
    server.plan = [breaks_off, ignores_range]
    fetched(server, tmp_path / "data")
    assert ranges(server) == [None, f"bytes={CUT}-"]


def test_ends_where_the_server_always_breaks_off(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "ENOUGH", 10_000)
    server.plan = [breaks_off_ignoring_range]
    assert "broke off after 40,000 of" in not_fetched(server, tmp_path / "data")
    assert len(server.asked) == 4


def test_two_versions_are_never_put_together(server, tmp_path):
    server.plan = [breaks_off, newer]
    fetched(server, tmp_path / "data")
    assert len(server.asked) == 2


def test_changed_length_begins_anew(server, tmp_path):
    """A server that knows no If-Range."""
    longer = ARCHIVE + b"x"

    def careless(handler: Handler) -> None:
        start = int(handler.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        span = f"bytes {start}-{len(longer) - 1}/{len(longer)}"
        handler.answer(206, longer[start:], Content_Range=span)

    server.plan = [breaks_off, careless, whole]
    fetched(server, tmp_path / "data")
    assert ranges(server) == [None, f"bytes={CUT}-", None]


def test_part_that_is_whole_already(server, tmp_path):
    """Killed after the last byte, and before the file got its name."""
    work = tmp_path / "data" / ".fetch"
    work.mkdir(parents=True)
    (work / "xlsa17.zip.part").write_bytes(ARCHIVE)
    known = {"url": server.url(), "total": len(ARCHIVE), "validator": '"v1"'}
    (work / "xlsa17.zip.part.json").write_text(json.dumps(known))
    fetched(server, tmp_path / "data")
    assert ranges(server) == [f"bytes={len(ARCHIVE)}-"]


@pytest.mark.parametrize("beside", [b"", b"{", b"[1]", b'{"url": 3}', b"\xff", None])
def test_part_of_nobody_knows_what_begins_anew(server, tmp_path, beside):
    work = tmp_path / "data" / ".fetch"
    work.mkdir(parents=True)
    (work / "xlsa17.zip.part").write_bytes(b"x" * CUT)
    if beside is not None:
        (work / "xlsa17.zip.part.json").write_bytes(beside)
    fetched(server, tmp_path / "data")
    assert ranges(server) == [None]


def test_part_longer_than_the_file_begins_anew(server, tmp_path):
    work = tmp_path / "data" / ".fetch"
    work.mkdir(parents=True)
    (work / "xlsa17.zip.part").write_bytes(ARCHIVE + b"x")
    (work / "xlsa17.zip.part.json").write_text(json.dumps({"url": server.url()}))
    fetched(server, tmp_path / "data")
    assert ranges(server) == [f"bytes={len(ARCHIVE) + 1}-", None]


def test_another_part_than_asked_is_refused(server, tmp_path):
    server.plan = [breaks_off, other_part]
    assert "gave another part of the file" in not_fetched(server, tmp_path / "data")


@pytest.mark.parametrize("length", [len(ARCHIVE) + 5000, 10**12])
def test_length_that_is_too_long(server, tmp_path, length):
    server.plan = [lambda handler: handler.answer(200, ARCHIVE, length)]
    said = not_fetched(server, tmp_path / "data")
    if length > 10**11:
        assert "bytes are still to come, and" in said
    else:
        assert f"broke off after {len(ARCHIVE):,} of {length:,} bytes" in said
    assert not (tmp_path / "data" / "CUB").exists()


def test_more_than_the_length_is_not_read(server, tmp_path):
    server.plan = [lambda handler: handler.answer(200, ARCHIVE + b"x" * 99, len(ARCHIVE))]
    fetched(server, tmp_path / "data")


def test_length_that_is_too_short(server, tmp_path):
    server.plan = [lambda handler: handler.answer(200, ARCHIVE, CUT)]
    said = not_fetched(server, tmp_path / "data")
    assert "xlsa17.zip: a damaged zip archive" in said
    assert left(tmp_path / "data") == set()
    server.plan = [whole]
    fetched(server, tmp_path / "data")


def test_no_length_at_all(server, tmp_path):
    server.plan = [chunked_breaks_off, chunked]
    fetched(server, tmp_path / "data")
    assert len(server.asked) == 2


def test_server_that_stalls(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", 0.3)
    server.plan = [stalls, whole]
    fetched(server, tmp_path / "data")
    assert ranges(server) == [None, f"bytes={CUT}-"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_refusal_is_final(server, tmp_path, status):
    server.plan = [refuses(status)]
    said = not_fetched(server, tmp_path / "data")
    assert f"the server says {status}" in said
    assert "give another address with --mirror" in said
    assert len(server.asked) == 1
    assert left(tmp_path / "data") == set()


def test_busy_server_is_asked_again(server, tmp_path):
    server.plan = [refuses(503), refuses(429), whole]
    fetched(server, tmp_path / "data")


def test_pauses_grow(server, tmp_path, monkeypatch):
    paused = []
    monkeypatch.setattr(download, "PAUSE", 1.0)
    monkeypatch.setattr(download.time, "sleep", paused.append)
    server.plan = [refuses(503)]
    not_fetched(server, tmp_path / "data")
    assert paused == [1, 2, 4]


def test_redirect_is_followed_and_recorded(server, tmp_path):
    server.plan = [redirects("/elsewhere/x.zip"), breaks_off, redirects("/elsewhere/x.zip"), whole]
    fetched(server, tmp_path / "data")
    assert [asked["path"] for asked in server.asked] == ["/xlsa17.zip", "/elsewhere/x.zip"] * 2
    assert ranges(server)[-1] == f"bytes={CUT}-"
    record = json.loads((tmp_path / "data" / "CUB" / "fetched.json").read_text())
    assert record["url"] == server.url("elsewhere/x.zip")


@pytest.mark.parametrize("to", ["file:///etc/passwd", "ftp://127.0.0.1/x.zip", "//", "data:,x"])
def test_redirect_to_anything_else_is_not(server, tmp_path, to):
    server.plan = [redirects(to)]
    said = not_fetched(server, tmp_path / "data")
    assert re.search("no address to download from|the server says 302|no answer", said), said
    assert left(tmp_path / "data") == set()


def test_redirect_in_a_circle(server, tmp_path):
    server.plan = [redirects("/xlsa17.zip")]
    assert "the server says 302" in not_fetched(server, tmp_path / "data")
    assert len(server.asked) < 15


def test_nobody_answers(server, tmp_path, monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    monkeypatch.setattr(server, "server_port", port)
    said = not_fetched(server, tmp_path / "data")
    assert "no answer: [Errno" in said
    assert left(tmp_path / "data") == set()


def test_answer_that_is_no_http(tmp_path, server, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def speak() -> None:
            while True:
                try:
                    client, _ = listening.accept()
                except OSError:
                    return
                client.sendall(b"220 a mail server\r\n")
                client.close()

        threading.Thread(target=speak, daemon=True).start()
        monkeypatch.setattr(server, "server_port", listening.getsockname()[1])
        said = not_fetched(server, tmp_path / "data")
        listening.shutdown(socket.SHUT_RDWR)
    assert "no answer: " in said


WRONG = {
    "a web page, and no zip archive: '<!doctype html>": b"\n<!doctype html><p>Not here",
    "no zip archive: File is not a zip file": b"\x00\x01" * 999,
    "a damaged zip archive": ARCHIVE[: len(ARCHIVE) // 2],
    "no zip archive: File": b"",
    "holds no file CUB/res101.mat, among 1 files; is it the right": packed({"a.txt": b"x"}),
    "holds 2 files that end in CUB/res101.mat": packed({
        "a/CUB/res101.mat": b"x", "b/CUB/res101.mat": b"y",
    }),
    "has 7 numbers a row in 'image'; the public one has 2048": packed(members(dim=7)),
    "CUB/res101.mat: damaged, or no MATLAB file": packed({
        **members(), "xlsa17/data/CUB/res101.mat": b"junk",
    }),
}  # fmt: skip


@pytest.mark.parametrize(("said", "content"), WRONG.items(), ids=WRONG)
def test_wrong_file_is_not_put_in_place(server, tmp_path, said, content):
    server.plan = [lambda handler: whole(handler, content)]
    assert said in not_fetched(server, tmp_path / "data")
    assert left(tmp_path / "data") == set()
    server.plan = [whole]
    fetched(server, tmp_path / "data")


def test_counts_that_are_not_the_public_ones(server, tmp_path, monkeypatch):
    monkeypatch.setattr(CUB, "counts", {**COUNTS, "classes": 200})
    said = not_fetched(server, tmp_path / "data")
    assert f"{server.url()}: 'cub' in it is not as published, and was not put in place" in said
    assert f"(SHA-256 of the archive: {hashlib.sha256(ARCHIVE).hexdigest()})" in said
    assert "data set 'cub' has 3 classes; the public one has 200" in said
    assert left(tmp_path / "data") == set()


def test_flipped_bit_is_found(server, tmp_path):
    spoilt = bytearray(packed(members(), zipfile.ZIP_STORED))
    spoilt[len(spoilt) // 2] ^= 1
    server.plan = [lambda handler: whole(handler, bytes(spoilt))]
    assert "Bad CRC-32" in not_fetched(server, tmp_path / "data")


def test_mirror_may_pack_otherwise(server, tmp_path):
    held = {f"zsl/{name.partition('/')[2]}": content for name, content in members().items()}
    server.plan = [lambda handler: whole(handler, packed(held))]
    fetched(server, tmp_path / "data")


def test_names_in_an_archive_lead_nowhere(server, tmp_path):
    wicked = {
        "../../CUB/res101.mat": members()["xlsa17/data/CUB/res101.mat"],
        "/CUB/att_splits.mat": members()["xlsa17/data/CUB/att_splits.mat"],
        "../../evil.txt": b"x",
        "/tmp/evil-mmalign.txt": b"x",
    }
    server.plan = [lambda handler: whole(handler, packed(wicked))]
    (tmp_path / "deep").mkdir()
    fetched(server, tmp_path / "deep" / "data")
    assert not list(tmp_path.rglob("evil*"))
    assert {path.name for path in tmp_path.iterdir()} == {"deep"}


def test_unpack_refuses_what_python_cannot_read(tmp_path):
    content = bytearray(packed({"a/x": b"x" * 50}))
    central = content.index(b"PK\x01\x02")
    for place, what in ((8, b"\x01\x00"), (10, b"\x63\x00")):  # encrypted; a method of nobody's
        spoilt = bytearray(content)
        spoilt[central + place : central + place + 2] = what
        (tmp_path / "x.zip").write_bytes(spoilt)
        with pytest.raises(WrongArchiveError, match=r"x\.zip: a damaged zip archive"):
            unpack(tmp_path / "x.zip", {"a/x": "x"}, tmp_path)


def test_mirror_that_is_a_file(server, tmp_path):
    mine = tmp_path / "by hand.zip"
    mine.write_bytes(ARCHIVE)
    mirror = ("data", "fetch", "cub", "--to", "data", "--mirror")
    done = call(*mirror, "by hand.zip", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert left(tmp_path / "data") == FILES
    assert mine.read_bytes() == ARCHIVE
    mine.write_bytes(b"junk")
    assert "no zip archive" in refused(*mirror, mine, "--force", cwd=tmp_path)
    assert mine.read_bytes() == b"junk"
    assert left(tmp_path / "data") == FILES
    assert "is no address, and no file that is there" in refused(
        *mirror, "nowhere.zip", "--force", cwd=tmp_path
    )


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x/y.zip", "http://", "http://a b/c"])
def test_addresses_that_are_none(tmp_path, url):
    said = refused("data", "fetch", "cub", "--to", "data", "--mirror", url, cwd=tmp_path)
    assert "is no address to download from" in said


def test_several_sets_of_one_archive(server, tmp_path, monkeypatch):
    monkeypatch.setattr(AWA1, "counts", COUNTS)
    monkeypatch.setattr(AWA1, "dims", CUB.dims)
    both = packed({**members(), **members("xlsa17/data/AWA1")})
    server.plan = [lambda handler: whole(handler, both)]
    arguments = ("--to", "data", "--mirror", server.url())
    done = call("data", "fetch", "awa1", "cub", "cub", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(server.asked) == 1
    assert left(tmp_path / "data") == FILES | {name.replace("CUB", "AWA1") for name in FILES}
    said = refused("data", "fetch", "cub", "flo", *arguments, cwd=tmp_path)
    assert "--mirror is one archive, and these are in 2: https://" in said


def test_archive_is_kept_for_others(server, tmp_path):
    arguments = ("data", "fetch", "cub", "--keep", "--to", "data", "--mirror", server.url())
    assert call(*arguments, cwd=tmp_path).returncode == 0
    assert left(tmp_path / "data") == FILES | {".fetch/xlsa17.zip"}
    (tmp_path / "data" / "CUB" / "res101.mat").unlink()
    fetched(server, tmp_path / "data")
    assert len(server.asked) == 1


def test_killed_midway_goes_on_later(server, tmp_path):
    server.plan = [stalls]
    arguments = ["data", "fetch", "cub", "--to", "data", "--mirror", server.url()]
    process = subprocess.Popen([PROGRAM, *arguments], cwd=tmp_path)
    part = tmp_path / "data" / ".fetch" / "xlsa17.zip.part"
    for _ in range(600):
        if part.is_file() and part.stat().st_size == CUT:
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert left(tmp_path / "data") == PART
    server.plan = [whole]
    fetched(server, tmp_path / "data")
    assert ranges(server) == [None, f"bytes={CUT}-"]


def test_what_a_killed_one_unpacked_goes(server, tmp_path):
    stale = tmp_path / "data" / ".fetch" / "tmp123" / "CUB"
    stale.mkdir(parents=True)
    (stale / "res101.mat").write_bytes(b"x")
    fetched(server, tmp_path / "data")
    assert {path.name for path in (tmp_path / "data" / ".fetch").iterdir()} == {"lock"}


def test_two_at_once_do_not_meet(server, tmp_path):
    with locked(tmp_path / "data" / ".fetch", "fetch"):
        said = not_fetched(server, tmp_path / "data")
    assert "another fetch is at work here" in said
    assert "choose another --to" in said


def test_full_disk(server, tmp_path, monkeypatch):
    server.plan = [breaks_off, whole]
    usage = type("Usage", (), {"free": 100})
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: usage)
    assert "bytes are still to come, and 100 are free" in not_fetched(server, tmp_path / "data")


def test_folder_that_cannot_be(server, tmp_path):
    for name in ("x" * 300, "~nobody-of-this-name/data"):
        said = refused("data", "fetch", "cub", "--to", name, cwd=tmp_path)
        assert "--to: " in said
    (tmp_path / "data").write_text("mine")
    assert "cannot make" in not_fetched(server, tmp_path / "data")
    assert (tmp_path / "data").read_text() == "mine"


def test_list_of_what_there_is(tmp_path):
    done = call("data", "fetch", cwd=tmp_path)
    assert done.returncode == 0
    for name in ("cub", "sun", "awa1", "awa2", "apy", "flo"):
        assert re.search(rf"^{name} .*Xian et al\.", done.stdout, re.M)
    assert list(tmp_path.iterdir()) == []
    assert "no dataset 'cup'; did you mean 'cub'?" in refused("data", "fetch", "cup", cwd=tmp_path)
    assert "data set 'synthetic' is not published" in refused(
        "data", "fetch", "synthetic", cwd=tmp_path
    )


def test_what_is_published_where():
    sets = discover().components["dataset"]
    urls = {name: cls.published.url for name, cls in sets.items() if hasattr(cls, "published")}
    base = "https://datasets.d2.mpi-inf.mpg.de/xian"
    assert urls == {
        **dict.fromkeys(("cub", "sun", "awa1", "awa2", "apy"), f"{base}/xlsa17.zip"),
        "flo": f"{base}/cvpr18xian.zip",
    }
    assert isinstance(CUB(), Fetchable)
    assert FLO.published.files == {
        "cvpr18xian/data/FLO/res101.mat": "FLO/res101.mat",
        "cvpr18xian/data/FLO/att_splits.mat": "FLO/att_splits.mat",
    }


def test_full_size_passes_the_check(tmp_path):
    """All counts and widths of CUB, in numbers that compress to nothing."""
    counts = CUB.counts
    labels = np.concatenate(
        [
            np.resize(np.arange(1, 151), counts["training samples"]),
            np.resize(np.arange(1, 151), counts["test samples of seen classes"]),
            np.resize(np.arange(151, 201), counts["test samples of unseen classes"]),
        ]
    )
    edges = np.cumsum([counts[key] for key in list(counts)[3:]])
    train, seen, unseen = np.split(np.arange(1, edges[-1] + 1), edges[:-1])
    image = {"features": np.zeros((2048, len(labels)), np.uint8), "labels": labels[:, None]}
    split = {
        "att": np.zeros((312, 200), np.uint8),
        "trainval_loc": train, "test_seen_loc": seen, "test_unseen_loc": unseen,
    }  # fmt: skip
    (tmp_path / "CUB").mkdir()
    savemat(tmp_path / "CUB" / "res101.mat", image)
    savemat(tmp_path / "CUB" / "att_splits.mat", split)
    assert CUB(root=tmp_path).differences() == ()


def test_download_by_itself(server, tmp_path):
    told = []
    done = download.download(server.url(), tmp_path / "x", lambda *each: told.append(each))
    assert done == Downloaded(
        tmp_path / "x", server.url(), len(ARCHIVE), hashlib.sha256(ARCHIVE).hexdigest()
    )
    assert told[-1] == (len(ARCHIVE), len(ARCHIVE))
    assert {path.name for path in tmp_path.iterdir()} == {"x"}
    with pytest.raises(MmalignError, match="no address"):
        download.download("x.zip", tmp_path / "y", lambda *_: None)


def test_fetching_imports_no_torch(tmp_path):
    program = f"""
import sys
sys.argv = ["mmalign", "data", "fetch", "cub", "--to", {str(tmp_path)!r}, "--mirror", "x.zip"]
from mmalign.cli import main
try:
    main()
except SystemExit as exit:
    assert exit.code == 2, exit.code
assert "torch" not in sys.modules, "torch was imported"
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
