"""docs/coming-from-cada-vae.md: each recipe key is one, with the values that the page gives."""

import re
import tomllib
from pathlib import Path

import pytest

from mmalign.component import plain
from mmalign.plugins import discover
from mmalign.recipe import assemble, shipped

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "coming-from-cada-vae.md").read_text(encoding="utf-8")
TABLES = "dataset|modality|method|loss|head|protocol|run|report"
# `table.key`, or `table.key = value`, in backticks; not a command's --set.
KEYS = sorted(set(re.findall(rf"`((?:{TABLES})\.[\w.]+)(?: = ([^`]+))?`", PAGE)))
REFERENCE = tomllib.loads(shipped()["cub_gzsl_reference"].read_text(encoding="utf-8"))
FEW = {"use": "few-shot"}


def base(key):
    """A recipe in which the key can stand."""
    table = tomllib.loads(shipped()["cub_gzsl_reference"].read_text(encoding="utf-8"))
    if key in ("protocol.shots", "protocol.draws") or key == "head.shots":
        table["head"], table["protocol"] = dict(FEW), {"shots": 1}
    if key.startswith("modality.sentences"):
        table["modality"]["sentences"] = {}
    return table


def resolved(table, key):
    value = assemble("page", table, discover()).table
    for step in key.split("."):
        value = value[step]
    return value


def test_there_are_keys():
    assert len(KEYS) >= 35
    assert {key.split(".")[0] for key, _ in KEYS} >= {
        "dataset",
        "modality",
        "method",
        "loss",
        "head",
    }


@pytest.mark.parametrize(("key", "value"), KEYS)
def test_key_stands_in_a_recipe(key, value):
    table = base(key)
    if value:
        given = tomllib.loads(f"value = {value}")["value"]
        step = table
        for part in key.split(".")[:-1]:
            step = step.setdefault(part, {})
        if key.endswith(".use"):
            step.clear()
            if given == "few-shot":
                table["protocol"] = {"shots": 1}
        step[key.rpartition(".")[2]] = given
        assert resolved(table, key) == given
    else:
        resolved(table, key)


def test_reference_recipe_has_the_published_values():
    """The rows of the dictionary that give a value on both sides."""
    have = {
        "method.kl": {"to": 0.25, "start": 0, "end": 93},
        "loss.cross.weight": {"to": 2.37, "start": 21, "end": 75},
        "loss.distribution.weight": {"to": 8.13, "start": 6, "end": 22},
        "modality.image.hidden": [1560, 1660],
        "modality.attributes.hidden": [1450, 665],
    }
    for key, value in have.items():
        assert resolved(base(key), key) == value
        assert any(k == key and tomllib.loads(f"v = {v}")["v"] == value for k, v in KEYS if v)
    for key, value in (("latent", 64), ("epochs", 100), ("batch", 50), ("lr", 0.00015)):
        assert REFERENCE["method"][key] == value
        assert re.search(rf"\| {value if key != 'lr' else '0.00015'} \| `method.{key}`", PAGE)
    head = resolved(base("head"), "head")
    for key, value in (
        ("lr", 0.001),
        ("batch", 32),
        ("seen", 200),
        ("unseen", 400),
        ("epochs", 23),
    ):
        assert head[key] == value
        assert re.search(rf"\| {value}\b[^|]* \| [^|]*`head.{key}`", PAGE)


def test_the_warm_up_in_full_is_the_reference_recipes():
    (text,) = re.findall(r"^```toml\n(.*?)^```", PAGE, re.M | re.S)
    given = tomllib.loads(text)
    mine = assemble("page", REFERENCE | given, discover())
    reference = assemble("page", REFERENCE, discover())
    assert plain(mine.method.kl) == plain(reference.method.kl)
    assert mine.table["loss"] == reference.table["loss"]


def test_names_of_the_code_are_where_the_page_says():
    rows = re.findall(r"((?:`[\w.]+`,? ?(?:and )?)+)in \[\w+\.py\]\(\.\./([\w/]+\.py)\)", PAGE)
    assert len(rows) >= 7
    for names, path in rows:
        code = (ROOT / path).read_text(encoding="utf-8")
        for name in re.findall(r"`([\w.]+)`", names):
            assert re.search(rf"^ *(def|class) {name.rpartition('.')[2]}\b", code, re.M), (
                name,
                path,
            )
