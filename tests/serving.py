"""A server at this machine that does what servers on a bad day do, and a tiny archive for it."""

import io
import os
import re
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from scipy.io import savemat

COUNTS = {
    "classes": 3,
    "seen classes": 2,
    "unseen classes": 1,
    "training samples": 4,
    "test samples of seen classes": 2,
    "test samples of unseen classes": 3,
}
CUT = 40_000  # bytes after which a connection breaks


def mat(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    savemat(file, arrays)
    # The header says when it was written; the same numbers are to be the same bytes here.
    return b"MATLAB 5.0 MAT-file".ljust(116) + file.getvalue()[116:]


def members(folder: str = "xlsa17/data/CUB", dim: int = 2048) -> dict[str, bytes]:
    """A tiny data set in the layout of the archive: incompressible, 150 kB."""
    features = np.random.default_rng(0).random((dim, 9))
    names = np.array([["tern"], ["wren"], ["gull"]], dtype=object)
    return {
        f"{folder}/res101.mat": mat(features=features, labels=np.repeat([1, 2, 3], 3)[:, None]),
        f"{folder}/att_splits.mat": mat(
            att=np.random.default_rng(1).random((312, 3)),
            allclasses_names=names,
            trainval_loc=np.array([1, 2, 4, 5]),
            test_seen_loc=np.array([3, 6]),
            test_unseen_loc=np.array([7, 8, 9]),
            val_loc=np.array([4, 5]),
        ),
    }


def packed(held: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in held.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return file.getvalue()


ARCHIVE = packed({"xlsa17/README.txt": b"read me", **members()})
assert len(ARCHIVE) > 2 * CUT


class Handler(BaseHTTPRequestHandler):
    """Does what the server's plan has for this request; the last step goes on for ever."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def do_GET(self) -> None:
        self.server.asked.append(dict(self.headers) | {"path": self.path})
        plan = self.server.plan
        step = plan.pop(0) if len(plan) > 1 else plan[0]
        step(self)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def answer(self, status: int, content: bytes, length: int | None = None, **more: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        for name, value in more.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()


class Server(ThreadingHTTPServer):
    """A server at this machine, with what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[dict[str, str]] = []
        self.plan: list[Callable[[Handler], None]] = [whole]

    def url(self, path: str = "xlsa17.zip") -> str:
        return f"http://127.0.0.1:{self.server_port}/{path}"


def part_of(handler: Handler, content: bytes) -> tuple[int, bytes, dict[str, str]]:
    """Status, bytes and headers for a request that may be of a part."""
    wanted = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    if wanted is None or handler.headers.get("If-Range", '"v1"') != '"v1"':
        return 200, content, {"ETag": '"v1"'}
    start = int(wanted[1])
    if start >= len(content):
        return 416, b"", {"Content_Range": f"bytes */{len(content)}"}
    span = f"bytes {start}-{len(content) - 1}/{len(content)}"
    return 206, content[start:], {"Content_Range": span, "ETag": '"v1"'}


def whole(handler: Handler, content: bytes = ARCHIVE) -> None:
    """As it should be: the file, or the part that was asked for."""
    status, said, more = part_of(handler, content)
    handler.answer(status, said, **more)


def breaks_off(handler: Handler, content: bytes = ARCHIVE, after: int = CUT) -> None:
    """Promises all of it, and hangs up."""
    status, said, more = part_of(handler, content)
    handler.answer(status, said[:after], len(said), **more)


def ignores_range(handler: Handler) -> None:
    handler.answer(200, ARCHIVE)


def breaks_off_ignoring_range(handler: Handler) -> None:
    handler.answer(200, ARCHIVE[:CUT], len(ARCHIVE))


def newer(handler: Handler) -> None:
    """Another version than the part is of, which a server that knows If-Range gives whole."""
    content = packed({**members(), "more.txt": os.urandom(999)}, zipfile.ZIP_STORED)
    status, said, more = part_of(handler, content)
    old = handler.headers.get("If-Range") == '"v1"'
    handler.answer(200 if old else status, content if old else said, **more | {"ETag": '"v2"'})


def other_part(handler: Handler) -> None:
    more = {"Content_Range": f"bytes 7-{len(ARCHIVE) - 1}/{len(ARCHIVE)}"}
    handler.answer(206 if "Range" in handler.headers else 200, ARCHIVE, **more)


def refuses(status: int) -> Callable[[Handler], None]:
    return lambda handler: handler.answer(status, b"no")


def redirects(to: str) -> Callable[[Handler], None]:
    return lambda handler: handler.answer(302, b"", Location=to)


def chunked(handler: Handler) -> None:
    """All of it, without a word on its length."""
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    for block in (ARCHIVE[:CUT], ARCHIVE[CUT:]):
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(block), block))
    handler.wfile.write(b"0\r\n\r\n")


def chunked_breaks_off(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"%x\r\n%s\r\n" % (CUT, ARCHIVE[:CUT]))


def stalls(handler: Handler) -> None:
    """Sends a part, and then nothing, without hanging up."""
    breaks_off(handler)
    time.sleep(30)


@contextmanager
def serving() -> Iterator[Server]:
    """A server that is at work."""
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()
