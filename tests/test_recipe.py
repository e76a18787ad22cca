"""Recipes: every mistake at once, settings laid over, and all those that are shipped."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmalign.errors import MmalignError, RecipeError
from mmalign.plugins import discover
from mmalign.recipe import Recipe, assemble, locate, read, shipped

REGISTRY = discover()
TEN = """
[dataset]
use = "synthetik"
[modality.image]
use = "image"
hiden = [8, 8]
reconstruction = "l3"
[modality.attributes]
hidden = [8, "wide"]
[method]
use = "aligned-vae"
latent = 0
kl = { too = 0.25 }
[loss.cross]
wieght = 2.0
[loss.distribution]
use = "wassertein"
[heads]
use = "softmax"
[run]
seeds = "five"
"""


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
    expected = [
        "heads: no such table; did you mean 'head'?",
        "dataset.use: no dataset 'synthetik'; did you mean 'synthetic'?",
        "modality.image.hiden: no such key; did you mean 'hidden'?",
        "modality.image.reconstruction: input should be 'l1', 'l2', 'bernoulli' or 'cosine'",
        "modality.attributes.hidden.1: input should be a valid integer (got 'wide')",
        "method.latent: input should be greater than or equal to 1 (got 0)",
        "method.kl.too: no such key; did you mean 'to'?",
        "loss.cross.wieght: no such key; did you mean 'weight'?",
        "loss.distribution.use: no loss 'wassertein'; did you mean 'wasserstein'?",
        "run.seeds: input should be a valid integer (got 'five')",
    ]
    for line in expected:
        assert [each for each in found if each.startswith(line)], (line, found)
    # A ramp without its goal is the one thing more: it follows from the misspelt key.
    assert [each for each in found if not each.startswith(tuple(expected))] == [
        "method.kl.to: missing"
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[dataset", "no valid TOML"),
        ("", "dataset: missing"),
        ("dataset = 3\nmodality = 4\nmethod = 5\nloss = []\nhead = 1", "dataset: a table was"),
        ("[method]\nlatent = 3\n[dataset]\nuse = 3\n[modality]", "dataset.use: missing"),
    ],
)
def test_what_is_no_recipe_is_said(tmp_path, text, said):
    assert any(each.startswith(said) for each in problems(written(tmp_path, text)))


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xff\xfe\x00")
    assert "no valid TOML" in problems(str(path))[0]


def test_a_folder_or_an_unknown_name_is_no_recipe(tmp_path):
    for name in (str(tmp_path), "quikstart"):
        with pytest.raises(MmalignError, match="no recipe"):
            locate(name)
    with pytest.raises(MmalignError, match="did you mean 'quickstart'"):
        locate("quikstart")


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
    table = read("quickstart", REGISTRY, [laid]).table
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
    ],
)
def test_wrong_settings_are_named(laid, said):
    assert any(each.startswith(said) for each in problems("quickstart", laid))


def test_a_method_that_cannot_do_without_says_so():
    table = dict(read("quickstart", REGISTRY).table)
    del table["head"]
    with pytest.raises(RecipeError, match="head: missing"):
        assemble("mine", table, REGISTRY)


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_recipe_is_sound_and_opens_with_its_command(name):
    opening = shipped()[name].read_text(encoding="utf-8").splitlines()[0]
    assert opening.startswith("# mmalign run ")
    assert locate(opening.removeprefix("# mmalign run ")).samefile(shipped()[name])
    recipe = read(name, REGISTRY)
    again = assemble(name, recipe.table, REGISTRY)
    assert again.table == recipe.table
    assert again.parts.losses.keys() == recipe.parts.losses.keys()


LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
)
KEYS = st.sampled_from(
    ["use", "weight", "hidden", "image", "to", "epochs", "dataset", "modality", "method", "loss"]
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
