"""The documentation builds without a warning, and its pages ask nobody for anything."""

import functools
import http.server
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import reference_pages  # noqa: E402

import mmalign  # noqa: E402

# What a browser would fetch by itself: the sources of scripts, styles, pictures and fonts.
FETCHED = re.compile(
    r"<(?:script|img|iframe|source|video|audio)\b[^>]*\ssrc=[\"']?(?:https?:)?//"
    r"|<link\b(?=[^>]*\srel=[\"']?(?:stylesheet|preload|preconnect|icon))[^>]*\shref=[\"']?(?:https?:)?//"
)


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The built pages; a warning is an error."""
    pytest.importorskip("material")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr
    return folder


@pytest.fixture(scope="session")
def served(site):
    """The address of the built pages, at this machine."""
    quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    handler = functools.partial(quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_no_page_fetches_from_elsewhere(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) >= 30
    for page in pages:
        found = FETCHED.search(page.read_text(encoding="utf-8"))
        assert not found, (page.name, found)
    for style in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()[ \"']*(https?:)?//", style.read_text("utf-8")), style


def test_formulas_are_mathml_and_none_is_left(site):
    for name, least in (("mathematics", 60), ("losses-and-heads", 30), ("own-loss", 1)):
        text = (site / f"{name}.html").read_text(encoding="utf-8")
        assert text.count("<math ") >= least
        assert "arithmatex" not in text
        assert "$$" not in text


def test_files_that_pages_link_to_are_pages(site):
    text = (site / "writing-plugins.html").read_text(encoding="utf-8")
    assert 'href="source/plugins/mmalign_aligned_vae/method.py.html"' in text
    assert "class AlignedVAE" in re.sub(
        r"<[^>]+>",
        "",
        (site / "source/plugins/mmalign_aligned_vae/method.py.html").read_text("utf-8"),
    )
    for name in ("harp.png", "orca.png"):
        assert (site / "source" / "examples" / "new-emoji" / name).is_file()


def test_generated_reference_is_up_to_date():
    for path, text in reference_pages.pages().items():
        lines = [line.rstrip() for line in text.strip().splitlines()]
        said = path.read_text(encoding="utf-8").splitlines()
        assert said == lines, f"{path.name} is out of date: make docs"


def test_every_public_name_is_in_the_python_reference_once():
    page = (ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    named = re.findall(r"^::: mmalign\.(\w+)$", page, re.M)
    assert sorted(named) == sorted(mmalign.__all__)


def test_the_home_page_says_what_the_readme_says():
    """Its numbers, and the paragraphs that both have, are the README's."""
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    home = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    for line in re.findall(r"^\| \*\*harp.*$", home, re.M):
        assert line in readme
    for part in re.findall(r"^- \*\*(?:Honest|Loadable)\.\*\*.*?(?=^- )", home, re.M | re.S):
        assert " ".join(part.split()) in readme
    opening = " ".join(home.partition("In a clone")[0].split())
    assert opening in readme
    for number in ("1,591", "318", "10 %", "23 %", "21,000", "2 million"):
        assert number in readme


@pytest.mark.parametrize("name", ["index", "mathematics"])
def test_pages_ask_nobody_and_stand_in_a_narrow_window(served, browser, name):
    from browsing import NARROW, shot

    with browser.tab(NARROW, dark=name == "mathematics") as tab:
        tab.page.goto(f"{served}{name}.html")
        tab.page.wait_for_load_state("networkidle")
        assert tab.outside(served) == []
        assert tab.errors == []
        assert tab.overflows() == 0
        shot(tab, f"{name}-narrow")


def test_search_finds_without_a_server_of_others(served, browser):
    with browser.tab() as tab:
        tab.page.goto(f"{served}index.html")
        tab.page.wait_for_load_state("networkidle")
        tab.page.click("input[name=query]")
        tab.page.keyboard.type("wasserstein")
        tab.page.wait_for_selector(".md-search-result__item")
        assert tab.outside(served) == []
