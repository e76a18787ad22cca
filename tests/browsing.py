"""A real browser for tests: Debian's Chromium, driven by Playwright, which no request may leave.

The tests that need it skip, with a reason, where no Chromium is; ``make chromium`` installs one.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

axe_core = pytest.importorskip("axe_playwright_python.sync_playwright")
playwright = pytest.importorskip("playwright.sync_api")

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = os.environ.get("MMALIGN_CHROMIUM") or next(filter(None, map(shutil.which, PROGRAMS)), "")
QUIET = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WIDE, NARROW = (1280, 900), (375, 812)  # CSS pixels: a desk, and a telephone


@dataclass
class Tab:
    """A page in the browser, what it asked of whom, and what it complained of."""

    page: "playwright.Page"
    asked: list[str] = field(default_factory=list)  # every address, the page's own among them
    errors: list[str] = field(default_factory=list)

    def outside(self, home: str) -> list[str]:
        """The addresses asked for that do not open with ``home``."""
        inline = ("data:", "blob:", "about:")
        return [each for each in self.asked if not each.startswith((home, *inline))]

    def axe(self) -> list[str]:
        """What axe-core finds serious or critical, a line each, with the place."""
        found = axe_core.Axe().run(self.page).response["violations"]
        return [
            f"{each['id']}: {node['html'][:120]}"
            for each in found
            if each["impact"] in ("serious", "critical")
            for node in each["nodes"]
        ]

    def overflows(self) -> int:
        """CSS pixels by which the page is wider than its window: a narrow screen's sideways way."""
        ask = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        return int(self.page.evaluate(ask))


class Browser:
    """Opens tabs; closes all of them."""

    def __init__(self, chromium: "playwright.Browser") -> None:
        self.chromium = chromium

    @contextmanager
    def tab(
        self, size: tuple[int, int] = WIDE, dark: bool = False, scripts: bool = True
    ) -> Iterator[Tab]:
        """A fresh tab of this size, which notes requests and errors."""
        context = self.chromium.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if dark else "light",
            java_script_enabled=scripts,
            accept_downloads=True,
        )
        tab = Tab(context.new_page())
        tab.page.set_default_timeout(20_000)
        tab.page.on("request", lambda request: tab.asked.append(request.url))
        tab.page.on("pageerror", lambda error: tab.errors.append(str(error)))
        tab.page.on(
            "console", lambda said: tab.errors.append(said.text) if said.type == "error" else None
        )
        try:
            yield tab
        finally:
            context.close()


def opened() -> Iterator[Browser]:
    """One headless Chromium, for the fixture ``browser`` of conftest.py."""
    if not CHROMIUM:
        pytest.skip("no Chromium on this machine: `make chromium`, or MMALIGN_CHROMIUM=/path/to/it")
    with playwright.sync_playwright() as driver:
        # A container's root has no user namespaces for Chromium's own sandbox.
        alone = ["--no-sandbox"] if os.geteuid() == 0 else []
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=[*QUIET, *alone])
        try:
            yield Browser(chromium)
        finally:
            chromium.close()


def shot(tab: Tab, name: str) -> None:
    """Keep a picture of the whole page where MMALIGN_SCREENSHOTS says, if it does."""
    if where := os.environ.get("MMALIGN_SCREENSHOTS"):
        Path(where).mkdir(parents=True, exist_ok=True)
        tab.page.screenshot(path=str(Path(where) / f"{name}.png"), full_page=True)
