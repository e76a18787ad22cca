"""Downloads one file over HTTP: goes on where it broke off, and is there whole or not at all."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

from mmalign.errors import MmalignError

ATTEMPTS = 4  # in a row of which none brings ENOUGH bytes
ENOUGH = 2**20
PAUSE = 1.0  # seconds before the second attempt, doubled for each further one
TIMEOUT = 30.0  # seconds without a byte
BLOCK = 2**18
PASSING = (408, 425, 429)  # refusals that may be over soon, besides those from 500 on

Told: TypeAlias = Callable[[int, int | None], None]


class BrokenOffError(Exception):
    """An attempt failed in a way that another one may not."""


@dataclass(frozen=True)
class Downloaded:
    """A file that is there: where it came from in the end, its bytes and its SHA-256."""

    path: Path
    url: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Known:
    """What a server said of the file of which a part is here."""

    url: str
    total: int | None = None
    validator: str = ""


class Part:
    """The first bytes of a file, and beside them of which one."""

    def __init__(self, to: Path) -> None:
        self.path = to.with_name(f"{to.name}.part")
        self.beside = to.with_name(f"{to.name}.part.json")

    def size(self) -> int:
        """How many bytes are here."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def known(self) -> Known | None:
        """What is known of the whole, None where that cannot be read."""
        try:
            known = Known(**json.loads(self.beside.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, RecursionError):
            return None
        whole = isinstance(known.total, int | None) and isinstance(known.validator, str)
        return known if whole and known.validator.isprintable() else None

    def begin(self, known: Known, start: int) -> None:
        """Bytes from ``start`` on will follow; what is here beyond goes."""
        self.beside.write_text(json.dumps(asdict(known)), encoding="utf-8")
        with self.path.open("ab") as file:
            file.truncate(start)

    def discard(self) -> None:
        """Take all of it away."""
        for path in (self.path, self.beside):
            path.unlink(missing_ok=True)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to where a download may come from, and nowhere else."""

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        check_url(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def check_url(url: str) -> None:
    """Raises MmalignError for what is no address of a file on a web server."""
    try:
        parts = urllib.parse.urlsplit(url)
        host = parts.hostname
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise MmalignError(f"'{url}' is no address to download from; it begins with http(s)://")


def download(url: str, to: Path, told: Told) -> Downloaded:
    """Download a file to ``to``, where it appears when it is whole.

    ``told(bytes, total)`` hears of progress; the total may be unknown. Raises MmalignError
    where the server refuses, or breaks off time and again; what came is kept in a file
    beside, and the next call goes on from there.
    """
    check_url(url)
    part, failures = Part(to), 0
    while True:
        before = part.size()
        try:
            final = _attempt(url, part, told)
            break
        except BrokenOffError as trouble:
            failures = 1 if part.size() - before >= ENOUGH else failures + 1
            if failures >= ATTEMPTS:
                raise MmalignError(
                    f"{url}: {trouble}; tried {ATTEMPTS} times in a row. The"
                    f" {part.size():,} bytes that came are kept: call again to go on, or give"
                    " another address with --mirror"
                ) from None
            time.sleep(PAUSE * 2 ** (failures - 1))
    with part.path.open("rb") as file:
        os.fsync(file.fileno())
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    part.path.replace(to)
    part.discard()
    return Downloaded(to, final, to.stat().st_size, digest)


def _attempt(url: str, part: Part, told: Told) -> str:
    """One request, from where the part ends; the address that answered.

    Raises BrokenOffError where the file is not whole afterwards, and another try may help.
    """
    known, size = part.known(), part.size()
    if known is None or known.url != url or size == 0:
        known, size = Known(url), 0
    headers = {"User-Agent": "mmalign", "Accept-Encoding": "identity"}
    if size:
        headers["Range"] = f"bytes={size}-"
        if known.validator:  # so that no two versions of the file are put together
            headers["If-Range"] = known.validator
    response = _open(url, headers, part, size)
    if response is None:
        return url
    with response:
        start, total = _span(response, size)
        if start and known.total is not None and total != known.total:
            part.discard()
            raise BrokenOffError("the file has changed since the first part of it came")
        _check_room(part.path, total, start)
        part.begin(Known(url, total, _validator(response)), start)
        came = _copy(response, part, start, total, told)
    if total is not None and came < total:
        raise BrokenOffError(f"broke off after {came:,} of {total:,} bytes")
    return str(response.geturl())


def _open(url: str, headers: dict[str, str], part: Part, size: int) -> Any:
    """The server's answer; None where it says that the part is the whole."""
    opener = urllib.request.build_opener(_Redirects)
    try:
        return opener.open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416 and size:  # nothing beyond what is here
                total = re.fullmatch(r"bytes \*/(\d+)", error.headers.get("Content-Range", ""))
                if total and int(total[1]) == size:
                    return None
                part.discard()
                raise BrokenOffError("what was here is no part of the file there") from None
            said = f"{error.code} {error.reason}"
            if error.code >= 500 or error.code in PASSING:
                raise BrokenOffError(f"the server says {said}") from None
            raise MmalignError(
                f"{url}: the server says {said}; give another address with --mirror"
            ) from None
    except (http.client.InvalidURL, UnicodeError) as error:
        raise MmalignError(f"'{url}' is no address to download from: {error}") from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise BrokenOffError(f"no answer: {reason or type(error).__name__}") from None


def _span(response: Any, size: int) -> tuple[int, int | None]:
    """Where the answer's bytes begin in the file, and how long the file is."""
    if response.status == 206:
        span = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if span is None or int(span[1]) != size:
            raise MmalignError(
                f"{response.geturl()}: the server gave another part of the file than it was asked"
                " for; give another address with --mirror"
            )
        return size, None if span[2] == "*" else int(span[2])
    length = response.length  # None where the server does not say
    return 0, None if length is None else int(length)


def _validator(response: Any) -> str:
    """What tells this version of the file from others; "" where the server gives nothing."""
    tag = str(response.headers.get("ETag", ""))
    if tag and not tag.startswith("W/"):
        return tag
    return str(response.headers.get("Last-Modified", ""))


def _check_room(path: Path, total: int | None, start: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if total is not None and total - start > free:
        raise MmalignError(
            f"{path.parent}: {total - start:,} bytes are still to come, and {free:,} are free"
        )


def _copy(response: Any, part: Part, start: int, total: int | None, told: Told) -> int:
    """Append what comes; where it ends. Raises BrokenOffError where the connection does."""
    came = start
    with part.path.open("ab") as file:
        # What came is written at once: a server that falls silent takes nothing back.
        while total is None or came < total:
            try:
                block = response.read1(BLOCK if total is None else min(BLOCK, total - came))
            except (OSError, http.client.HTTPException) as error:
                said = f"{came:,}" if total is None else f"{came:,} of {total:,}"
                what = str(error) or type(error).__name__
                raise BrokenOffError(f"broke off after {said} bytes: {what}") from None
            if not block:
                break
            try:
                file.write(block)
                file.flush()
            except OSError as error:
                raise MmalignError(f"cannot write {part.path}: {error.strerror}") from None
            came += len(block)
            told(came, total)
    return came
