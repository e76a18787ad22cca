"""The page of ``mmalign play`` in a real browser, as a person sees it."""

import io
import re
import shlex
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from browsing import NARROW, WIDE, Tab, shot
from playing import laid_with_pictures, served, table, tiny  # noqa: F401
from vision import made_folder, made_picture

import mmalign
from mmalign.play.laying import laid
from mmalign.play.limits import Limits

NEW = "unseen 001"
ANSWERED = "#answer:not([aria-busy]) #best li"


@contextmanager
def opened(browser, table, size=WIDE, dark=False, **limits) -> Iterator[Tab]:
    """The page in a tab; at the end nothing came from elsewhere, and nothing is wrong with it."""
    with served(table, Limits(**limits)) as page, browser.tab(size, dark) as tab:
        tab.page.goto(page.url)
        tab.page.wait_for_selector("#model:has-text('seen')")
        yield tab
        assert tab.axe() == []
        assert tab.overflows() == 0
        assert tab.outside(page.url) == []
        assert tab.errors == []


def png(number=0):
    made = io.BytesIO()
    made_picture(number).save(made, "PNG")
    return made.getvalue()


def dropped(tab, name, kind, content):
    """A file that is let go over the page."""
    transfer = tab.page.evaluate_handle(
        """([name, type, bytes]) => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([new Uint8Array(bytes)], name, { type }));
          return transfer;
        }""",
        [name, kind, list(content)],
    )
    tab.page.dispatch_event("#zone", "drop", {"dataTransfer": transfer})


def names(tab, where="#best"):
    return tab.page.locator(f"{where} .name").all_text_contents()


def test_a_sample_is_not_known_described_recognised_and_forgotten(browser, table):
    row = table.samples.truths.index(NEW)
    with opened(browser, table) as tab:
        page = tab.page
        assert "12 seen and 0 unseen classes" in page.text_content("#model")
        page.fill("#row", str(row))
        page.click("#rows button[type=submit]")
        page.wait_for_selector(ANSWERED)
        assert page.text_content("#truth") == f"It is {NEW}, a class that the model does not know."
        assert NEW not in names(tab)
        assert re.search(r"Likeliest: seen \d+, [\d.]+ %, seen; ", page.text_content("#said"))
        before = names(tab)
        shot(tab, "sample_wide_light")

        page.click("#describe")
        page.wait_for_selector("#numbers-count:has-text('6 numbers')")
        assert page.input_value("#name") == NEW
        page.click("#add")
        page.wait_for_selector("#stage:has-text('The same thing was asked again')")
        assert names(tab)[0] == NEW
        assert page.text_content("#best li .badge >> nth=0") == "new"
        assert page.text_content("#truth") == f"✓ It is {NEW}."
        assert f"Likeliest: {NEW}, " in page.text_content("#said")
        assert NEW in names(tab, "#neighbours")
        command = shlex.join(["mmalign", "add-classes", table.path, "new-classes.csv"])
        assert page.text_content("#command") == f"{command} bigger-model"
        with page.expect_download() as download:
            page.click("#csv")
        assert download.value.suggested_filename == "new-classes.csv"
        page.check("#among [value=new]", force=True)
        page.wait_for_selector("#scale:has-text('Scores over 1 class;')")
        assert names(tab) == [NEW]
        shot(tab, "added_wide_light")

        page.click(f"button[aria-label='Remove {NEW}']")
        page.wait_for_selector("#stage:has-text('removing')")
        page.wait_for_selector("#added", state="hidden")
        page.wait_for_selector("#scale:has-text('over all 12 classes')")
        assert names(tab) == before
        assert page.evaluate("document.activeElement.id") == "name"


@pytest.mark.parametrize("dark", [False, True])
def test_a_picture_is_dropped_and_pasted(dark, browser, table):
    with opened(browser, table, NARROW, dark) as tab:
        dropped(tab, "one.png", "image/png", png(1))
        tab.page.wait_for_selector("#subject-name:has-text('one.png')")
        assert len(names(tab)) == 8
        assert tab.page.locator("#preview").evaluate("image => image.naturalWidth") == 60
        first = names(tab)
        tab.page.evaluate(
            """(bytes) => {
              const clipboardData = new DataTransfer();
              clipboardData.items.add(new File([new Uint8Array(bytes)], "two.png"));
              dispatchEvent(new ClipboardEvent("paste", { clipboardData }));
            }""",
            list(png(7)),
        )
        tab.page.wait_for_selector("#subject-name:has-text('two.png')")
        assert names(tab) != first
        tab.page.wait_for_timeout(50)  # the page may still be on its way to the answer
        shot(tab, f"picture_narrow_{'dark' if dark else 'light'}")


def test_what_is_wrong_stands_beside_it(browser, table):
    with opened(browser, table, dark=True, upload=2**14) as tab:
        page = tab.page
        dropped(tab, "notes.txt", "text/plain", b"hello")
        page.wait_for_selector("#ask-error:has-text('notes.txt: no whole picture')")
        dropped(tab, "large.png", "image/png", png() + bytes(2**14))
        page.wait_for_selector("#ask-error:has-text('large.png is larger than 16 KiB')")
        page.fill("#name", "seen 003")
        page.fill("#numbers", "1 2 3 4 5 six")
        page.press("#name", "Enter")
        page.wait_for_selector("#teach-error:has-text(\"Number 6, 'six', is no number.\")")
        assert page.text_content("#ask-error") == ""
        page.fill("#numbers", "1, 2, 3, 4, 5, 6")
        page.press("#name", "Enter")
        page.wait_for_selector("#teach-error:has-text('the model knows the class')")
        assert page.input_value("#numbers") == "1, 2, 3, 4, 5, 6"  # nothing written is lost
        shot(tab, "errors_wide_dark")
        # The browser itself notes the refusal; the page has said why.
        assert all("status of 400" in error for error in tab.errors)
        tab.errors.clear()


def test_a_slow_answer_is_said_and_the_page_goes_on(browser, table, monkeypatch):
    going = threading.Event()
    answer = table.ask_sample
    monkeypatch.setattr(table, "ask_sample", lambda *given: (going.wait(20), answer(*given))[1])
    with opened(browser, table, seconds=0.2) as tab:
        tab.page.click("#random")
        tab.page.wait_for_selector("#sample-error:has-text('more than 0.2 s')")
        going.set()
        tab.errors.clear()
        tab.page.click("#random")
        tab.page.wait_for_selector(ANSWERED)
        tab.errors.clear()


def test_pictures_of_a_folder_are_chosen_by_the_keyboard(browser, tiny, tmp_path, monkeypatch):
    made_folder(tmp_path / "some", [f"{number:02d}.png" for number in range(14)])
    shown = laid_with_pictures(tiny, monkeypatch, str(tmp_path / "some"))
    with opened(browser, shown) as tab:
        page = tab.page
        page.wait_for_selector("#gallery li >> nth=11")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "file"
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_selector("#subject-name:has-text('01.png')")
        assert page.get_attribute("#gallery button >> nth=1", "aria-pressed") == "true"
        page.click("#more")
        page.wait_for_selector("#gallery li >> nth=13")
        assert page.locator("#more").is_hidden()
        shot(tab, "gallery_wide_light")


def test_a_model_of_features_says_what_it_cannot_take(browser, tiny, tmp_path):
    np.save(tmp_path / "rows.npy", np.zeros((2, 12), np.float32))
    shown = laid(mmalign.load(tiny), "my model", [str(tmp_path / "rows.npy")])
    shown.base = replace(shown.base, fitted=object())  # it cannot change its classes
    with opened(browser, shown, NARROW) as tab:
        assert "takes no pictures" in tab.page.text_content("#no-pictures")
        assert tab.page.locator("#zone").is_hidden()
        assert tab.page.locator("#form").is_hidden()
        assert "cannot change its classes" in tab.page.text_content("#no-newcomers")
        tab.page.click("#rows button[type=submit]")
        tab.page.wait_for_selector(ANSWERED)
        shot(tab, "features_narrow_light")


def test_when_the_program_has_ended_the_page_says_so(browser, table):
    with browser.tab() as tab:
        with served(table) as page:
            tab.page.goto(page.url)
            tab.page.wait_for_selector("#model:has-text('seen')")
        tab.page.click("#random")
        tab.page.wait_for_selector("#sample-error:has-text('Start it again')")
