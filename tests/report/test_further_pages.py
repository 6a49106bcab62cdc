"""The pages beside the report (list of runs, two runs, prediction) in a real browser: whole, readable, alone."""

from __future__ import annotations

import importlib.resources

import pytest
from playwright.sync_api import expect

from s2squant.config.differences import differences
from s2squant.evaluation.paired_runs import pair_runs
from s2squant.evaluation.run_entry import RunEntry
from s2squant.predict import predict
from s2squant.report.compare_page import compare_page
from s2squant.report.experiment_page import render_experiment
from s2squant.report.prediction_page import prediction_page
from s2squant.report.runs_page import runs_page
from tests.report.browsers import browsing, opened
from tests.report.factory import HOSTILE, make_study

pytestmark = [pytest.mark.browser, pytest.mark.slow]
PAGES = ("runs.html", "prediction.html", "compare/index.html")


@pytest.fixture(scope="module")
def browser():
    with browsing() as browser:
        yield browser


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root, study = tmp_path_factory.mktemp("further"), make_study()
    place = f"backtest/{study.run_id}"
    entries = [
        RunEntry("backtest", study.run_id, place, "2026-01-02T03:04:05Z", "done", "mine", ("A", HOSTILE), "better",
                 0.02, 0.01, 0.03, has_page=True),
        RunEntry("us", "r2", "us/r2", "2026-01-02T03:04:05Z", "partial", "us", ("A",), sentence="5 of 6 forecast"),
        RunEntry("backtest", "r3", "backtest/r3", "2026-01-01T03:04:05Z", "stopped"),
    ]  # fmt: skip
    page = compare_page(study, study, pair_runs(study, study), differences(study.experiment, study.experiment))
    files = {f"compare/{path}": content for path, content in render_experiment(page, runs="../runs.html")}
    files |= {"runs.html": runs_page(entries)}
    files |= {"prediction.html": prediction_page(predict(["FB", "AAPL", "EURUSD", "IBM"], "sample", 20).outlooks, "x")}
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return root


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(("theme", "width"), [("light", 1440), ("dark", 390)])
def test_a_page_is_drawn_readable_and_asks_nobody(browser, folder, page, theme, width):
    axe = (importlib.resources.files("axe_core_python") / "axe.min.js").read_text()
    with opened(browser, folder / page, f"?theme={theme}", width=width) as sight:
        sight.wait_for_charts()
        assert sight.page.locator("img").count() == 0
        assert sight.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        sight.page.evaluate(axe)
        broken = sight.page.evaluate(
            "async () => (await axe.run(document)).violations.map((v) => [v.id, v.nodes[0].html.slice(0, 200)])"
        )
        assert broken == []
        assert not sight.said
        assert all(address.startswith(("file:///", "data:", "blob:")) for address in sight.asked)


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)])
def test_a_prediction_opens_with_the_fan(browser, folder, width, height):
    with opened(browser, folder / "prediction.html", width=width, height=height) as sight:
        fan = sight.page.locator("#chart-fan-0 .main-svg >> nth=0")
        expect(fan).to_be_visible()
        box = fan.bounding_box()
        assert box["height"] > 200
        assert box["y"] + 0.5 * box["height"] <= height


def test_the_list_leads_to_the_runs(browser, folder):
    with opened(browser, folder / "runs.html", height=900) as sight:
        links = sight.page.locator("#runs a").evaluate_all("(all) => all.map((a) => a.getAttribute('href'))")
        assert links == [f"backtest/{make_study(bars=300, cutoffs=2, horizon=5).run_id}/index.html"]
        assert sight.page.locator("#runs tbody tr").count() == 3
