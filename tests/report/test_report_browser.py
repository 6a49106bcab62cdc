"""The pages in a real browser, from file://, with no name resolution: charts are drawn, nothing complains."""

import html
import importlib.resources
import json
import re
import shutil
import subprocess

import pytest
from factory import HOSTILE, make_study
from factory_more import filled
from test_report_experiments import make_page

from s2squant.report import render, render_experiment, slug

pytestmark = pytest.mark.browser
SLOW = pytest.mark.slow

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
def report():
    return filled(make_study())


@pytest.fixture(scope="module")
def folder(report, tmp_path_factory):
    root = tmp_path_factory.mktemp("report")
    files = dict(render(report)) | dict(render(report, single_file=True))
    files |= {f"experiment/{path}": content for path, content in render_experiment(make_page())}
    files["axe.js"] = (importlib.resources.files("axe_core_python") / "axe.min.js").read_bytes()
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return root


def opened(browser, url, profile) -> tuple[str, list[str]]:
    """The page's elements after its scripts ran, and what its console said."""
    flags = [flag.replace("\t", " ") for flag in FLAGS.split(" ")]
    command = [browser, *flags, "--window-size=1280,16000", f"--user-data-dir={profile}", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def asked(browser, folder, page, steps, profile, width=1100) -> tuple[dict, list[str]]:
    """What `steps`, run over a page in a frame of this width, put into `said`; and what the console said."""
    frame = folder / "frame.html"
    frame.write_text(
        f'<!doctype html><iframe id="f" src="{page}" style="width:{width}px;height:16000px;border:0"></iframe>'
        '<p id="w"></p><script>onload = () => setTimeout(async () => {'
        'const page = document.getElementById("f").contentDocument, view = page.defaultView, said = {};'
        "const all = (what) => Array.from(page.querySelectorAll(what));"
        "const pause = (ms) => new Promise((done) => setTimeout(done, ms));"
        + steps
        + 'document.getElementById("w").textContent = JSON.stringify(said); }, 3000)</script>'
    )
    dom, complaints = opened(browser, frame.as_uri(), profile)
    frame.unlink()
    found = re.search(r'<p id="w">(.+?)</p>', dom, re.DOTALL)
    assert found, complaints
    return json.loads(html.unescape(found.group(1))), complaints


@pytest.mark.parametrize(
    ("page", "theme"),
    [
        ("index.html", "light"),
        (HOSTILE_PAGE, "dark"),
        pytest.param("experiment/index.html", "dark", marks=SLOW),
        pytest.param("report.html", "light", marks=SLOW),
        pytest.param("report.html#/tickers/acme.html", "dark", marks=SLOW),
    ],
)
def test_all_charts_are_drawn_without_complaint(browser, folder, page, theme, tmp_path):
    path, _, place = page.partition("#")
    dom, said = opened(browser, f"{(folder / path).as_uri()}?theme={theme}#{place}", tmp_path)
    assert not said
    shown = re.sub(r"<template.*?</template>", "", dom, flags=re.DOTALL)
    wanted = len(re.findall('class="chart', shown))
    assert wanted >= 4
    assert len(re.findall(r"data-drawn", shown)) == wanted
    assert len(re.findall(r'class="main-svg"', shown)) >= wanted
    assert f'data-theme="{theme}"' in dom
    assert "<img" not in dom


@pytest.mark.parametrize("page", ["index.html", pytest.param("report.html", marks=SLOW)])
def test_scripts_from_elsewhere_are_refused(browser, folder, page, tmp_path):
    changed = folder / "refused.html"
    changed.write_text(
        (folder / page).read_text().replace("</main>", "<script>document.title='ran'</script></main>", 1)
    )
    dom, said = opened(browser, changed.as_uri(), tmp_path)
    changed.unlink()
    assert "<title>ran" not in dom
    assert any("Content Security Policy" in line for line in said)


@pytest.mark.parametrize("page", ["index.html", HOSTILE_PAGE, pytest.param("experiment/index.html", marks=SLOW)])
def test_a_phone_needs_no_sideways_scrolling_and_nothing_is_fetched(browser, folder, page, tmp_path):
    steps = """
        const e = page.documentElement;
        all("details").forEach((d) => { d.open = true; });
        await pause(300);
        said.width = [e.clientWidth, e.scrollWidth];
        said.fetched = view.performance.getEntries().map((r) => r.name).filter((n) => n.includes(":"));
        said.tables = all("details.data").map((d) => d.querySelectorAll("tbody tr").length);
    """
    said, complaints = asked(browser, folder, page, steps, tmp_path, width=390)
    assert said["width"] in ([390, 390], [375, 375])  # with or without a scrollbar
    assert all(name.startswith("file:///") for name in said["fetched"])
    assert said["tables"]
    assert min(said["tables"]) >= 1
    assert not complaints


@pytest.mark.parametrize(
    "page",
    [
        "index.html?theme=light",
        pytest.param(f"{HOSTILE_PAGE}?theme=dark", marks=SLOW),
        pytest.param("experiment/index.html?theme=light", marks=SLOW),
    ],
)
def test_axe_finds_no_violation(browser, folder, page, tmp_path):
    steps = """
        all(opens).forEach((d) => { d.open = true; });
        const script = page.createElement("script");
        script.src = new URL("axe.js", location.href).href;
        await new Promise((done) => { script.onload = done; page.head.appendChild(script); });
        const found = await view.axe.run(page);
        said.passed = found.passes.length;
        said.broken = found.violations.map((v) => [v.id, v.impact, v.nodes[0].html.slice(0, 200)]);
    """
    opens = "details" if "experiment" in page else "details:not(.data):not(:has(table, pre))"
    said, _ = asked(browser, folder, page, steps.replace("opens", json.dumps(opens)), tmp_path)
    assert said["passed"] > 20
    assert said["broken"] == []


def test_a_reader_can_sort_filter_choose_lines_change_theme_and_print(browser, folder, tmp_path):
    steps = """
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
    said, complaints = asked(browser, folder, "index.html?theme=light", steps, tmp_path)
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


@SLOW
def test_the_pages_of_a_single_file_open(browser, folder, tmp_path):
    steps = """
        const title = () => page.querySelector("h1").textContent;
        const undrawn = () => {  // printing draws what was not yet in view
            view.dispatchEvent(new view.Event("beforeprint"));
            view.dispatchEvent(new view.Event("afterprint"));
            return all(".chart").filter((c) => !("drawn" in c.dataset)).length;
        };
        said.first = title();
        all("#ticker-table a")[0].click(); await pause(500);
        said.second = title(); said.where = view.location.hash; said.named = page.title;
        said.undrawn = undrawn();
        said.crumbs = page.querySelector(".crumbs").textContent;
        page.querySelector('.toc a[href="#steps"]').click(); await pause(200);
        said.still = title();
        page.querySelector(".crumbs a").click(); await pause(500);
        said.back = title(); said.left = undrawn();
    """
    said, complaints = asked(browser, folder, "report.html", steps, tmp_path)
    assert said["first"] == said["back"] == "Large caps <b>"
    assert said["second"] == said["still"] == "ACME"
    assert said["named"].startswith("ACME")
    assert said["where"] == "#/tickers/acme.html"
    assert "ACME" in said["crumbs"]
    assert said["undrawn"] == said["left"] == 0
    assert not complaints
