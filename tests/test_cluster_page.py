"""What docs/cluster.md says: its commands are commands, and no option of theirs is left out."""

import re
from pathlib import Path

import pytest
from commands import call

from mmalign.recipe import shipped

PAGE = (Path(__file__).parents[1] / "docs" / "cluster.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^mmalign (.*)$", PAGE, re.M)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_page_is_one(tmp_path, command):
    name, recipe, *options = command.split()
    said = call(name, "--help", cwd=tmp_path).stdout
    assert [word for word in options if word.startswith("--") and word not in said] == []
    assert recipe in (*shipped(), "mine.toml")


def test_the_options_of_workers_are_in_the_page(tmp_path):
    for name in ("run", "tune"):
        said = call(name, "--help", cwd=tmp_path).stdout
        for option in ("--workers", "--executor", "--ray-address"):
            assert option in said
            assert option in PAGE
