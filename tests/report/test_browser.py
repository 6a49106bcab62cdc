"""The pages in a real browser, from file://, with no name resolution: charts are drawn, nothing complains."""

import csv
import importlib.resources
import io
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from s2squant.report.experiment_page import render_experiment
from s2squant.report.slugs import slug
from s2squant.report.study_pages import render
from tests.report.browsers import browsing, opened
from tests.report.factory import HOSTILE, make_study
from tests.report.factory_more import filled
from tests.report.test_experiment_page import make_page

pytestmark = pytest.mark.browser
SLOW = pytest.mark.slow

HOSTILE_PAGE = f"tickers/{slug(HOSTILE, ())}.html"


@pytest.fixture(scope="module")
def browser():
    with browsing() as browser:
        yield browser


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root, report = tmp_path_factory.mktemp("report"), filled(make_study())
    files = dict(render(report)) | dict(render(report, single_file=True))
    files |= {f"experiment/{path}": content for path, content in render_experiment(make_page())}
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return root


@pytest.mark.parametrize(
    ("page", "place", "theme"),
    [
        ("index.html", "", "light"),
        pytest.param(HOSTILE_PAGE, "", "dark", marks=SLOW),
        pytest.param("experiment/index.html", "", "dark", marks=SLOW),
        pytest.param("report.html", "", "light", marks=SLOW),
        pytest.param("report.html", "#/tickers/acme.html", "dark", marks=SLOW),
    ],
)
def test_all_charts_are_drawn_without_complaint(browser, folder, page, place, theme):
    with opened(browser, folder / page, f"?theme={theme}{place}") as sight:
        sight.wait_for_charts()
        sight.unfold("details.part")
        sight.wait_for_charts()
        assert sight.page.locator(".chart[data-drawn]").count() >= 4
        sight.unfold()
        sight.wait_for_charts()
        drawn = sight.page.locator(".chart[data-drawn]")
        assert sight.page.locator(".chart").count() == drawn.count()
        assert sight.page.locator(f'html[data-theme="{theme}"]').count() == 1
        assert sight.page.locator("img").count() == 0
        assert not sight.said
        assert all(address.startswith(("file:///", "data:", "blob:")) for address in sight.asked)


FAN = {"index.html": "svg.fan >> nth=0", "tickers/acme.html": "#chart-fan .main-svg >> nth=0"}


@pytest.mark.parametrize(("width", "height"), [(1440, 900), pytest.param(390, 844, marks=SLOW)])
@pytest.mark.parametrize("page", ["index.html", "tickers/acme.html"])
def test_the_forecast_is_in_sight_without_scrolling(browser, folder, page, width, height):
    with opened(browser, folder / page, width=width, height=height) as sight:
        expect(sight.page.locator(FAN[page])).to_be_visible()
        box = sight.page.locator(FAN[page]).bounding_box()
        assert box["height"] > 60
        assert box["y"] + 0.9 * box["height"] <= height
        assert sight.page.evaluate("scrollY") == 0


def test_fans_are_sorted_and_filtered_and_a_folded_place_opens(browser, folder):
    with opened(browser, folder / "index.html", height=900) as sight:
        page = sight.page

        def shown(what: str) -> list[str]:
            cards = page.locator(".card:not([hidden])")
            return cards.evaluate_all(f"(all) => all.map((card) => card.dataset.{what})")

        page.select_option("#sort-card", "width")
        widths = [float(v) for v in shown("width")]
        assert widths == sorted(widths, reverse=True)
        page.fill("#find-card", "eurusd")
        assert shown("name") == ["EURUSD=X"]
        assert not page.locator("#tickers").is_visible()
        page.goto((folder / "index.html").as_uri() + "#tickers")
        expect(page.locator("#tickers")).to_be_in_viewport()
        assert not sight.said


@SLOW
def test_tables_and_charts_can_be_taken_away(browser, folder):
    with opened(browser, folder / "index.html") as sight:
        page = sight.page
        sight.unfold("details.part")
        sight.wait_for_charts()

        def taken(box: str, label: str) -> bytes:
            with page.expect_download() as waited:
                page.locator(box).get_by_role("button", name=re.compile(f"^{label} of")).first.click()
            return Path(waited.value.path()).read_bytes()

        table = list(csv.reader(io.StringIO(taken(".scroll:has(#ticker-table) + .takes", "CSV").decode())))
        head, *rows = table
        assert len(rows) == 4
        assert {len(row) for row in rows} == {len(head)}
        assert [row[0] for row in rows][1] == "../x"
        assert float(rows[0][head.index("q")]) >= 0
        chart = list(csv.reader(io.StringIO(taken("figure:has(#chart-steps)", "CSV").decode())))
        assert chart[0][0] == "Sessions ahead"
        assert len(chart) == 21
        assert taken("figure:has(#chart-steps)", "PNG").startswith(b"\x89PNG")
        assert not sight.said


def test_charts_wait_until_they_come_into_view(browser, folder):
    with opened(browser, folder / "index.html", height=700) as sight:
        sight.unfold("details.part")
        before = sight.undrawn()
        assert len(before) >= 4
        sight.page.locator(f"#{before[-1]}").scroll_into_view_if_needed()
        sight.page.wait_for_function("(id) => 'drawn' in document.getElementById(id).dataset", arg=before[-1])
        assert before[-1] not in sight.undrawn()
        assert sight.undrawn()


@SLOW
@pytest.mark.parametrize("page", ["index.html", "report.html"])
def test_scripts_from_elsewhere_are_refused(browser, folder, page, tmp_path):
    changed = folder / f"refused-{page}"
    intruder = "<script>document.title='ran'</script></main>"
    changed.write_text((folder / page).read_text().replace("</main>", intruder, 1))
    with opened(browser, changed) as sight:
        sight.wait_for_charts()
        assert sight.page.title() != "ran"
        assert any("Content Security Policy" in line for line in sight.said)


@pytest.mark.parametrize("page", ["index.html", HOSTILE_PAGE, pytest.param("experiment/index.html", marks=SLOW)])
def test_a_phone_needs_no_sideways_scrolling_and_nothing_is_fetched(browser, folder, page):
    with opened(browser, folder / page, width=390, height=40_000) as sight:
        sight.unfold()
        sight.wait_for_charts()
        sight.page.wait_for_function(
            '() => Array.from(document.querySelectorAll("details.data")).every((d) => d.querySelector("tbody tr"))'
        )
        assert sight.page.locator("details.data").count() >= 1
        width, needed = sight.page.evaluate(
            "[document.documentElement.clientWidth, document.documentElement.scrollWidth]"
        )
        assert needed == width
        cut = 'Array.from(document.querySelectorAll(".scroll")).filter((s) => s.scrollWidth > s.clientWidth + 1)'
        sign = "getComputedStyle(s, '::before').content"
        assert sight.page.evaluate(f"{cut}.length") > 0
        assert sight.page.evaluate(f"{cut}.filter((s) => !{sign}.includes('scroll sideways')).length") == 0
        assert all(address.startswith(("file:///", "data:", "blob:")) for address in sight.asked)
        assert not sight.said


@pytest.mark.parametrize(
    ("page", "theme", "width"),
    [
        pytest.param("index.html", "light", 1100, marks=SLOW),
        pytest.param("index.html", "dark", 390, marks=SLOW),
        pytest.param(HOSTILE_PAGE, "dark", 1100, marks=SLOW),
        pytest.param(HOSTILE_PAGE, "light", 390, marks=SLOW),
        pytest.param("experiment/index.html", "light", 1100, marks=SLOW),
    ],
)
def test_axe_finds_no_violation(browser, folder, page, theme, width):
    axe = (importlib.resources.files("axe_core_python") / "axe.min.js").read_text()
    shut = "details" if "experiment" in page else "details:not(.data):not(:has(table, pre))"
    with opened(browser, folder / page, f"?theme={theme}", width=width, height=40_000) as sight:
        sight.unfold(shut)
        sight.wait_for_charts()
        sight.page.evaluate(axe)
        passed, broken = sight.page.evaluate(
            """async () => {
                const found = await axe.run(document);
                return [found.passes.length,
                        found.violations.map((v) => [v.id, v.impact, v.nodes[0].html.slice(0, 200)])];
            }"""
        )
    assert passed > 20
    assert broken == []


@pytest.mark.slow
def test_a_reader_can_sort_filter_choose_lines_change_theme_and_print(browser, folder):
    with opened(browser, folder / "index.html", "?theme=light", width=1100) as sight:
        page = sight.page
        sight.unfold("details.part")
        sight.wait_for_charts()

        def skills() -> list[float]:
            rows = page.locator("#ticker-table tbody tr:not([hidden])")
            return [float(v) for v in rows.evaluate_all("(rows) => rows.map((r) => r.cells[3].dataset.v)")]

        def theme() -> tuple[str, str]:
            body = "getComputedStyle(document.body).backgroundColor"
            return page.evaluate("document.documentElement.dataset.theme"), page.evaluate(body)

        head = page.locator("#ticker-table th button").nth(3)
        head.click()
        up = skills()
        assert up == sorted(up)
        head.click()
        assert skills() == up[::-1]
        page.fill("#find", "eurusd")
        assert len(skills()) == 1

        line = page.locator("#legend-steps button").first
        line.click()
        assert line.get_attribute("aria-pressed") == "false"
        hidden = "document.getElementById('chart-steps').data.filter((t) => t.visible === false).length"
        assert page.evaluate(hidden) == 2  # the line and its band

        light = theme()
        page.click("#theme")
        dark = theme()
        assert (light[0], dark[0]) == ("light", "dark")
        assert light[1] != dark[1]
        page.evaluate(
            """() => ["beforeprint", "afterprint"].forEach((name) => addEventListener(name, () => {
                document.body.dataset[name] = document.documentElement.dataset.theme + " "
                    + document.querySelectorAll("details[open]").length; }))"""
        )
        assert page.pdf().startswith(b"%PDF-")
        shade, number = page.locator("body").get_attribute("data-beforeprint").split()
        assert shade == "light"
        assert int(number) > 5
        assert page.locator("body").get_attribute("data-afterprint") == "dark 3", "as it was: its three parts"
        assert theme() == dark
        assert not sight.said


@SLOW
def test_the_pages_of_a_single_file_open(browser, folder):
    with opened(browser, folder / "report.html") as sight:
        page, title = sight.page, sight.page.locator("h1")
        expect(title).to_contain_text("4 tickers")
        expect(page.locator(".eyebrow")).to_contain_text("Large caps <b>")
        page.locator("#cards a").first.click()
        expect(title).to_have_text("ACME")
        expect(page).to_have_title(re.compile("^ACME"))
        expect(page.locator(".crumbs")).to_contain_text("ACME")
        assert page.url.endswith("#/tickers/acme.html")
        sight.wait_for_charts()
        page.locator('.toc a[href="#part-evidence"]').click()
        page.locator('.toc a[href="#steps"]').click()
        expect(title).to_have_text("ACME")
        expect(page.locator("#steps")).to_be_in_viewport()
        page.locator(".crumbs a").first.click()
        expect(title).to_contain_text("4 tickers")
        sight.wait_for_charts()
        assert not sight.said
