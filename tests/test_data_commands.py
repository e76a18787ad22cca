"""``mmalign data check`` and ``data new``, as a user calls them."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from commands import call, refused

from mmalign import MmalignError, component
from mmalign.datafiles import Fetchable, Inspectable
from mmalign.inspecting import inspectable
from mmalign.plugins import discover


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """An example, as `mmalign data new` writes it."""
    done = call("data", "new", "my data", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return tmp_path / "my data"


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def checked(*arguments: object, cwd: Path) -> str:
    done = call("data", "check", *arguments, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_example_is_checked_and_runs(mine):
    said = checked("my data", cwd=mine.parent)
    for line in (
        "my data: data set 'folder', as my data/recipe.toml says",
        "image.npy    180 rows of 32 numbers (float32)",
        "samples.csv  180 samples of 15 classes, 12 of each",
        "15 classes, 10 attributes of 15, description of 15; split: 8 seen, 4 validation, 3",
        "12 seen classes, 4 of them for validation; 3 unseen ones",
        "120 samples train; asked are 24 of seen and 36 of unseen classes",
        "seen and unseen classes: as classes.csv says",
        "Nothing is wrong. It runs: mmalign run 'my data/recipe.toml'",
    ):
        assert line in said
    small = ("--set", "method.epochs=2", "--set", "head.epochs=2", "--set", "run.seeds=1")
    done = call("run", mine / "recipe.toml", *small, cwd=mine.parent)
    assert done.returncode == 0, done.stderr
    assert "3 classes were never seen in training" in done.stdout


def test_example_is_the_same_each_time(mine):
    assert call("data", "new", "other one", cwd=mine.parent).returncode == 0
    first, second = files_of(mine), files_of(mine.parent / "other one")
    assert {name: text.replace(b"other one", b"my data") for name, text in second.items()} == first
    assert "# validation = 0.25" in first["recipe.toml"].decode()


def test_example_is_written_whole_or_not_at_all(mine):
    before = files_of(mine)
    assert "is there already" in refused("data", "new", "my data", cwd=mine.parent)
    assert files_of(mine) == before
    (mine.parent / "empty").mkdir()
    assert call("data", "new", "empty", cwd=mine.parent).returncode == 0
    assert files_of(mine.parent / "empty").keys() == before.keys()
    (mine.parent / "here").mkdir()
    assert call("data", "new", ".", cwd=mine.parent / "here").returncode == 0
    assert "3 unseen ones" in checked(".", cwd=mine.parent / "here")
    (mine.parent / "file").write_text("kept")
    assert "is there already" in refused("data", "new", "file", cwd=mine.parent)
    assert (mine.parent / "file").read_text() == "kept"
    refused("data", "new", "file/deeper", cwd=mine.parent)
    if os.geteuid() != 0:  # who may write anywhere is refused nowhere
        locked = mine.parent / "locked"
        locked.mkdir(mode=0o500)
        refused("data", "new", "locked/new", cwd=mine.parent)
    assert {path.name for path in mine.parent.iterdir()} - {"locked"} == {
        "my data", "empty", "here", "file",
    }  # fmt: skip


def test_suggested_recipe_runs(mine):
    (mine / "recipe.toml").unlink()
    said = checked("my data", "--set", "unseen=4", "--set", "split=drawn", cwd=mine.parent)
    assert "11 seen classes, 3 of them for validation; 4 unseen ones" in said
    assert "seen and unseen classes: drawn with seed 0" in said
    recipe = said.partition("A recipe for it:\n\n")[2]
    settings = ("--set", "unseen=4", "--set", "split=drawn")
    said = checked("my data", *settings, "--recipe", "two.toml", cwd=mine.parent)
    assert said.endswith("two.toml: mmalign run two.toml\n")
    kept = (mine.parent / "two.toml").read_text(encoding="utf-8")
    assert kept == f"# mmalign run two.toml\n\n{recipe}"
    again = refused("data", "check", "my data", "--recipe", "two.toml", cwd=mine.parent)
    assert "two.toml is there already" in again
    assert (mine.parent / "two.toml").read_text(encoding="utf-8") == kept
    refused("data", "check", "my data", "--recipe", "no/such/x.toml", cwd=mine.parent)
    dataset = tomllib.loads(recipe)["dataset"]
    assert dataset == {"use": "folder", "root": "my data", "split": "drawn", "unseen": 4}
    (mine.parent / "one.toml").write_text(recipe, encoding="utf-8")
    assert call("check", "one.toml", cwd=mine.parent).returncode == 0
    assert "4 unseen ones" in checked("one.toml", cwd=mine.parent)
    small = ("--set", "method.epochs=1", "--set", "head.epochs=1", "--set", "run.seeds=1")
    done = call("run", "one.toml", *small, cwd=mine.parent)
    assert done.returncode == 0, done.stderr


def test_suggested_recipe_takes_what_is_there(mine):
    (mine / "recipe.toml").unlink()
    np.save(mine / "bird song.npy", np.ones((180, 3), np.float32))
    lines = (mine / "classes.csv").read_text().splitlines()
    cut = [",".join([*line.split(",")[:2], *line.split(",", 12)[12:]]) for line in lines]
    (mine / "classes.csv").write_text("\n".join(cut))
    recipe = checked("my data", cwd=mine.parent).partition("A recipe for it:\n\n")[2]
    modality = tomllib.loads(recipe)["modality"]
    assert modality == {
        "bird-song": {"use": "image", "array": "bird song"},
        "image": {"use": "image"},
        "description": {"use": "sentences", "texts": "description"},
    }
    (mine / "classes.csv").unlink()
    recipe = checked("my data", cwd=mine.parent).partition("A recipe for it:\n\n")[2]
    assert tomllib.loads(recipe)["modality"]["words"]["use"] == "word2vec"
    (mine.parent / "words.toml").write_text(recipe)
    assert call("check", "words.toml", cwd=mine.parent).returncode == 0


def test_mistakes_are_listed_after_what_is_there(mine):
    np.save(mine / "sound.npy", np.zeros((4, 3)))
    text = (mine / "samples.csv").read_text()
    (mine / "samples.csv").write_text(text.replace(",apple", ",aple"))
    done = call("data", "check", "my data", cwd=mine.parent)
    assert done.returncode == 2
    assert "sound.npy    4 rows of 3 numbers (float64)" in done.stdout
    first, *lines = done.stderr.splitlines()
    assert first == "error: my data: 2 mistakes"
    assert lines[0].startswith("  samples.csv, line 2: the class 'aple' (12 samples) is not in")
    assert lines[1].startswith("  sound.npy: has 4 rows for the 180 samples")
    assert "Nothing is wrong" not in done.stdout
    run = refused("run", mine / "recipe.toml", cwd=mine.parent)
    assert all(line in run for line in lines)


def test_own_recipe_is_followed(mine):
    recipe = mine / "recipe.toml"
    text = recipe.read_text(encoding="utf-8")
    recipe.write_text(text.replace("# unseen = 0.25 ", 'split = "drawn"\nunseen = 5 #'))
    assert "5 unseen ones" in checked("my data", cwd=mine.parent)
    assert "2 unseen ones" in checked("my data", "--set", "dataset.unseen=2", cwd=mine.parent)
    assert "3 unseen ones" in checked("my data", "--use", "folder", cwd=mine.parent)
    recipe.write_text(text.replace("use = ", "using = "))
    assert "recipe.toml: " in refused("data", "check", "my data", cwd=mine.parent)
    recipe.write_text(text.replace('root = "my data"', 'root = "~nobody-of-this-name/x"'))
    assert "its dataset.root is '~nobody" in refused("data", "check", "my data", cwd=mine.parent)
    mine.rename(mine.with_name("moved"))
    recipe = mine.with_name("moved") / "recipe.toml"
    recipe.write_text(text)
    said = refused("data", "check", "moved", cwd=mine.parent)
    assert "its dataset.root is 'my data', which is not moved from here; mend it" in said


def test_recipe_whose_modality_is_not_there_is_no_good(mine):
    recipe = mine / "recipe.toml"
    said = checked("my data", cwd=mine.parent)
    assert "modality image: 32 numbers for 180 samples" in said
    assert "modality attributes: 10 numbers for 15 classes" in said
    text = recipe.read_text(encoding="utf-8")
    recipe.write_text(f'{text}\n[modality.sound]\nuse = "image"\narray = "sound"\n')
    done = call("data", "check", "my data", cwd=mine.parent)
    assert done.returncode == 2
    assert "modality.sound: data set 'folder' has no array 'sound'" in done.stderr
    assert "Nothing is wrong" not in done.stdout
    np.save(mine / "sound.npy", np.where(np.arange(180)[:, None] < 9, np.nan, 1.0))
    assert "modality sound: 1 numbers for 180 samples, 9 of which lack it" in checked(
        "my data", cwd=mine.parent
    )


def test_many_classes_are_cut_short(mine):
    (mine / "recipe.toml").unlink()
    (mine / "classes.csv").write_text(
        "class,a\n" + "".join(f"c{number},0.{number}\n" for number in range(20))
    )
    (mine / "samples.csv").write_text(
        "class\n" + "".join(f"c{number}\n" * 9 for number in range(20))
    )
    said = checked("my data", cwd=mine.parent)
    assert "and 8 more classes; --classes lists all" in said
    assert "c19" not in said
    assert "c19" in checked("my data", "--classes", cwd=mine.parent)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "is not there; `mmalign data new nowhere`"),
        (["my data", "--set", "unsen=3"], "dataset.unsen: no such key; did you mean 'unseen'?"),
        (["my data", "--set", "unseen=2.5"], "dataset.unseen: is a share below 1, or a whole"),
        (["my data", "--use", "folder", "--set", "seed=x"], "dataset.seed: "),
        (["my data", "--use", "cub"], "data set 'cub' does not look through folders"),
        (["my data", "--use", "foldr"], "no dataset 'foldr'; did you mean 'folder'?"),
        (["my data/README.md"], "give a folder of data, or a recipe that reads one"),
        (["x" * 300], "cannot be looked into"),
        (["quick.toml"], "its data set 'synthetic' does not look through folders"),
    ],
    ids=str,
)
def test_wrong_calls(mine, arguments, said):
    assert call("cp", "synthetic", "quick.toml", cwd=mine.parent).returncode == 0
    assert said in refused("data", "check", *arguments, cwd=mine.parent)


@component
class Second:
    """Another data set that looks through folders."""

    name = "second"
    inspect = template = None


def test_one_of_several_is_named():
    registry = discover()
    assert inspectable(registry, None).name == "folder"
    registry.components["dataset"]["second"] = Second
    with pytest.raises(MmalignError, match="--use says which: folder, second"):
        inspectable(registry, None)
    assert inspectable(registry, "second") is Second
    registry.components["dataset"].clear()
    with pytest.raises(MmalignError, match="no plugin offers any"):
        inspectable(registry, None)


def test_who_offers_what():
    offered = discover().components["dataset"]
    assert {name for name, cls in offered.items() if hasattr(cls, "inspect")} == {"folder"}
    assert isinstance(offered["folder"](root=Path()), Inspectable)
    assert not isinstance(offered["synthetic"](), Inspectable | Fetchable)


@pytest.mark.parametrize("arguments", [["check", "my data"], ["new", "other"], ["--help"]], ids=str)
def test_data_commands_import_no_torch(mine, arguments):
    program = f"""
import sys
sys.argv = ["mmalign", "data", *{arguments!r}]
from mmalign.cli import main
try:
    main()
except SystemExit as exit:
    assert not exit.code, exit.code
assert "torch" not in sys.modules, "torch was imported"
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=mine.parent, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
