"""What docs/sweeps.md says is so: its tables are sound, its options and keys are all there are."""

import dataclasses
import re
from pathlib import Path

import pytest
from commands import call

from mmalign.cells import expand
from mmalign.figure import Figure
from mmalign.plugins import discover
from mmalign.recipe import read, shipped
from mmalign.space import read_space

PAGE = (Path(__file__).parents[1] / "docs" / "sweeps.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```toml\n(.*?)^```", PAGE, re.M | re.S)
COMMANDS = re.findall(r"^mmalign (.*)$", PAGE, re.M)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_a_table_of_the_page_is_sound(tmp_path, number):
    base = shipped()["synthetic"].read_text(encoding="utf-8")
    (tmp_path / "mine.toml").write_text(base + BLOCKS[number], encoding="utf-8")
    registry = discover()
    recipe = read(str(tmp_path / "mine.toml"), registry)
    if recipe.tune is not None:
        assert len(read_space(recipe, registry).keys) == 3
    else:
        assert len(expand(recipe, registry).cells) >= 3


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_page_is_one(tmp_path, command):
    name, recipe, *options = command.split()
    said = call(name, "--help", cwd=tmp_path).stdout
    assert [word for word in options if word.startswith("--") and word not in said] == []
    assert recipe in (*shipped(), "mine.toml")


def test_every_key_of_a_figure_is_in_the_page():
    rows = re.findall(r"^\| (`.*?) \|", PAGE.partition("## The figure")[2], re.M)
    said = {key for row in rows for key in re.findall(r"`(\w+)`", row)}
    assert said == {field.name for field in dataclasses.fields(Figure)}
