"""report.html in a real browser: offline, by eye, by keyboard, by screen reader, and no script."""

import re
from xml.etree import ElementTree

import pytest
from browsing import NARROW, WIDE, shot
from reportfolder import HOSTILE, names_of, put, write_run, write_sweep

from mmalign.pages.again import write_again

SHOWN = [(WIDE, False), (WIDE, True), (NARROW, False), (NARROW, True)]
LOOKED_AT = SHOWN[::3]  # axe takes seconds; colours and widths are independent of each other


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The pages of a run and of a sweep that has a run, as addresses."""
    home = tmp_path_factory.mktemp("pages")
    seen, unseen = names_of(9, 5)
    run = write_run(home / "run", [*seen, *HOSTILE], unseen, seeds=2, notes=["ORACLE: a leak"])
    sweep = write_sweep(home / "sweep", [("one", [0.5, 0.6]), ("two", [0.3, 0.2])])
    put(
        sweep,
        "sweep.json",
        {"recipe": "made up", "jobs": 4, "done": 4, "failed": [], "notes": ["a note"]},
    )
    (sweep / "figure.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path d="M0 0h9v9"/></svg>'
    )
    return {"run": write_again(run).as_uri(), "sweep": write_again(sweep).as_uri()}


@pytest.mark.parametrize(("size", "dark"), SHOWN)
@pytest.mark.parametrize("what", ["run", "sweep"])
def test_a_page_is_good_to_read(browser, pages, what, size, dark):
    with browser.tab(size, dark) as tab:
        tab.page.goto(pages[what])
        for details in tab.page.locator("details").all():
            details.evaluate("each => { each.open = true; }")
        assert tab.errors == []
        assert tab.outside(pages[what]) == []
        assert tab.overflows() == 0
        if (size, dark) in LOOKED_AT:
            assert tab.axe() == []
        assert tab.page.title().startswith("made up")
        assert not tab.page.locator("h1", has_text="mine").count()
        shot(tab, f"{what}-{size[0]}-{'dark' if dark else 'light'}")


def test_without_scripts_all_of_it_is_there(browser, pages):
    with browser.tab(scripts=False) as tab:
        tab.page.goto(pages["run"])
        assert tab.page.locator("#table-classes tbody tr").count() == 21
        assert tab.page.locator("#figure-map .pt").first.is_visible()
        assert not tab.page.locator(".scripted").first.is_visible()
        assert "seen 000 (seen): image" in tab.page.locator("#figure-map").inner_html()
        marks = tab.page.locator("#figure-map .m1.pt")
        tab.page.locator("#toggle-m1").uncheck()
        assert not marks.first.is_visible()
        tab.page.locator("summary", has_text="recipe.toml").click()
        assert tab.page.locator("#recipe").is_visible()


def test_marks_say_what_they_are_to_pointer_and_keyboard(browser, pages):
    with browser.tab() as tab:
        page = tab.page
        page.goto(pages["run"])
        mark = page.locator('#figure-map .pt[data-tip^="unseen 003"]').first
        mark.hover(force=True)
        assert page.locator("#tip").inner_text().startswith("unseen 003 (unseen): ")
        page.mouse.move(5, 5)
        assert page.locator("#tip").is_hidden()
        page.locator("#map-explore").focus()
        said = [page.locator("#map-said").inner_text()]
        for key in ("ArrowRight", "ArrowRight", "End", "ArrowLeft", "Home"):
            page.keyboard.press(key)
            said.append(page.locator("#map-said").inner_text())
        assert page.locator("#tip").inner_text() == said[-1] == said[0]
        assert len(set(said)) == 5
        assert page.locator(".pt.on").count() == 2  # of both modalities
        page.locator("#toggle-m0").uncheck()
        page.locator("#map-find").fill("UNSEEN 00")
        assert page.locator("#map-said").inner_text() == "5 classes found"
        page.locator("#figure-result .ringed").nth(3).hover(force=True)
        assert "T1: mean " in page.locator("#tip").inner_text()
        assert tab.errors == []


def test_tables_sort_and_filter(browser, pages):
    def column(number):
        cells = tab.page.locator(f"#table-classes tbody tr:not([hidden]) > :nth-child({number})")
        return cells.all_inner_texts()

    with browser.tab() as tab:
        tab.page.goto(pages["run"])
        first = [float(each) for each in column(3)]
        assert first == sorted(first)
        head = tab.page.locator("#table-classes th", has_text="Accuracy")
        head.get_by_role("button").press("Enter")
        assert head.get_attribute("aria-sort") == "descending"
        assert [float(each) for each in column(3)] == first[::-1]
        tab.page.locator("#table-classes").get_by_role("button", name="Class", exact=True).click()
        names = [each for each in column(1) if each.startswith(("seen", "unseen"))]
        assert names == sorted(names)
        tab.page.locator("#classes input").fill("SEEN 00")
        tab.page.locator("select").select_option("unseen")
        assert column(1) == [f"unseen 00{i}" for i in range(5)]
        assert tab.page.locator("#classes output").inner_text() == "5 of 21 shown"


def test_the_theme_is_chosen_and_kept(browser, pages):
    def paper():
        return tab.page.evaluate("getComputedStyle(document.body).backgroundColor")

    with browser.tab() as tab:
        tab.page.goto(pages["run"])
        light, button = paper(), tab.page.get_by_role("button", name="Dark theme")
        assert button.get_attribute("aria-pressed") == "false"
        button.click()
        dark = paper()
        assert dark != light
        tab.page.reload()
        assert (paper(), button.get_attribute("aria-pressed")) == (dark, "true")
        button.click()
        assert paper() == light


def test_a_figure_is_saved_as_a_file_that_stands_alone(browser, pages, tmp_path):
    with browser.tab(dark=True) as tab:
        tab.page.goto(pages["run"])
        for ident in ("figure-map", "figure-result", "learning-0-0"):
            with tab.page.expect_download() as waiting:
                tab.page.locator(f"[data-save={ident}]").click()
            path = tmp_path / waiting.value.suggested_filename
            assert path.suffix == ".svg"
            waiting.value.save_as(path)
            content = path.read_text(encoding="utf-8")
            root = ElementTree.fromstring(content)
            assert root.tag == "{http://www.w3.org/2000/svg}svg"
            assert float(root.get("width")) > 200
            assert "var(" not in content
            assert "class=" not in content
            marks = [e for e in root.iter() if e.tag.rpartition("}")[2] in ("path", "circle")]
            colours = {e.get(k) for e in marks for k in ("fill", "stroke")}
            assert "rgb(10, 102, 181)" in colours, colours  # the light theme's
            names = [e for e in root.iter() if e.tag.endswith("text")]
            assert all(float(e.get("font-size").removesuffix("px")) >= 11 for e in names)
            assert not root.findall(".//{*}script")
        assert tab.errors == []


def test_by_keyboard_and_on_paper(browser, pages):
    with browser.tab(NARROW) as tab:
        tab.page.goto(pages["run"])
        tab.page.keyboard.press("Tab")
        assert tab.page.evaluate("document.activeElement.className") == "skip"
        tab.page.keyboard.press("Enter")
        reached = set()
        for _ in range(400):
            tab.page.keyboard.press("Tab")
            said = tab.page.evaluate(
                "[document.activeElement.tagName, getComputedStyle(document.activeElement)"
                ".outlineStyle, document.activeElement.id]"
            )
            if said[0] == "BODY":
                break
            assert said[1] != "none", said
            reached.add(said[2] or said[0])
        assert {"map-explore", "map-find", "toggle-m0", "SUMMARY", "BUTTON", "SELECT"} <= reached
        tab.page.emulate_media(media="print", color_scheme="dark")
        paper = tab.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert paper == "rgb(255, 255, 255)"
        ink = tab.page.evaluate("getComputedStyle(document.body).color")
        assert max(map(int, re.findall(r"\d+", ink)[:3])) < 80


def test_the_way_from_a_sweep_to_its_runs(browser, pages):
    with browser.tab() as tab:
        tab.page.goto(pages["sweep"])
        assert tab.page.locator("figure img").evaluate("each => each.naturalWidth") > 0
        tab.page.get_by_role("link", name="seed 1 of two").click()
        assert tab.page.title() == "made up · now · mmalign"
        assert "cell%201%23/seed-1/mine/now/report.html" in tab.page.url
