"""What docs/own-data.md says is done, in its order: commands, code, and what they print."""

import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from commands import call
from serving import COUNTS, serving

from mmalign.component import describe
from mmalign_folder.dataset import Folder
from mmalign_xlsa17.datasets import CUB

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "own-data.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.M | re.S)


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny CUB at this machine, in the place of the one that the authors publish."""
    monkeypatch.setattr(CUB, "counts", COUNTS)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serving() as server:
        monkeypatch.setattr(CUB, "published", replace(CUB.published, url=server.url()))
        yield


@pytest.mark.usefixtures("published")
def test_page_is_done_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said, status = "", 0
    for language, text in BLOCKS:
        if language == "python":
            exec(text, {})
        elif language == "text":
            shown = [line.rstrip() for line in said.splitlines()]
            for line in text.splitlines():
                assert line == "..." or line in shown, f"{line!r} is not printed:\n{said}"
        elif language == "bash":
            for line in text.splitlines():
                program, *words = shlex.split(line)
                assert program == "mmalign"
                done = call(*words, cwd=tmp_path)
                said, status = done.stdout + done.stderr, done.returncode
                assert status == (2 if "data check broken" in line else 0), said
        else:
            assert language in ("csv", "toml"), f"nothing tests a block of {language}"
    assert (tmp_path / "data" / "xlsa17" / "CUB" / "res101.mat").is_file()


def test_every_field_is_there_with_its_default() -> None:
    for name, _, default, _ in describe(Folder):
        assert f"| `{name}` | {default if default == 'required' else f'`{default}`'} |" in TEXT
