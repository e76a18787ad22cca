"""Takes the wanted files out of a zip archive, each to a place that we choose."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path

from mmalign.errors import MmalignError

TIMES, BOMB = 100, 2**30  # a member may unpack to so many times its size, or to so many bytes


class WrongArchiveError(MmalignError):
    """An archive that does not hold what it should: another download may."""


def unpack(archive: Path, files: Mapping[str, str], to: Path) -> None:
    """Write each wanted member below ``to``; nothing else of the archive is looked at.

    ``files`` are paths in the archive, each with the relative path that it gets. No name from
    the archive becomes a path, so that none can lead out of the folder. Raises
    WrongArchiveError for what is no such archive, lacks a member or is damaged.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = {
                target: _member(archive, opened, name, target) for name, target in files.items()
            }
            for member in members.values():
                _refuse_bomb(archive, member)
            needed = sum(member.file_size for member in members.values())
            free = shutil.disk_usage(to).free
            if needed > free:
                raise MmalignError(f"{to}: {needed:,} bytes are needed, and {free:,} are free")
            for target, member in members.items():
                (to / target).parent.mkdir(parents=True, exist_ok=True)
                with opened.open(member) as source, (to / target).open("wb") as file:
                    shutil.copyfileobj(source, file, 2**20)
    except OSError as error:
        raise MmalignError(f"cannot unpack {archive} to {to}: {error.strerror or error}") from None
    except MmalignError:
        raise
    # Encrypted, a compression that Python lacks, or damaged, for which zipfile raises nearly
    # anything; none of it is a bug of ours.
    except Exception as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise WrongArchiveError(f"{archive.name}: {_what(archive, said)}") from None


def _member(archive: Path, opened: zipfile.ZipFile, name: str, target: str) -> zipfile.ZipInfo:
    """The member of this path; else the only one whose path ends with the target's.

    A mirror may have packed the same files below another folder.
    """
    held = [each for each in opened.infolist() if not each.is_dir()]
    found = [each for each in held if each.filename == name]
    found = found or [each for each in held if f"/{each.filename}".endswith(f"/{target}")]
    if len(found) != 1:
        said = f"{len(found)} files that end in" if found else "no file"
        raise WrongArchiveError(
            f"{archive.name}: holds {said} {target}, among {len(held)} files; is it the right"
            " archive?"
        )
    return found[0]


def _refuse_bomb(archive: Path, member: zipfile.ZipInfo) -> None:
    """Raises WrongArchiveError for a member that would unpack to far more than numbers do."""
    if member.file_size > max(BOMB, TIMES * member.compress_size):
        raise WrongArchiveError(
            f"{archive.name}: {member.compress_size:,} bytes of it would unpack to"
            f" {member.file_size:,}, which a decompression bomb does"
        )


def _what(archive: Path, said: str) -> str:
    """What a file is that should have been an archive."""
    with archive.open("rb") as file:
        head = file.read(200).lstrip()
    if head.startswith(b"PK"):
        return f"a damaged zip archive: {said}"
    if head.startswith(b"<"):
        return f"a web page, and no zip archive: {head[:60].decode('utf-8', 'replace')!r}"
    return f"no zip archive: {said}"
