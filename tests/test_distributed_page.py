"""The commands of docs/distributed.md are those that tests/test_distributed.py runs."""

import re
from pathlib import Path

import pytest
from commands import call

from mmalign.processes import BY_HAND
from mmalign.recipe import shipped

PAGE = (Path(__file__).parents[1] / "docs" / "distributed.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```\n(.*?)^```", PAGE, re.M | re.S)
COMMANDS = [line for block in BLOCKS for line in block.splitlines()]
TORCHRUN = "torchrun --nproc-per-node 2 -m "  # as the test calls it


def test_there_are_the_three_ways_to_start():
    assert len(COMMANDS) == 5
    assert len([line for line in COMMANDS if line.startswith(TORCHRUN)]) == 1
    by_hand = [line for line in COMMANDS if all(f"{name}=" in line for name in BY_HAND)]
    assert [re.search(r"NODE_RANK=(\d)", line)[1] for line in by_hand] == ["0", "1"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_page_is_one(tmp_path, command):
    words = command.removeprefix(TORCHRUN).split()
    program, name, recipe, *options = [word for word in words if "=" not in word]
    assert (program, name) == ("mmalign", "run")
    assert recipe in shipped()
    said = call(name, "--help", cwd=tmp_path).stdout
    assert [word for word in options if word.startswith("--") and word not in said] == []
