"""The nightly page: says whether to use tonight's numbers, hides nothing, trusts no ticker."""

import html
import importlib.resources
import json
import re
import time
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from s2squant.cli.night_screen import risk
from s2squant.nightly.page.night_page import render_night
from s2squant.nightly.page.rows import _rises, tonight
from s2squant.nightly.results import MarketNight
from s2squant.series.forecast import QUANTILE_COLUMNS
from tests.report.browsers import browsing, opened
from tests.report.test_study_pages import Page
from tests.worlds.nights import HOSTILE, NEXT, TONIGHT, cut_night, idle_night, make_night, named

SECTIONS = ["today", "alerts", "fans", "track", "drift", "against", "revisions", "runs", "provenance"]


@pytest.fixture(scope="module")
def night():
    return make_night(horizon=6)


@pytest.fixture(scope="module")
def calm(night):
    quiet = replace(night.monitor, alarmed=False, sentence="No drift: so far.", e_value=1.2, first_alarm="")
    return replace(night, monitor=quiet)


def index(night) -> str:
    return dict(render_night(night))["index.html"].decode()


def visible(text: str) -> str:
    """The page without its scripts, as plain text."""
    text = re.sub(r"<(script|style).*?</\1>", " ", text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", text)))


@pytest.fixture(scope="module")
def page(night):
    return index(night)


def test_tonights_var_and_shortfall_are_told_in_prices_and_per_cent(night, page):
    row = tonight(night).rows[0]
    part = night.today[(night.today["unique_id"] == row.ticker) & (night.today["model"] == tonight(night).model)]
    first = part[part["step"] == 1].iloc[0]
    low, high = row.losses
    assert (low.percent, high.percent) == (95, 99)
    assert low.price == pytest.approx(row.close * np.exp(first["q0.050"]))
    assert low.share == pytest.approx(1 - low.price / row.close)
    assert low.share < low.shortfall < high.shortfall
    assert low.share < high.share
    assert high.shortfall_price == pytest.approx(row.close * (1 - high.shortfall))
    assert "VaR 99 %" in page
    told = risk(night)[row.ticker]
    assert told[1]["share"] == high.share


def test_sections_stand_in_reading_order_each_with_a_takeaway(page):
    places = [page.index(f'<h2 id="{section}"') for section in SECTIONS]
    assert places == sorted(places)
    for section in SECTIONS:
        say = re.search(rf'id="say-{section}">(.+?)</p>', page, re.DOTALL)
        assert say, section
        assert len(say.group(1).strip()) > 10


def test_corrected_outcomes_are_said_and_listed(night, page):
    assert "Outcomes were corrected" not in page
    told = night.events.iloc[-1:].assign(kind="rescored", text="3 outcomes of 2026-11-02 valued again <b>")
    text = index(replace(night, events=pd.concat([night.events, told], ignore_index=True)))
    assert "Outcomes were corrected once since; the record counts the new ones." in visible(text)
    assert "3 outcomes of 2026-11-02 valued again &lt;b&gt;" in text


def test_the_banner_says_whether_to_use_tonights_numbers(page, calm):
    banner = visible(page[: page.index('<nav class="toc"')])
    for text in (
        TONIGHT,
        NEXT,
        "21:35 UTC",
        "9 sessions",
        "5 of 6",
        "On time",
        "Drift",
        "1 of 6 missing",
        "alarm at 100",
    ):
        assert text in banner, text
    assert "alarm at 100" in visible(index(calm))
    assert "▼ Drift" not in visible(index(calm))


def test_every_row_has_a_small_fan_and_leads_to_its_large_one(night, page):
    rows = re.findall(r"<tr>\s*<th scope=\"row\">(.*?)</tr>", page[page.index('id="ticker-table"') :], re.DOTALL)
    shown = [row for row in rows if 'class="fan"' in row]
    assert len(shown) == len(tonight(night).rows)
    for row in shown:
        (place,) = re.findall(r'href="#(chart-[\w-]+)"', row)
        assert f'id="{place}"' in page


def test_the_night_itself_is_not_counted_as_running(night):
    own = {**night.runs.iloc[0].to_dict(), "run_id": night.run_id, "status": "running"}
    said = visible(index(replace(night, runs=pd.concat([pd.DataFrame([own]), night.runs], ignore_index=True))))
    line = re.search(r"The last \d+ runs?: [^.]+\.", said).group(0)
    assert "running" not in line
    assert night.status in line


def test_stale_tickers_make_the_page_stale(calm):
    tickers = tuple(replace(t, status="stale", reason="no bar of 2026-11-19") for t in calm.tickers[:4])
    tickers += calm.tickers[4:]
    kept = calm.today[calm.today["unique_id"].isin([t.ticker for t in tickers if t.status == "ok"])]
    said = visible(index(replace(calm, tickers=tickers, today=kept)))
    assert "Old prices" in said
    assert "On time" not in said
    assert said.count("no bar of 2026-11-19") >= 4


@pytest.mark.parametrize(
    ("status", "message", "badge"),
    [
        ("skipped", "XNYS is closed on 2026-11-26", "Skipped"),
        ("late", "started 09:42, after the next open", "Too late"),
        ("failed", "no ticker could be read", "Failed"),
    ],
)
def test_a_night_without_a_forecast_has_a_page_with_its_track_record(night, status, message, badge):
    word = {"skipped": "closed", "late": "late"}.get(status, "failed")
    tickers = tuple(replace(t, status=word, reason=message) for t in night.tickers)
    idle = replace(night, status=status, message=message, today=night.today.iloc[:0], tickers=tickers, issued=0)
    text = index(idle)
    said = visible(text)
    assert badge in said
    assert "On time" not in said
    assert message in said
    assert "0 of 6" in said
    assert "figure-rolling" in text
    assert "No fan" in said


def test_failed_tickers_are_named_with_their_reason(page, night):
    said = visible(page)
    (lost,) = night.lost
    assert lost.ticker in said
    assert lost.reason in said  # shown as text: it holds tags
    assert "<b>found" not in page


def test_nothing_of_a_ticker_is_run(page):
    assert "<img" not in page
    assert html.escape(HOSTILE) in page
    for script in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.DOTALL):
        json.loads(script)
        assert "<" not in script


def test_the_page_is_whole(page):
    found = Page(page)
    assert not found.handlers
    assert len(found.ids) == len(set(found.ids))
    for link in found.links:
        assert link.startswith("#")
        assert link[1:] in found.ids
    assert all(not r.startswith("http") for r in found.resources)


@pytest.mark.parametrize("many", [1, 3, 14])
def test_few_nights_are_said_in_words(night, many):
    young = cut_night(night, many)
    said = visible(index(young))
    assert not re.search(r"(?<![\w-])(nan|None|NaT|inf)(?![\w-])", said)
    assert ("too few to say anything" in said) == (many < 10)
    assert ("intervals held" in said) == (many > 10)


def test_no_figure_is_left_unknown_in_words(page):
    assert not re.search(r"(?<![\w-])(nan|None|NaT|inf)(?![\w-])", visible(page))


def test_the_recalibrated_row_is_shown_with_the_raw_beside_it(night, page):
    shown = tonight(night)
    assert (shown.model, shown.raw) == ("blend+aci", "blend")
    row = shown.rows[0]
    of = night.today[night.today["unique_id"] == row.ticker].set_index(["model", "step"])
    first, raw = of.loc[("blend+aci", 1)], of.loc[("blend", 1)]
    ahead = row.ahead[0]
    assert [a.step for a in row.ahead] == [1, 5, 6]
    assert ahead.median == pytest.approx(row.close * 2.718281828459045 ** float(first["q0.500"]))
    assert ahead.low == pytest.approx(row.close * 2.718281828459045 ** float(first["q0.100"]))
    assert ahead.raw_high == pytest.approx(row.close * 2.718281828459045 ** float(raw["q0.900"]))
    only = replace(
        night,
        track=replace(night.track, model="blend"),
        today=night.today[night.today["model"] != "blend+aci"],
    )
    assert tonight(only).rows[0].ahead[0].raw_low != tonight(only).rows[0].ahead[0].raw_low  # unknown
    assert "before recalibration" not in visible(index(only))
    assert "before recalibration" in visible(page)


def test_a_recalibration_that_is_not_in_force_is_said_not_shown(night):
    """Where both rows are the same there is no grey range; the words say for how many tickers there is one."""
    quantiles = list(QUANTILE_COLUMNS)
    today = night.today.sort_values(["model", "unique_id", "step"], ignore_index=True)
    own, raw = (today["model"] == name for name in ("blend+aci", "blend"))
    still = today.copy()
    still.loc[own, quantiles] = today.loc[raw, quantiles].to_numpy()
    closed = replace(night, today=still)
    assert all(np.isnan(row.ahead[0].raw_low) for row in tonight(closed).rows)
    said = visible(index(closed))
    assert "the recalibration is not in force, as nothing shows that it would pay" in said
    assert "before recalibration" not in said
    one = own & (still["unique_id"] == "ACME")
    still.loc[one, quantiles] = 1.5 * still.loc[one, quantiles].to_numpy()
    assert "in force for 1 ticker" in visible(index(replace(night, today=still)))


def test_the_change_since_last_night_is_of_the_same_date_and_knows_no_split(night):
    """The medians are zero here: the change is the return that came, whatever the closes at issue were."""
    halved = night.record.assign(
        close=night.record["close"].where(night.record["cutoff"] == pd.Timestamp(TONIGHT), night.record["close"] * 2)
    )
    for case in (night, replace(night, record=halved)):
        for row in tonight(case).rows:
            close = case.histories[row.ticker].adj_close
            assert row.change == pytest.approx(close[-1] / close[-2] - 1, abs=1e-6)


def test_the_chance_of_a_rise_takes_quantiles_drawn_together_for_a_lump():
    quantiles = np.linspace(-0.1, 0.1, 39)
    assert _rises(quantiles) == pytest.approx(0.5)
    assert _rises(np.where(np.abs(quantiles) < 0.05, 0.0, quantiles)) == pytest.approx(0.5)
    assert _rises(quantiles + 0.05) > 0.7


def test_flags_name_what_is_unusual(night):
    ticker = night.tickers[0].ticker
    record = night.record.copy()
    last = record[
        (record["unique_id"] == ticker) & (record["ds"] == pd.Timestamp(TONIGHT)) & (record["step"] == 1)
    ].index
    record.loc[last, "pit"] = 0.001
    record.loc[last, "y"] = -0.2
    shown = tonight(replace(night, record=record))
    assert shown.flagged[0].ticker == ticker
    words = [word for word, _ in shown.flagged[0].flags]
    assert words[:2] == ["surprise", "moved"]
    said = visible(index(replace(night, record=record)))
    assert "below 97.5" in said
    assert "figure-flag-0" in index(replace(night, record=record))


def test_every_ticker_has_a_fan_with_last_nights_behind_it(page, night):
    figures = [json.loads(t) for t in re.findall(r'id="figure-(?:fan|flag)-\d+">(.*?)</script>', page, re.DOTALL)]
    assert len(figures) == 5
    assert all(sum(t.get("name") == "Last night" for t in f["data"]) == 3 for f in figures)


def test_several_markets_are_listed(night):
    other = MarketNight("XLON", "2026-11-18", NEXT, datetime(2026, 11, 20, 8, tzinfo=UTC), "", ("2026-11-17",), "", 0)
    said = visible(index(replace(night, markets=(*night.markets, other))))
    assert "XLON" in said
    assert "no forecast was issued for 2026-11-17" in said
    assert "2026-11-18 / 2026-11-19" in said


def test_equal_nights_give_equal_bytes(night, page):
    assert index(night) == page


def test_one_file_needs_no_other(night):
    (only,) = dict(render_night(night, single_file=True))
    assert only == "index.html"


def test_fifty_tickers_make_a_small_page_quickly():
    night = make_night(50, 35, 6, drift=False)
    start = time.process_time()
    content = dict(render_night(night))["index.html"]
    assert time.process_time() - start < 3.0
    assert len(content) < 1_500_000
    assert visible(content.decode()).count("T0") >= 44
    assert len(named(50)) == 50


@pytest.mark.browser
@pytest.mark.parametrize(("width", "theme"), [pytest.param(1280, "light", marks=pytest.mark.slow), (390, "dark")])
def test_the_page_draws_and_fits_a_phone(night, tmp_path, width, theme):
    for path, content in dict(render_night(night)).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    with browsing() as browser, opened(browser, tmp_path / "index.html", f"?theme={theme}", width=width) as sight:
        sight.wait_for_charts()
        assert sight.page.locator(".chart[data-drawn]").count() >= 6
        sight.unfold()
        sight.wait_for_charts()
        assert sight.page.evaluate("document.documentElement.scrollWidth") <= width
        assert not sight.said


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
def test_axe_finds_no_violation(night, tmp_path, width, theme):
    axe = (importlib.resources.files("axe_core_python") / "axe.min.js").read_text()
    for path, content in dict(render_night(night)).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    for page in ("index.html", *[str(path.relative_to(tmp_path)) for path in sorted(tmp_path.glob("*/*.html"))[:1]]):
        with browsing() as browser, opened(browser, tmp_path / page, f"?theme={theme}", width=width) as sight:
            sight.unfold("details:not(.data)")
            sight.wait_for_charts()
            sight.page.evaluate(axe)
            passed, broken = sight.page.evaluate(
                """async () => {
                    const found = await axe.run(document);
                    return [found.passes.length, found.violations.map((v) => [v.id, v.nodes[0].html.slice(0, 200)])];
                }"""
            )
        assert passed > 20
        assert broken == [], page


def test_the_made_up_idle_nights_render():
    said = visible(index(idle_night()))
    assert "Skipped" in said
