"""The pages in a real browser, from file://, with no name resolution: charts are drawn, nothing complains."""

import json
import re
import shutil
import subprocess

import pytest
from factory import HOSTILE

from s2squant.report import slug

pytestmark = pytest.mark.browser

HOSTILE_PAGE = f"tickers/{slug(HOSTILE, ())}.html"
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --allow-file-access-from-files --host-resolver-rules=MAP\t*\t~NOTFOUND "
    "--enable-logging=stderr --v=0 --virtual-time-budget=20000 --dump-dom"
)


@pytest.fixture(scope="module")
def browser():
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no Chromium on this machine (looked for {', '.join(NAMES)})")
    return found


@pytest.fixture(scope="module")
def folder(files, tmp_path_factory):
    root = tmp_path_factory.mktemp("report")
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return root


def opened(browser, url, profile, size="1280,9000") -> tuple[str, list[str]]:
    """The page's elements after its scripts ran, and what its console said."""
    flags = [flag.replace("\t", " ") for flag in FLAGS.split(" ")]
    command = [browser, *flags, f"--window-size={size}", f"--user-data-dir={profile}", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.parametrize(("page", "theme"), [("index.html", "light"), ("index.html", "dark"), (HOSTILE_PAGE, "dark")])
def test_all_charts_are_drawn_without_complaint(browser, folder, files, page, theme, tmp_path):
    dom, said = opened(browser, f"{(folder / page).as_uri()}?theme={theme}", tmp_path)
    assert not said
    wanted = files[page].decode().count('class="chart"')
    assert wanted >= 4
    assert len(re.findall(r"data-drawn", dom)) == wanted
    assert len(re.findall(r'class="main-svg"', dom)) >= wanted
    assert f'data-theme="{theme}"' in dom
    assert "<img" not in dom


def test_scripts_from_elsewhere_are_refused(browser, folder, tmp_path):
    page = folder / "refused.html"
    page.write_text(
        (folder / "index.html").read_text().replace("</main>", "<script>document.title='ran'</script></main>")
    )
    dom, said = opened(browser, page.as_uri(), tmp_path)
    page.unlink()
    assert "<title>ran" not in dom
    assert any("Content Security Policy" in line for line in said)


@pytest.mark.parametrize("page", ["index.html", HOSTILE_PAGE])
def test_a_phone_needs_no_sideways_scrolling(browser, folder, page, tmp_path):
    frame = folder / "phone.html"
    frame.write_text(
        f'<!doctype html><iframe id="f" src="{page}" style="width:390px;height:9000px;border:0"></iframe><p id="w"></p>'
        "<script>onload = () => setTimeout(() => {"
        'const e = document.getElementById("f").contentDocument.documentElement;'
        'document.getElementById("w").textContent = e.clientWidth + "/" + e.scrollWidth; }, 3000)</script>'
    )
    dom, _ = opened(browser, frame.as_uri(), tmp_path)
    frame.unlink()
    found = re.search(r'<p id="w">(\d+)/(\d+)</p>', dom)
    assert found
    assert found.group(1) == found.group(2) == "390"


STEPS = """
const page = document.getElementById("f").contentDocument, view = page.defaultView, said = {};
const all = (what) => Array.from(page.querySelectorAll(what));
const names = () => all("#ticker-table tbody tr").filter((r) => !r.hidden).map((r) => r.cells[3].dataset.v);
const head = all("#ticker-table th button")[3];
head.click(); said.up = names();
head.click(); said.down = names();
const find = page.getElementById("find");
find.value = "eurusd"; find.dispatchEvent(new view.Event("input")); said.found = names().length;
const line = all("#legend-steps button")[0];
line.click(); said.pressed = line.getAttribute("aria-pressed");
said.hidden = page.getElementById("chart-steps").data.filter((t) => t.visible === false).length;
const before = view.getComputedStyle(page.body).backgroundColor;
page.getElementById("theme").click(); said.theme = page.documentElement.dataset.theme;
said.repainted = view.getComputedStyle(page.body).backgroundColor !== before;
view.dispatchEvent(new view.Event("beforeprint"));
said.print = [page.documentElement.dataset.theme, all("details[open]").length > 2];
view.dispatchEvent(new view.Event("afterprint"));
said.after = [page.documentElement.dataset.theme, all("details[open]").length];
"""


def test_a_reader_can_sort_filter_choose_lines_change_theme_and_print(browser, folder, tmp_path):
    frame = folder / "reader.html"
    frame.write_text(
        '<!doctype html><iframe id="f" src="index.html?theme=light" style="width:1100px;height:9000px"></iframe>'
        '<p id="w"></p><script>onload = () => setTimeout(() => {'
        + STEPS
        + 'document.getElementById("w").textContent = JSON.stringify(said); }, 3000)</script>'
    )
    dom, complaints = opened(browser, frame.as_uri(), tmp_path)
    frame.unlink()
    found = re.search(r'<p id="w">(.+?)</p>', dom)
    assert found, complaints
    said = json.loads(found.group(1))
    assert [float(v) for v in said["up"]] == sorted(float(v) for v in said["up"])
    assert said["down"] == said["up"][::-1]
    assert said["found"] == 1
    assert said["pressed"] == "false"
    assert said["hidden"] == 2  # the line and its band
    assert said["theme"] == "dark"
    assert said["repainted"]
    assert said["print"] == ["light", True]
    assert said["after"] == ["dark", 0]
    assert not complaints
