"""What the README's first run says is done: train, add three classes by a text, recognise them."""

import csv
import io
import re
import shlex
import shutil
from pathlib import Path

import pytest
from commands import call

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def test_links_lead_somewhere():
    for target in re.findall(r"\]\((?!https)([^)#]+)[^)]*\)|src=\"([^\"]+)\"", TEXT):
        path = next(each for each in target if each)
        assert (ROOT / path).exists(), path


@pytest.mark.slow
def test_three_emoji_that_were_never_seen_are_recognised(tmp_path):
    pytest.importorskip("sentence_transformers", reason="needs the extra 'minilm'")
    shutil.copytree(ROOT / "examples" / "new-emoji", tmp_path / "examples" / "new-emoji")
    assert call("run", "quickstart", "--seeds", 1, cwd=tmp_path).returncode == 0
    said = {}
    for command in ("add-classes", "predict"):
        (line,) = re.findall(rf"^    mmalign ({command} .*examples/new-emoji.*)$", TEXT, re.M)
        words = [
            str(next(tmp_path.glob(word))) if "*" in word else word for word in shlex.split(line)
        ]
        done = call(*words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        said[command] = done.stdout
    assert "3 classes more, 1591 in all" in said["add-classes"]
    best = [each for each in csv.DictReader(io.StringIO(said["predict"])) if each["rank"] == "1"]
    right = sum(each["name"] == f"{each['class']}.png" for each in best)
    # All three where the page was written; other processors round otherwise.
    assert right >= 2
