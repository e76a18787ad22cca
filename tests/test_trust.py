"""``mmalign plugins --trust``: what would be imported, with nothing imported."""

import base64
import hashlib
import json
import sys
from importlib.metadata import EntryPoint, distributions
from pathlib import Path

import pytest
from commands import call
from misbehaving import install

from mmalign.trust import Provenance, file_of, provenance

CODE = "raise RuntimeError('imported')"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("MMALIGN_PLUGINS", raising=False)
    install(tmp_path, CODE)
    return tmp_path


def about(folder: Path, name: str, text: str) -> None:
    (folder / "bad_dist-1.2.dist-info" / name).write_text(text, encoding="utf-8")


def record(folder: Path, *names: str) -> None:
    """Write RECORD as an installer does, over these files."""
    lines = []
    for name in names:
        digest = hashlib.sha256((folder / name).read_bytes()).digest()
        code = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        lines.append(f"{name},sha256={code},{(folder / name).stat().st_size}")
    about(folder, "RECORD", "\n".join([*lines, "bad_dist-1.2.dist-info/RECORD,,\n"]))


def entries(folder: Path) -> list[EntryPoint]:
    return [each for d in distributions(path=[str(folder)]) for each in d.entry_points]


def seen(folder: Path) -> Provenance:
    (one,) = provenance(entries(folder))
    assert "bad_module" not in sys.modules
    return one


def test_files_as_they_were_installed(folder: Path) -> None:
    record(folder, "bad_module.py", "bad_dist-1.2.dist-info/METADATA")
    about(folder, "INSTALLER", "pip\n")
    one = seen(folder)
    assert (one.name, one.version, one.ours) == ("bad-dist", "1.2", False)
    assert one.origin == "from a package index, by pip"
    assert (one.files, one.sound) == ("all 2 match their RECORD", True)
    (plugin,) = one.imports
    assert (plugin.plugin, plugin.module, plugin.wanted) == ("bad", "bad_module", True)
    assert (plugin.file, plugin.stray) == (str(folder / "bad_module.py"), False)


def test_files_that_were_altered_or_are_gone(folder: Path) -> None:
    (folder / "more.py").write_text("")
    record(folder, "bad_module.py", "more.py", "bad_dist-1.2.dist-info/METADATA")
    (folder / "bad_module.py").write_text(CODE + "\nimport this")
    (folder / "more.py").unlink()
    one = seen(folder)
    assert one.files == "ALTERED: 2 of 3 differ from their RECORD: bad_module.py, more.py"
    assert not one.sound


def test_a_module_that_is_none_of_the_distributions(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(folder, "bad_module.py")
    (folder / "first").mkdir()
    (folder / "first" / "bad_module.py").write_text(CODE)
    monkeypatch.syspath_prepend(folder / "first")
    (plugin,) = seen(folder).imports
    assert plugin.stray
    assert plugin.file == str(folder / "first" / "bad_module.py")
    said = call("plugins", "--trust", cwd=folder).stdout
    assert "STRAY: this is no file of bad-dist's" in said


URLS = {
    "editable": (
        {"url": "FOLDER", "dir_info": {"editable": True}},
        "editable, from HERE",
        "editable: whatever stands in that folder runs; no hashes",
    ),
    "vcs": (
        {"url": "https://x.org/r.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
        "git https://x.org/r.git at abc",
        "no RECORD: nothing to compare them with",
    ),
    "archive": (
        {"url": "https://x.org/bad.whl", "archive_info": {}},
        "from https://x.org/bad.whl",
        "no RECORD: nothing to compare them with",
    ),
    "none": (None, "put there by hand, by no installer", "no RECORD: nothing to compare them with"),
    "no table": (
        [],
        "put there by hand, by no installer",
        "no RECORD: nothing to compare them with",
    ),
}


@pytest.mark.parametrize(("url", "origin", "files"), URLS.values(), ids=URLS.keys())
def test_where_it_came_from(url: object, origin: str, files: str, folder: Path) -> None:
    if url is not None:
        about(folder, "direct_url.json", json.dumps(url).replace("FOLDER", folder.as_uri()))
    one = seen(folder)
    assert one.origin == origin.replace("HERE", str(folder))
    assert one.files == files
    assert not one.imports[0].stray


def test_a_direct_url_that_is_no_json(folder: Path) -> None:
    about(folder, "direct_url.json", "{")
    assert seen(folder).origin == "put there by hand, by no installer"


def test_packages_are_not_imported_to_find_what_is_in_them(folder: Path) -> None:
    (folder / "outer" / "inner").mkdir(parents=True)
    for place in ("outer", "outer/inner"):
        (folder / place / "__init__.py").write_text(CODE)
    (folder / "outer" / "inner" / "leaf.py").write_text(CODE)
    assert file_of("outer.inner.leaf") == str(folder / "outer" / "inner" / "leaf.py")
    assert file_of("outer.inner") == str(folder / "outer" / "inner" / "__init__.py")
    assert file_of("outer.missing.leaf") is None
    assert "outer" not in sys.modules


def test_the_table(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMALIGN_PLUGINS", "")
    done = call("plugins", "--trust", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert "bad_module" not in sys.modules
    blocks = done.stdout.split("\n\n")
    assert blocks[0].startswith("mmalign 0.1.0  mmalign itself\n")
    assert "  imports    image " in blocks[0]
    (block,) = (each for each in blocks if each.startswith("bad-dist"))
    assert block.splitlines() == [
        "bad-dist 1.2  third party",
        "  installed  put there by hand, by no installer",
        "  files      no RECORD: nothing to compare them with",
        "  off        bad  bad_module",
        f"             {folder / 'bad_module.py'}",
    ]
    assert "Nothing was imported. " in blocks[-1]
    assert "MMALIGN_PLUGINS= turns third parties off" in blocks[-1]
    assert "\x1b" not in done.stdout
    sentences = [line for line in done.stdout.splitlines() if "/" not in line]
    assert max(map(len, sentences)) <= 80


def test_an_entry_point_without_module_or_distribution(folder: Path) -> None:
    (one,) = provenance([EntryPoint("lonely", "no_such_module.inner", "mmalign")])
    assert (one.name, one.origin) == ("unknown", "of no distribution")
    assert one.imports[0].file is None
