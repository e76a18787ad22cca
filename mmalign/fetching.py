"""Fetches public data sets from where their authors publish them, and checks what came."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
import urllib.parse
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from mmalign import download
from mmalign.datafiles import Fetchable
from mmalign.download import Downloaded, Told
from mmalign.errors import MmalignError, did_you_mean
from mmalign.inspecting import able
from mmalign.lock import locked
from mmalign.plugins import Registry
from mmalign.progress import RunProgress
from mmalign.recipe import built
from mmalign.unpack import WrongArchiveError, unpack

WORK = ".fetch"  # what is not there whole, in the folder of the data
MEGA = 1_000_000


def listing(registry: Registry) -> RenderableType:
    """What can be fetched, and from where."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in ("data set", "published by", "at"):
        table.add_column(column, no_wrap=True, overflow="ignore")
    for name, cls in fetchable(registry).items():
        table.add_row(name, Text(cls.published.by), Text(cls.published.url))
    return Group(table, Text("\nmmalign data fetch NAME fetches one."))


def fetchable(registry: Registry) -> dict[str, Any]:
    """The data sets that say where they are published, by name."""
    return able(registry, ("published", "differences"))


def fetch(
    names: Sequence[str],
    registry: Registry,
    console: Console,
    to: Path | None = None,
    mirror: str | None = None,
    force: bool = False,
    keep: bool = False,
) -> None:
    """Fetch data sets, each archive once; what is there already as published stays.

    ``to`` is the folder of the data sets' folders, by default where recipes look for them.
    ``mirror`` is another address of the archive, or the archive's file. Files that are there
    and are not as published are replaced only with ``force``. ``keep`` keeps the archive.
    Raises MmalignError; what is in place then is as it was.
    """
    chosen = [_chosen(name, registry, to) for name in dict.fromkeys(names)]
    urls = {each.published.url for each in chosen}
    if mirror is not None and len(urls) > 1:
        raise MmalignError(
            f"--mirror is one archive, and these are in {len(urls)}: {', '.join(sorted(urls))}"
        )
    missing = [each for each in chosen if not _there(each, force, console)]
    together: dict[tuple[str, Path], list[Fetchable]] = {}
    for each in missing:
        together.setdefault((each.published.url, _root(each)), []).append(each)
    for (url, root), wanted in together.items():
        _fetch(wanted, mirror or url, root, console, force, keep)


def _chosen(name: str, registry: Registry, to: Path | None) -> Fetchable:
    known = fetchable(registry)
    if name not in known:
        registry.find("dataset", name)  # the error for a name that is none
        raise MmalignError(f"data set '{name}' is not published; {did_you_mean(name, known)}")
    table = {} if to is None else {"root": str(to)}
    made: Fetchable = built(known[name], (), name, f"data set {name}", table)
    return made


def _root(dataset: Fetchable) -> Path:
    try:
        root = dataset.root.expanduser().resolve()
        root.exists()
    # RuntimeError: "~someone" without a home, or links in a circle.
    except (OSError, RuntimeError, ValueError) as error:
        raise MmalignError(f"--to: '{dataset.root}' cannot be looked into: {error}") from None
    return root


def _there(dataset: Fetchable, force: bool, console: Console) -> bool:
    """Whether a data set is here already. Raises MmalignError where something else is."""
    paths = [_root(dataset) / target for target in dataset.published.files.values()]
    if force or not all(path.exists() for path in paths):
        return False
    try:
        differences = dataset.differences()
    except MmalignError as error:
        differences = (str(error),)
    if differences:
        raise MmalignError(
            "\n  ".join([
                f"'{dataset.name}' is in {paths[0].parent} already, but not as it is published;"
                " --force replaces it",
                *differences,
            ])
        )  # fmt: skip
    console.print(f"{dataset.name}: in {paths[0].parent} already, as published", soft_wrap=True)
    return True


def _fetch(
    wanted: Sequence[Fetchable],
    url: str,
    root: Path,
    console: Console,
    force: bool,
    keep: bool,
) -> None:
    """Get one archive, and out of it these data sets."""
    with locked(root / WORK, "fetch", "--to"):
        try:
            for each in (root / WORK).iterdir():
                if each.is_dir():  # unpacked by a process that was killed
                    shutil.rmtree(each)
            archive = _archive(url, root / WORK, console)
            own = archive.path.parent == root / WORK
            try:
                for dataset in wanted:
                    _install(dataset, archive, root, console, force)
            except WrongArchiveError:
                if own:  # it must not be taken for the right one the next time
                    archive.path.unlink(missing_ok=True)
                raise
            if own and not keep:
                archive.path.unlink(missing_ok=True)
        except OSError as error:
            raise MmalignError(f"cannot write in {root}: {error.strerror or error}") from None


def _archive(url: str, folder: Path, console: Console) -> Downloaded:
    """The archive: a file that was given or kept, or a download."""
    if "://" not in url:
        given = Path(url).absolute()
        if not given.is_file():
            raise MmalignError(f"--mirror: '{url}' is no address, and no file that is there")
        return Downloaded(given, given.as_uri(), *_measured(given))
    name = Path(urllib.parse.unquote(urllib.parse.urlsplit(url).path)).name or "archive.zip"
    kept = folder / name
    if kept.is_file():
        return Downloaded(kept, url, *_measured(kept))
    with RunProgress(console, unit="MB") as progress:
        return download.download(url, kept, _told(progress, name))


def _measured(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()


def _told(progress: RunProgress, name: str) -> Told:
    """Shows megabytes and how many come in a second."""
    began, first = time.monotonic(), -1

    def told(came: int, total: int | None) -> None:
        nonlocal first
        first = came if first < 0 else first
        speed = (came - first) / MEGA / max(1e-3, time.monotonic() - began)
        whole = -(-max(came, total or 0) // MEGA)
        done = whole if came == total else came // MEGA
        progress.epoch_ended(name, done, max(1, whole), {"MB/s": speed})

    return told


def _install(
    dataset: Fetchable, archive: Downloaded, root: Path, console: Console, force: bool
) -> None:
    """Unpack beside, check, and only then put in place."""
    files = dataset.published.files
    with tempfile.TemporaryDirectory(dir=root / WORK) as beside:
        unpack(archive.path, files, Path(beside))
        made = built(type(dataset), (), dataset.name, dataset.name, {"root": beside})
        try:
            differences = made.differences()
        except MmalignError as error:
            differences = (str(error).replace(beside, archive.path.name),)
        if differences:
            raise WrongArchiveError(
                "\n  ".join([
                    f"{archive.url}: '{dataset.name}' in it is not as published, and was not put"
                    f" in place (SHA-256 of the archive: {archive.sha256})",
                    *differences,
                ])
            )  # fmt: skip
        if not force:
            _refuse_others(files.values(), Path(beside), root)
        record = Path(beside) / "fetched.json"
        record.write_text(_record(archive, Path(beside), files.values()), encoding="utf-8")
        folder = (root / next(iter(files.values()))).parent
        for target in files.values():
            (root / target).parent.mkdir(parents=True, exist_ok=True)
            (Path(beside) / target).replace(root / target)
        shutil.move(record, folder / record.name)
    console.print(f"{dataset.name}: {folder}, as published", soft_wrap=True)
    console.print(f"  SHA-256 of {archive.path.name}: {archive.sha256}", soft_wrap=True)


def _refuse_others(files: Iterable[str], new: Path, root: Path) -> None:
    """Raises MmalignError where another file is in the place of one of these."""
    for name in files:
        if (root / name).exists() and _measured(root / name) != _measured(new / name):
            raise MmalignError(
                f"{root / name} is there already, and is another file than the published one;"
                " --force replaces it"
            )


def _record(archive: Downloaded, folder: Path, files: Iterable[str]) -> str:
    """Where the files came from, and what they are."""
    about = {
        "url": archive.url,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "archive": {"bytes": archive.size, "sha256": archive.sha256},
        "files": {
            name: dict(zip(("bytes", "sha256"), _measured(folder / name), strict=True))
            for name in files
        },
    }
    return json.dumps(about, indent=1) + "\n"
