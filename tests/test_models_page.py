"""What docs/models.md says is done, in its order: commands and code."""

import re
import shlex
from pathlib import Path

import pytest
from commands import call

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.M | re.S)


def opened(word: str, folder: Path) -> list[str]:
    """A word as a shell hands it on."""
    return [str(path) for path in folder.glob(word)] if "*" in word else [word]


def test_page_is_done_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = []
    for language, text in BLOCKS:
        if language == "python":
            exec(text, {})
            continue
        for line in text.splitlines():
            program, *words = shlex.split(line)
            assert program == "mmalign"
            done = call(*[each for word in words for each in opened(word, tmp_path)], cwd=tmp_path)
            assert done.returncode == 0, done.stderr
            said += [done.stdout] if words[0] == "predict" else []
    assert said[0].count("unseen 000") == 0
    after = next(text for text in said if "unseen 000" in text).count("unseen 000")
    # 37 of 40 where the page was written; other processors round otherwise.
    assert after >= 30
    for made in ("another-model", "from-sklearn", "answers.jsonl", "described.parquet", "told.npy"):
        assert (tmp_path / made).exists(), made


def test_links_and_programs_are_there() -> None:
    for target in re.findall(r"\]\((?!https)([^)#]+)[^)]*\)", TEXT):
        assert (ROOT / "docs" / target).exists(), target
    for program in re.findall(r"^    python (\S+)", TEXT, re.M):
        assert (ROOT / program).is_file(), program
