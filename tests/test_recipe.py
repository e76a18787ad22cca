"""Recipes: every mistake at once, settings laid over, and all those that are shipped."""

import contextlib
import tomllib
from copy import deepcopy
from pathlib import Path

import pytest
import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmalign.cells import expand
from mmalign.errors import MmalignError, RecipeError
from mmalign.plugins import discover
from mmalign.recipe import Recipe, assemble, locate, overrides, read, shipped

REGISTRY = discover()
TEN = """
[dataset]
use = "synthetic"
seen = 1
[modality.image]
hiden = [8, 8]
reconstruction = "l3"
[modality.attributes]
hidden = [8, "wide"]
[method]
use = "aligned-vae"
kl = { start = 3, end = 5 }
[loss.cross]
weight = -2.0
[loss.distribution]
use = "wassertein"
weight = { to = 1.0, start = 9, end = 2 }
[heads]
use = "softmax"
[run]
seeds = [3, 3]
"""
ERRORS = [
    "heads: no such table; did you mean 'head'?",
    "dataset.seen: input should be greater than or equal to 2 (got 1)",
    "modality.image.reconstruction: input should be 'l1', 'l2', 'bernoulli' or 'cosine'",
    "modality.image.hiden: no such key; did you mean 'hidden'?",
    "modality.attributes.hidden.1: input should be a valid integer (got 'wide')",
    "method.kl.to: missing",
    "loss.cross.weight: ",
    "loss.distribution.weight: end (2) must not come before start (9)",
    "loss.distribution.use: no loss 'wassertein'; did you mean 'wasserstein'?",
    "run: seeds: each of them once",
]


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def problems(name: str, *laid: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        read(name, REGISTRY, laid)
    return list(caught.value.problems)


def test_ten_mistakes_are_ten_errors_each_with_its_place_and_the_nearest_name(tmp_path):
    found = problems(written(tmp_path, TEN))
    for line, start in zip(found, ERRORS, strict=True):
        assert line.startswith(start), found


def test_the_message_has_a_line_for_each_mistake(tmp_path):
    with pytest.raises(RecipeError) as caught:
        read(written(tmp_path, TEN), REGISTRY)
    first, *rest = str(caught.value).splitlines()
    assert first == f"{tmp_path / 'mine.toml'}: 10 errors"
    assert len(rest) == 10


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[dataset", "no valid TOML"),
        ("x = 1" + "0" * 5000, "no valid TOML"),
        ("x = " + "[" * 5000, "no valid TOML"),
        ("", "dataset: missing"),
        ("dataset = 3\nmodality = 4\nmethod = 5\nloss = []\nhead = 1", "dataset: a table was"),
        ("[method]\nlatent = 3\n[dataset]\nuse = 3\n[modality]", "dataset.use: missing"),
        ("[dataset]\nuse = 2026-11-24\n", "dataset.use: missing"),
        ("[modality]\n", "modality: at least one [modality.NAME] is needed"),
        ('[modality."a.b"]\nuse = "image"', "modality.a.b: name it with letters"),
        ('[modality.""]\nuse = "image"', "modality.: name it with letters"),
        ('[loss.kl]\nuse = "cross"', "loss.kl: give it another name; 'kl' is taken"),
    ],
)
def test_what_is_no_recipe_is_said(tmp_path, text, said):
    assert any(each.startswith(said) for each in problems(written(tmp_path, text)))


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xff\xfe\x00")
    assert "no valid TOML" in problems(str(path))[0]


def test_a_folder_or_an_unknown_name_is_no_recipe(tmp_path):
    for name in (str(tmp_path), "synthetik", "~no-such-user/mine.toml", "long" * 100):
        with pytest.raises(MmalignError, match="no recipe"):
            locate(name)
    with pytest.raises(MmalignError, match="did you mean 'synthetic'"):
        locate("synthetik")


@pytest.mark.parametrize(
    ("laid", "where", "value"),
    [
        ("head.epochs=7", ("head", "epochs"), 7),
        ("head.epochs=validation", ("head", "epochs"), "validation"),
        ("method.lr=1e-3", ("method", "lr"), 1e-3),
        ("method.noise=shared", ("method", "noise"), "shared"),
        ("modality.image.hidden=[3, 4]", ("modality", "image", "hidden"), [3, 4]),
        ("run.seeds=[3, 1]", ("run", "seeds"), [3, 1]),
        ("modality.image.array=2024", ("modality", "image", "array"), "2024"),
    ],
)
def test_settings_are_typed_by_the_schema(laid, where, value):
    table = read("synthetic", REGISTRY, [laid]).table
    for key in where:
        table = table[key]
    assert table == value


@pytest.mark.parametrize(
    ("laid", "said"),
    [
        ("method.latnet=3", "method.latnet: no such key; did you mean 'latent'?"),
        ("method.latent=many", "method.latent: input should be a valid integer"),
        ("latent", "--set latent: write it as table.key=value"),
        ("method.latent.x=3", "--set method.latent.x: 'latent' is no table"),
        ("run.seeds=0", "run.seeds"),
        ("run.seeds=[]", "run.seeds"),
        ("run.seeds=[1, 1]", "run: seeds: each of them once"),
        ("run.seeds=[-1]", "run.seeds"),
        ("run.threads=0", "run.threads"),
        ("modality.image.hidden=[0, 4]", "modality.image.hidden.0"),
        ("method.kl={to=1, start=5, end=2}", "method.kl: end (2) must not come before"),
        ("method.kl=nan", "method.kl"),
        ("method.kl=-1", "method.kl"),
        ("loss.cross.weight={to=-1}", "loss.cross.weight.to"),
        ("loss.cross.weight=inf", "loss.cross.weight"),
        ("method.epochs=0", "method.epochs"),
        ("head.epochs=0", "head.epochs"),
        ("report.target.H=101", "report.target.H"),
    ],
)
def test_wrong_settings_are_named(laid, said):
    assert any(each.startswith(said) for each in problems("synthetic", laid))


def test_a_component_is_the_one_of_its_tables_name_unless_use_says_otherwise():
    table = {
        "dataset": {"use": "synthetic"},
        "modality": {"image": {}, "other": {"use": "attributes"}},
        "method": {"use": "aligned-vae"},
        "loss": {"cross": {}, "apart": {"use": "wasserstein", "weight": 2}},
        "head": {"use": "softmax"},
    }
    recipe = assemble("mine", table, REGISTRY)
    assert {name: each.name for name, each in recipe.parts.modalities.items()} == {
        "image": "image", "other": "attributes"
    }  # fmt: skip
    assert {name: each.loss.name for name, each in recipe.parts.losses.items()} == {
        "cross": "cross", "apart": "wasserstein"
    }  # fmt: skip
    assert recipe.table["loss"]["apart"]["use"] == "wasserstein"
    assert recipe.parts.losses["apart"].weight(0) == 2
    assert recipe.seeds == (0,)


def test_each_missing_table_is_named():
    for key in ("dataset", "modality", "method", "head"):
        table = dict(read("synthetic", REGISTRY).table)
        del table[key]
        with pytest.raises(RecipeError, match=f"{key}: missing"):
            assemble("mine", table, REGISTRY)


def test_alignment_of_one_modality_is_refused():
    table = deepcopy(dict(read("synthetic", REGISTRY).table))
    del table["modality"]["attributes"]
    with pytest.raises(RecipeError, match="alignment needs two modalities"):
        assemble("mine", table, REGISTRY)


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_recipe_is_sound_and_opens_with_its_command(name):
    opening = shipped()[name].read_text(encoding="utf-8").splitlines()[0]
    assert opening.startswith("# mmalign run ")
    assert locate(opening.removeprefix("# mmalign run ")).samefile(shipped()[name])
    recipe = read(name, REGISTRY)
    # As a run's recipe.toml has it: the resolved table stands for the same recipe.
    again = assemble(name, tomllib.loads(tomli_w.dumps(recipe.table)), REGISTRY)
    assert again == recipe


LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
)
KEYS = st.sampled_from(
    ["use", "weight", "hidden", "image", "to", "epochs", "seeds", "target", "cross", "kl", "split"]
) | st.text(max_size=4)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4)
)
TABLES = st.sampled_from(["dataset", "modality", "method", "loss", "head", "run", "protocol"])


@given(st.dictionaries(TABLES | st.text(max_size=5), VALUES, max_size=6))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_stands_in_a_recipe_is_a_recipe_or_a_recipe_error(table):
    with contextlib.suppress(RecipeError):
        assert isinstance(assemble("any", table, REGISTRY), Recipe)


def test_a_shipped_recipe_is_found_with_its_ending_and_without(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert locate("quickstart.toml") == locate("quickstart") == shipped()["quickstart"]


def test_a_recipe_is_called_as_its_file_and_its_mistakes_name_it(tmp_path):
    path = written(tmp_path, "[dataset")
    with pytest.raises(RecipeError, match=f"^{path}: 1 error"):
        read(path, REGISTRY)
    sound = written(tmp_path, shipped()["synthetic"].read_text(encoding="utf-8"))
    assert read(sound, REGISTRY).name == "mine"
    # So too where a setting is read as text in a second pass.
    assert read("cub_gzsl", REGISTRY, ["dataset.root=2024"]).name == "cub_gzsl"
    with pytest.raises(RecipeError, match=r"^recipe: "):
        assemble("mine", {}, REGISTRY)


def test_a_file_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    path = written(tmp_path, "")

    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(MmalignError, match=f"^cannot read {path}: Permission denied$"):
        read(path, REGISTRY)


def test_seeds_of_the_command_line_go_before_those_of_the_sweep():
    table = tomllib.loads(shipped()["synthetic_sweep"].read_text(encoding="utf-8"))
    table["sweep"]["seeds"] = [7, 8]
    own = assemble("it", table, REGISTRY)
    asked = assemble("it", table, REGISTRY, ["run.seeds=[3]"])
    assert expand(own, REGISTRY).seeds == (7, 8)
    assert expand(asked, REGISTRY).seeds == (3,)
    assert table["sweep"]["seeds"] == [7, 8], "the caller's table stays as it was"
    # No sweep, no seeds there, or nothing asked for: nothing to take out.
    del table["sweep"]["seeds"]
    assert expand(assemble("it", table, REGISTRY, ["run.seeds=[3]"]), REGISTRY).seeds == (3,)


def test_after_a_setting_that_is_none_the_others_still_count():
    found: list[str] = []
    laid = overrides(["method", "head.epochs=validation", "a.b=[1,"], found)
    assert found == ["--set method: write it as table.key=value"]
    assert laid == {"head.epochs": ("validation",) * 2, "a.b": ("[1,",) * 2}
