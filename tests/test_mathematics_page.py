"""docs/mathematics.md: its formulas, evaluated as printed, are what the components compute."""

import ast
import re
from pathlib import Path

import mmalign
from mmalign.plugins import discover

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "mathematics.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
FORMULAS = re.compile(r"\$\$(.*?)\$\$|(?<![$\\])\$([^$\n]+)\$", re.S)


def test_every_block_holds_from_top_to_bottom():
    code = "\n".join(BLOCKS)
    exec(compile(code, "docs/mathematics.md", "exec"), {"__name__": "page"})
    asserts = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Assert)]
    assert len(asserts) >= 20
    for block in BLOCKS[1:]:  # the first one only draws posteriors
        assert "assert " in block


def test_what_the_table_names_is_where_it_says():
    rows = re.findall(r"^\| \[.*?\]\(#([\w-]+)\) \|.*\| (.*) \|$", PAGE, re.M)
    assert len(rows) == 13
    headings = {re.sub(r"[^\w -]", "", each).lower().replace(" ", "-") for each in headings_of()}
    for anchor, places in rows:
        assert anchor in headings
        for names, home in re.findall(r"((?:`[\w.]+`,? ?)+)\(([\w.]+)\)", places):
            folder = ROOT / "plugins" / home
            files = folder.glob("*.py") if folder.is_dir() else [ROOT / "mmalign" / home]
            code = "\n".join(file.read_text(encoding="utf-8") for file in files)
            for name in re.findall(r"`([\w.]+)`", names):
                assert re.search(rf"^ *(def|class) {name.rpartition('.')[2]}\b", code, re.M), name


def headings_of():
    return re.findall(r"^## (.*)$", PAGE, re.M)


def test_every_registered_loss_is_in_the_page_or_the_one_it_points_to():
    both = PAGE + (ROOT / "docs" / "losses-and-heads.md").read_text(encoding="utf-8")
    for name in (*discover().components["loss"], *discover().components["head"], *mmalign.ERRORS):
        assert f"`{name}`" in both or f'`"{name}"`' in both or f'use = "{name}"' in both, name


def test_settings_that_are_named_are_there():
    method = discover().find("method", "aligned-vae")
    for name in re.findall(r"`method\.(\w+)", PAGE):
        assert name in method.__dataclass_fields__, name
    for value in ("shared", "independent", "variance", "std"):
        assert f'`"{value}"`' in PAGE


def test_formulas_become_mathml():
    """All pages': what the site's build cannot write is found here, and says where."""
    from latex2mathml.converter import convert

    for page in sorted((ROOT / "docs").rglob("*.md")):
        text = re.sub(r"^(```|~~~).*?^\1", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
        text = re.sub(r"`[^`]*`", "", text)
        for block, inline in FORMULAS.findall(text):
            made = convert((block or inline).strip())
            # A command that it does not know stays as it was written.
            assert "\\" not in re.sub(r"&#x0005C;", "", made), (page.name, block or inline, made)
