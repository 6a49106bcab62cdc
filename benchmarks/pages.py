"""First paint and load of a run's pages in a headless Chromium, in seconds.

python benchmarks/pages.py RUN_DIR
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
PAINTED = "performance.getEntriesByName('first-contentful-paint').length > 0"
TIMES = """() => [performance.getEntriesByName('first-contentful-paint')[0].startTime,
    performance.getEntriesByType('navigation')[0].loadEventEnd]"""


def main() -> None:
    """Print both of the index and of every ticker's page, the slower of two openings."""
    if len(sys.argv) != 2 or not (run := Path(sys.argv[1]).resolve()).is_dir():
        raise SystemExit(__doc__)
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        raise SystemExit(f"no Chromium on this machine (looked for {', '.join(NAMES)})")
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=path)
        for page in [run / "index.html", *sorted((run / "tickers").glob("*.html"))]:
            openings = [_opening(browser, page) for _ in range(2)]
            paint, load = (max(times) / 1e3 for times in zip(*openings, strict=True))
            print(f"{page.relative_to(run)}: first paint {paint:.2f} s, loaded {load:.2f} s")
        browser.close()


def _opening(browser: Browser, page: Path) -> list[float]:
    """First contentful paint and the end of loading, in ms from the start of navigation."""
    with browser.new_context(viewport={"width": 1440, "height": 900}) as context:
        sheet = context.new_page()
        sheet.goto(page.as_uri())
        sheet.wait_for_function(PAINTED)
        times: list[float] = sheet.evaluate(TIMES)
        return times


if __name__ == "__main__":
    main()
