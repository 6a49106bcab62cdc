import importlib.resources
import json
import math

import numpy as np
import plotly.graph_objects as go
import pytest
from plotly.offline import get_plotlyjs_version

from s2squant.report import fan_charts as fans
from s2squant.report.charts import Chart, broken, plain, thin
from s2squant.report.fan_cards import newest_fans
from s2squant.report.formats import MINUS, THIN, UNKNOWN, interval, number, percent, price, pvalue, typeset
from s2squant.report.study_pages import index_page, ticker_page
from s2squant.report.study_view import arrange


def charts(page) -> list[Chart]:
    found = []
    for item in page["charts"].values():
        found += item if isinstance(item, list) else [item]
    return found


def undressed(value):
    """Colour tokens as colours plotly knows."""
    if isinstance(value, dict):
        return {k: undressed(v) for k, v in value.items()}
    if isinstance(value, list):
        return [undressed(v) for v in value]
    return "#000000" if isinstance(value, str) and value.startswith("@") else value


@pytest.fixture(scope="module")
def contents(study):
    return arrange(study)


def test_the_bundle_is_of_the_version_whose_schema_is_tested():
    bundle = (importlib.resources.files("s2squant.report") / "assets" / "plotly-cartesian.min.js").read_text("utf-8")
    assert f"cartesian - minified) v{get_plotlyjs_version()}\n" in bundle[:400]
    assert "Licensed under the MIT license" in bundle[:400]


def test_figures_are_valid_plotly(contents):
    page = charts(index_page(contents, newest_fans(contents))) + charts(ticker_page(contents, contents.finished[2], 2))
    assert not [chart.id for chart in page if chart.reason]
    for chart in page:
        spec = undressed(json.loads(str(chart.json)))
        go.Figure(data=spec["data"], layout=spec["layout"])


def test_json_cannot_end_its_script_element():
    assert "<" not in str(Chart("a", "b", ({"name": "</script><script>alert(1)</script>"},)).json)


def test_plotly_labels_are_plain_text(contents):
    spec = json.loads(str(index_page(contents, newest_fans(contents))["charts"]["caterpillar"].json))
    assert not [t for t in spec["layout"]["yaxis"]["ticktext"] if "<" in t]
    assert plain("<b>&") == "&lt;b&gt;&amp;"


def test_fan_starts_at_the_price_and_holds_the_quantiles(study, contents):
    history = study.histories["ACME"]
    fan = fans.last_fan(contents.of("forecasts", "ACME"), "blend", history)
    assert fan is not None
    assert fan.is_open
    assert fan.dates[0] == history.dates[-1]
    assert fan.path("q0.500")[0] == pytest.approx(history.adj_close[-1])
    row = study.forecasts.query("model == 'blend' and unique_id == 'ACME' and y != y").sort_values("step").iloc[4]
    assert fan.path("q0.900")[5] == pytest.approx(history.adj_close[-1] * math.exp(row["q0.900"]))


def test_past_fans_meet_the_history(study, contents):
    history = study.histories["ACME"]
    shown = fans.past_fans(contents.of("forecasts", "ACME"), "blend", history)
    assert len(shown) == 6
    for fan in shown:
        at = np.searchsorted(history.dates, fan.dates)
        np.testing.assert_allclose(fan.realised, history.adj_close[at])


def test_thinning_keeps_ends_and_spikes():
    values = np.zeros(10_000)
    values[4321], values[8765] = 9.0, -9.0
    kept = thin(list(values), 100)
    assert {0, 9_999, 4321, 8765} <= set(kept)
    assert len(kept) <= 102


def test_a_line_breaks_where_nothing_was_recorded():
    dates = ["2012-01-02", "2012-01-16", "2012-01-30", "2026-05-01", "2026-05-15"]
    x, y = broken(dates, [1.0, 2.0, 3.0, 4.0, 5.0])
    assert y == [1.0, 2.0, 3.0, None, 4.0, 5.0]
    assert [d for d, v in zip(x, y, strict=True) if v is not None] == dates


def test_text_from_elsewhere_is_typeset():
    told = typeset("skill -5.6 % [-20.1, +8.9] on 2026-11-20, BRK-3")
    assert told == f"skill {MINUS}5.6{THIN}% [{MINUS}20.1, +8.9] on 2026-11-20, BRK-3"


def test_numbers_read_as_people_write_them():
    assert number(-1234.5) == f"{MINUS}1,234.50"
    assert number(-0.0001, sign=True) == "0.00"
    assert percent(0.0123, sign=True) == f"+1.23{THIN}%"
    assert interval(-0.006, 0.013) == f"[{MINUS}0.60, +1.30]"
    assert pvalue(0.0002) == "< 0.001"
    assert price(1.08421) == "1.0842"
    assert price(3120.4) == "3,120.40"
    assert {number(math.nan), percent(None), pvalue(math.inf), price("x")} == {UNKNOWN}
