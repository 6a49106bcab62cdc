"""A Chromium for the tests of pages: no name is resolved, and what a page says and asks for is kept.

The Chromium is the machine's own; nothing is downloaded. Waiting is for what a page shows, never for a time, so that
a busy machine makes a test slower and not red.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = ["--host-resolver-rules=MAP * ~NOTFOUND", "--allow-file-access-from-files", "--disable-background-networking"]
PATIENCE = 120_000  # ms
UNDRAWN = """() => Array.from(document.querySelectorAll(".chart[data-figure]")).filter((c) =>
    c.checkVisibility() && !("drawn" in c.dataset && c.querySelector(".main-svg"))).map((c) => c.id)"""


@dataclass(frozen=True, slots=True)
class Sight:
    """A page that is open: `said` by its console, as texts; `asked` for by it, as addresses."""

    page: Page
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def undrawn(self) -> list[str]:
        """The charts that are to be seen and have nothing in them, by id."""
        return self.page.evaluate(UNDRAWN)

    def wait_for_charts(self) -> None:
        """Return once every chart that is to be seen is drawn; a playwright error names the wait that ended in vain."""
        self.page.wait_for_function(f"() => ({UNDRAWN})().length === 0")

    def unfold(self, which: str = "details") -> None:
        """Open what is folded, all of it or what a CSS selector names."""
        self.page.evaluate("(what) => document.querySelectorAll(what).forEach((d) => { d.open = true; })", which)


@contextmanager
def browsing() -> Iterator[Browser]:
    """A headless Chromium; skips, with the reason, where the machine has none."""
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip(f"no Chromium on this machine (looked for {', '.join(NAMES)})")
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=path, args=FLAGS, timeout=PATIENCE)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(
    browser: Browser, path: Path, after: str = "", *, width: int = 1280, height: int = 48_000
) -> Iterator[Sight]:
    """The page in this file with `after` (?query#fragment) behind its address, in a window of this many pixels.

    The window is tall unless told, so that every chart is in view and is drawn.
    """
    with browser.new_context(viewport={"width": width, "height": height}) as context:
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        sight = Sight(page)
        page.on("console", lambda message: sight.said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: sight.said.append(f"uncaught: {error}"))
        page.on("request", lambda request: sight.asked.append(request.url))
        page.goto(path.as_uri() + after)
        yield sight
