"""What docs/features.md says is done, in its order: commands, code and recipe."""

import importlib
import re
import shlex
import tomllib
from pathlib import Path

import pytest
from commands import call, only, report_of
from vision import made_folder, network

from mmalign import hooks, pictures
from mmalign.component import describe
from mmalign.extract import chosen
from mmalign.plugins import discover
from mmalign.testing import checks
from mmalign_synthetic.dataset import Synthetic

PAGE = Path(__file__).parents[1] / "docs" / "features.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.M | re.S)
# Their packages are in an environment of its own; see test_hubs.py.
ELSEWHERE = ("timm", "torchvision")
TINY = ["dataset.samples=4", "dataset.seen=4", "dataset.validation=1", "dataset.unseen=2"]
QUICK = ["method.epochs=1", "head.most_epochs=1", "method.latent=4"]


def written(language: str) -> list[str]:
    return [text for each, text in BLOCKS if each == language]


def commands() -> list[list[str]]:
    lines = [line for text in written("bash") for line in text.splitlines()]
    assert all(line.startswith(("mmalign ", "pip install ")) for line in lines)
    return [shlex.split(line)[1:] for line in lines if line.startswith("mmalign ")]


def test_page_is_done_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = Synthetic(samples=4, seen=4, validation=1, unseen=2).load()
    made_folder(tmp_path / "pictures", [f"{name}.png" for name in given.samples])
    network(tmp_path / "model.onnx", ("rows", 3, 224, 224))
    for command in commands():
        if command[command.index("--backbone") + 1] in ELSEWHERE:
            settings = [command[i + 1] for i, word in enumerate(command) if word == "--set"]
            chosen(discover(), command[command.index("--backbone") + 1], settings)
        else:
            done = call(*command, cwd=tmp_path)
            assert done.returncode == 0, done.stderr
    monkeypatch.chdir(tmp_path)
    exec(written("python")[0], {})
    assert "(24, 1280) sample 0000.png" in capsys.readouterr().out
    (recipe,) = written("toml")
    assert tomllib.loads(recipe)
    (tmp_path / "page.toml").write_text(recipe)
    settings = [word for each in (*TINY, *QUICK) for word in ("--set", each)]
    done = call("run", "page.toml", *settings, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = report_of(only(tmp_path / "runs" / "page"))
    assert {"lite/features.safetensors", "own/own.safetensors"} <= report["data"].keys()


def test_backbone_of_your_own_conforms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "page_of_features.py").write_text(written("python")[1])
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("page_of_features")
    assert hasattr(hooks, "mmalign_backbones")
    (backbone,) = module.mmalign_backbones()
    for check in checks(backbone()):
        check()


def test_page_names_what_there_is() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \|.*\| `(\w+)` \|$", TEXT, re.M)
    assert {name for name, _ in rows} == set(discover().components["backbone"])
    extras = tomllib.loads((PAGE.parents[1] / "pyproject.toml").read_text())["project"]
    assert {extra for _, extra in rows} <= extras["optional-dependencies"].keys()
    for suffix in pictures.SUFFIXES:
        assert re.search(rf"\b{suffix[1:]}\b", TEXT)
    fields = {name for name, *_ in describe(discover().find("backbone", "onnx"))}
    assert {"output", "size", "crop", "mean", "std", "interpolation", "file"} <= fields


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", TEXT):
        assert (PAGE.parent / target).exists(), target
