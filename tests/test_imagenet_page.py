"""What docs/imagenet.md says is true: its code runs, its commands run, its names are there."""

import re
import shlex
import subprocess
import sys

from commands import call, only, report_of
from test_imagenet import ROOT

from mmalign_imagenet.dataset import ImageNet
from mmalign_imagenet.files import LISTS
from mmalign_imagenet.tables import Table

PAGE = (ROOT / "docs" / "imagenet.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S)


def test_the_code_writes_a_table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("python")
    exec(compile(code, "docs/imagenet.md", "exec"), {})
    table = Table.read(tmp_path / "data" / "imagenet" / "seen.npy")
    assert table.values.shape == (3, 2048)
    assert table.ids.tolist() == [1440764, 1440764, 1443537]


def test_the_made_up_data_runs_as_written(tmp_path):
    make, run = (shlex.split(line) for line in blocks("console")[0].splitlines())
    assert make[:2] == ["python", "tools/make_imagenet_like.py"]
    words = [sys.executable, ROOT / make[1], *make[2:]]
    subprocess.run(list(map(str, words)), cwd=tmp_path, check=True, capture_output=True)
    assert run[0] == "mmalign"
    done = call(*run[1:], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert report_of(only(tmp_path / "runs" / "imagenet"))["unseen"] == 60


def test_the_other_commands_are_of_recipes_that_can_run(tmp_path):
    for line in blocks("console")[1].splitlines():
        program, command, recipe, *rest = shlex.split(line)
        assert (program, command) == ("mmalign", "run")
        sets = [word for at, word in enumerate(rest) if "--set" in (word, *rest[at - 1 : at])]
        assert call("check", recipe, *sets, cwd=tmp_path).returncode == 0


def test_settings_and_lists_that_are_named_are_there():
    named = set(re.findall(r"dataset\.(\w+)", PAGE))
    assert {"root", "split", "counts", "names"} < named <= set(ImageNet.__dataclass_fields__)
    assert all(f"`{name}`" in PAGE for name in LISTS)
    splits = re.findall(r"`([^`]+)`", " ".join(re.findall(r"^\| (`.*?) \|", PAGE, re.M)))
    assert set(splits) >= {"2-hops", "3-hops", "M500", "M1K", "M5K", "L500", "L1K", "L5K", "all"}
