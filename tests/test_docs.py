"""What the pages say is true: quoted files, code, links, hooks."""

import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from mmalign import hooks
from mmalign.component import plain
from mmalign.plugins import discover
from mmalign.recipe import assemble
from mmalign.testing import checks

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
# Pages that build an example, and the example.
PAGES = {"writing-plugins.md": "mmalign-gaze", "comparing.md": "mmalign-conse"}
# A fenced block, after a comment with the path of the file that it quotes.
BLOCK = re.compile(
    r"(?:^<!-- (?P<path>\S+) -->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```", re.M | re.S
)


def blocks(quoted: bool, *pages: str) -> list[re.Match[str]]:
    texts = [(DOCS / page).read_text(encoding="utf-8") for page in pages or PAGES]
    found = [each for text in texts for each in BLOCK.finditer(text)]
    return [each for each in found if bool(each["path"]) == quoted]


@pytest.mark.parametrize("block", blocks(quoted=True), ids=lambda block: block["path"])
def test_quoted_file_is_as_it_is(block: re.Match[str]) -> None:
    assert block["text"] == (ROOT / block["path"]).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_every_file_of_the_example_is_quoted(page: str) -> None:
    example = ROOT / "examples" / PAGES[page]
    files = {*example.rglob("*.py"), *example.rglob("*.toml")}
    assert {ROOT / block["path"] for block in blocks(True, page)} == files


@pytest.mark.parametrize("number", range(len(blocks(quoted=False))))
def test_other_code_runs_and_its_components_conform(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = blocks(quoted=False)[number]
    if block["language"] == "toml":
        assert tomllib.loads(block["text"])
        return
    assert block["language"] == "python"
    (tmp_path / f"page_{number}.py").write_text(block["text"])
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module(f"page_{number}")
    for name, value in vars(module).items():
        if isinstance(value, type) and hasattr(value, "__pydantic_validator__"):
            for check in checks(value()):
                check()
        elif name.startswith("mmalign_"):
            assert hasattr(hooks, name)


@pytest.mark.parametrize("page", sorted(page.name for page in DOCS.glob("*.md")))
def test_links_lead_somewhere(page: str) -> None:
    text = re.sub(r"^```.*?^```", "", (DOCS / page).read_text(encoding="utf-8"), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if "://" not in target:
            assert (DOCS / target).exists(), f"{page} links to {target}"


LOSSES_PAGE = (DOCS / "losses-and-heads.md").read_text(encoding="utf-8")
TABLES = [each["text"] for each in BLOCK.finditer(LOSSES_PAGE)]


@pytest.mark.parametrize("text", TABLES, ids=lambda text: text.split('"')[1])
def test_tables_of_losses_and_heads_stand_in_a_recipe(text: str) -> None:
    given = tomllib.loads(text)
    synthetic = tomllib.loads((ROOT / "recipes" / "synthetic.toml").read_text(encoding="utf-8"))
    recipe = assemble("page", synthetic | given, discover())
    kind, table = next(iter(given.items()))
    written = table if kind == "head" else table["distribution"]
    made = recipe.parts.head if kind == "head" else recipe.parts.losses["distribution"].loss
    settings = {key: value for key, value in written.items() if key not in ("use", "weight")}
    assert made.name == written["use"]
    assert {key: plain(getattr(made, key)) for key in settings} == settings


def test_losses_page_knows_every_distribution_loss_and_closed_form_head() -> None:
    plugins = {plugin.name: plugin.components for plugin in discover().plugins}
    for each in (*plugins["distribution"], *plugins["closed-form"]):
        kind, name = each.split(":")
        assert f'use = "{name}"' in LOSSES_PAGE or name == "jeffreys"  # it has no fields
        if kind == "loss":
            over = discover().find("loss", name).over
            assert f'| `{name}` | `"{over}"` |' in LOSSES_PAGE


def test_hooks_page_is_written_from_the_hooks() -> None:
    tool = ROOT / "tools" / "hooks_page.py"
    done = subprocess.run([sys.executable, tool], capture_output=True, text=True, check=True)
    said = (DOCS / "hooks.md").read_text(encoding="utf-8")
    assert said == done.stdout, "docs/hooks.md is out of date: make docs"


def test_every_hook_is_documented_and_nothing_else() -> None:
    said = re.findall(r"^## (\w+)$", (DOCS / "hooks.md").read_text(encoding="utf-8"), re.M)
    there = [name for name, value in vars(hooks).items() if hasattr(value, "mmalign_spec")]
    assert said == there
    assert all(getattr(hooks, name).__doc__ for name in there)
