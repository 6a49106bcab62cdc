"""The first screen: title, badge, verdict in plain words, and a small fan of every ticker."""

import io
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from s2squant.report import sentences
from s2squant.report.fan_cards import APART, BEFORE, cards, ends, newest_fans, range_words
from s2squant.report.fan_charts import last_fan
from s2squant.report.file_table import forecast_csv
from s2squant.report.names import join, market_name, universe_line
from s2squant.report.opening import opening
from s2squant.report.study_view import arrange
from tests.report.factory import HOSTILE, make_study
from tests.report.factory_more import filled


@pytest.fixture(scope="module")
def whole():
    return filled(make_study())


def ruled(study, word, **words):
    """The study with this word as its verdict, and pooled words of the recommended model by benchmark."""
    table = study.verdicts
    mine = table.query("challenger == 'blend' and step == 'all' and pool == 'all'").iloc[0].to_dict()
    own = [mine | {"benchmark": name, "word": said, "effect": 0.004} for name, said in words.items()]
    others = table[(table["challenger"] != "blend") | (table["step"] != "all")]
    spec = study.experiment.verdict.model_copy(update={"rival": "gjr_t"})
    experiment = study.experiment.model_copy(update={"verdict": spec})
    nobody = study.by_ticker.assign(word="no evidence")
    verdicts = pd.concat([others, pd.DataFrame(own)], ignore_index=True)
    return replace(study, verdicts=verdicts, word=word, experiment=experiment, by_ticker=nobody)


def test_the_title_says_what_was_tested(whole):
    said = r"4 tickers: 2 US stocks 20\d\d(-\d\d)?, 1 UK stock 20.* and 1 UK rate 20.*, 20 sessions ahead, \d+ cutoffs"
    assert re.fullmatch(said, universe_line(arrange(whole)))
    one = make_study(tickers={"ACME": "XNYS"}, bars=700, cutoffs=3)
    assert re.fullmatch(r"ACME, US stock 20\d\d(-\d\d)?, 20 sessions ahead, \d cutoffs", universe_line(arrange(one)))
    assert market_name("weekly:XNYS") == "US, weekly"
    assert (market_name("ECB"), market_name("XNEW"), market_name("")) == ("Euro rates", "XNEW", "")
    assert (join([]), join(["a"]), join(["a", "b", "c"])) == ("", "a", "a, b and c")


def test_a_lead_that_not_all_tests_share_is_borderline(whole):
    bare = replace(whole, pairs=pd.DataFrame())
    said = opening(arrange(ruled(bare, "no evidence", historical_simulation="better", gjr_t="no evidence")))
    assert said.badge == "borderline"
    assert said.verdict.startswith("The blend forecasts better than historical simulation (")
    assert "Against GJR-t, the rival named before the run (" in said.verdict
    assert said.verdict.endswith("there is no evidence of skill.")
    assert said.beside == "No ticker is better on its own."
    none = opening(arrange(ruled(bare, "no evidence", historical_simulation="no evidence", gjr_t="no evidence")))
    assert none.badge == "no evidence"
    worse = opening(arrange(ruled(bare, "worse", historical_simulation="better", gjr_t="worse")))
    assert (worse.badge, "It forecasts worse than GJR-t" in worse.verdict) == ("worse", True)


def test_better_than_all_is_borderline_where_no_pair_and_no_ticker_stands(whole):
    pair = {"step": "all", "model": "blend", "against": "gjr_t", "effect": 0.01, "finding": "no evidence", "p": 0.2}
    better = {"historical_simulation": "better", "gjr_t": "better"}
    alone = ruled(replace(whole, pairs=pd.DataFrame([pair])), "better", **better)
    said = opening(arrange(alone))
    assert said.badge == "borderline"
    assert said.beside.startswith("None of 1 pair of models stands once all are allowed for")
    stands = ruled(replace(whole, pairs=pd.DataFrame([pair | {"finding": "differ"}])), "better", **better)
    said = opening(arrange(stands))
    assert said.badge == "better"
    assert "1 of 1 pair of models stands once all are allowed for, 1 of them with the blend ahead" in said.beside
    named = replace(alone, by_ticker=alone.by_ticker.assign(word="better"))
    assert opening(arrange(named)).badge == "better"


def test_a_failed_audit_takes_the_verdict_back(whole):
    audit = pd.DataFrame([{"check": "truncation", "model": "blend", "outcome": "failed", "sentence": "It saw."}])
    said = opening(arrange(replace(whole, audit=audit, word="better", sentence="Not to be believed: x.\nmore")))
    assert (said.badge, said.verdict, said.advice) == (
        "no evidence",
        "Not to be believed: x.",
        "Do not act on this report.",
    )


def test_a_card_says_what_its_fan_draws(whole):
    c = arrange(whole)
    made = {card.ticker: card for card in cards(c, newest_fans(c))}
    assert list(made) == [t.ticker for t in c.finished]
    fan = last_fan(c.of("forecasts", "ACME"), c.recommended, whole.histories["ACME"])
    start, median, low, high = ends(fan)
    card = made["ACME"]
    assert card.move == pytest.approx(median / start - 1)
    assert card.width == pytest.approx((high - low) / start)
    assert card.range == range_words(fan)
    assert re.fullmatch(r"[\d.,]+ → [\d.,]+ by \d{4}-\d\d-\d\d, 80\u202f% range [\d.,]+ to [\d.,]+", card.range)
    assert re.fullmatch(r"the 80\u202f% bands held \d+\.\d\u202f% of \d+ past forecasts", card.trust)
    drawn = str(card.picture)
    assert len(re.search(r'class="past" points="([^"]+)"', drawn).group(1).split()) == BEFORE + 1
    assert ">today<" in drawn
    heights = [float(y) for y in re.findall(r'<text class="(?:edge|mid)" x="[\d.]+" y="([\d.]+)"', drawn)]
    assert len(heights) == 3
    assert min(np.diff(heights)) >= APART - 1e-6
    assert HOSTILE not in str(made[HOSTILE].picture)


def test_the_newest_forecast_is_a_file_in_prices():
    study = make_study(tickers={"=1+1": "XNYS", "ACME": "XNYS"}, bars=700, cutoffs=3)
    c = arrange(study)
    table = pd.read_csv(io.BytesIO(forecast_csv(c, newest_fans(c))), parse_dates=["cutoff", "date"])
    assert list(table["unique_id"].unique()) == ["'=1+1", "ACME"], "no spreadsheet takes a ticker for a formula"
    fan = last_fan(c.of("forecasts", "ACME"), c.recommended, study.histories["ACME"])
    mine = table[table["unique_id"] == "ACME"]
    np.testing.assert_allclose(mine["q0.900"], fan.path("q0.900")[1:], rtol=1e-7)
    assert list(mine["date"]) == list(pd.to_datetime(fan.dates[1:]))
    assert (mine["q0.005"] <= mine["q0.010"]).all()
    assert (mine["q0.990"] >= mine["q0.975"]).all()
    assert mine["close"].iloc[0] == pytest.approx(fan.quantiles_HQ[0, 0], rel=1e-7)


def test_the_gain_is_told_by_its_years():
    days = pd.to_datetime(["2009-06-01", "2010-06-01", "2011-06-01", "2022-06-01", "2023-06-01"])

    def said(*gains):
        table = pd.DataFrame({"model": "blend", "cutoff": days, "difference": gains, "cumulative": np.cumsum(gains)})
        return sentences.over_time(table, "blend")

    assert said(4.0, 5.0, 3.0, 0.2, -0.1) == "Nearly all of the gain came in 2009 to 2011; none in 2023."
    assert (
        said(5.0, 0.1, 5.0, 0.1, 0.1)
        == "Nearly all of the gain came in 2009 and 2011; a little in 2010 and 2022 to 2023."
    )
    assert said(1.0, 1.0, 1.0, 1.0, 1.0) == "The gain came in every year, 2009 to 2011 and 2022 to 2023."
    assert said(-1.0, 0.5, 0.0, 0.0, 0.0).startswith("Over the whole test the blend lost against the reference")
