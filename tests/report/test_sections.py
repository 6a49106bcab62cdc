"""Sections on models against each other, groups, ranks and misses: in order, with a takeaway, or with the reason."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from s2squant.evaluation.results import Portfolio
from s2squant.report import breakdown_panels as place_panels
from s2squant.report import calibration_panels, joint_panels, panels, portfolio_panels
from s2squant.report import pairwise_panels as model_panels
from s2squant.report import score_panels as evidence_panels
from s2squant.report.study_pages import render
from s2squant.report.study_view import arrange
from tests.report.factory import make_study
from tests.report.factory_more import filled


@pytest.fixture(scope="module")
def whole():
    return filled(make_study())


EQUAL_HELD = "Equal weights, never traded again"


def cells(panel, which=0):
    return [[cell.text for cell in row] for row in panel.grids[which].rows]


def test_they_stand_in_the_order_of_the_survey(whole):
    pages = {path: content.decode() for path, content in render(whole) if path.endswith(".html")}
    order = re.findall(r'<h2 id="([\w-]+)"', pages["index.html"])
    wanted = ["leaderboard", "scorecard", "pairs", "paths", "steps", "tickers", "shrinkage", "groups", "cross-section"]
    wanted += ["time", "largest-misses", "equity"]
    assert [name for name in order if name in wanted] == wanted
    ticker = next(text for path, text in pages.items() if path.startswith("tickers/acme"))
    order = re.findall(r'<h2 id="([\w-]+)"', ticker)
    assert order.index("time") < order.index("largest-misses") < order.index("equity")
    for name in ("pairs", "paths", "groups", "cross-section", "largest-misses"):
        assert f'id="say-{name}"' in pages["index.html"]
        assert f'href="#{name}"' in pages["index.html"], "in the list of sections"


def test_a_finding_says_what_was_seen(whole):
    pages = {path: content.decode() for path, content in render(whole) if path.endswith(".html")}
    said = "2020-03-16 moved 11.2 &lt;i&gt;sd&lt;/i&gt; (seen &amp; weighed)"
    assert said in pages["index.html"]
    assert any(said in text for path, text in pages.items() if path.startswith("tickers/"))


def test_the_matrix_holds_each_pair_from_both_sides(whole):
    c = arrange(whole)
    panel = model_panels.pairs(c)
    heat, stars = panel.charts[0][0].traces
    values = np.array(heat["z"], float)
    assert np.isnan(np.diag(values)).all()
    np.testing.assert_allclose(values + values.T, np.where(np.eye(len(values)), np.nan, 0.0))
    every = whole.pairs[whole.pairs["step"] == "all"]
    differ = every[every["finding"] == "differ"]
    assert len(stars["x"]) == 2 * len(differ)
    assert panel.say.startswith(f"{len(differ)} of {len(every)} pairs of models differ")
    assert [grid.caption for _, grid in panel.folded] == ["Every pair once, surest difference first"]
    assert len(panel.folded[0][1].rows) == len(every)
    row = differ.iloc[0]
    at = [c.models.index(row["model"]), c.models.index(row["against"])]
    assert heat["z"][at[0]][at[1]] == row["effect"]
    assert heat["text"][at[1]][at[0]].count("−") == 1


def test_the_pairs_are_told_by_step_too(whole):
    told = model_panels.pairs(arrange(whole)).folded_charts
    wanted = [f"At step {s}: {len(whole.pairs[whole.pairs['finding'] == 'differ']) // 4}" for s in (1, 5, 20)]
    assert [summary.partition(" of ")[0] for summary, _, _ in told] == wanted
    assert len({chart.id for _, chart, _ in told}) == 3
    assert all("at step" in chart.label for _, chart, _ in told)
    older = replace(whole, pairs=whole.pairs[whole.pairs["step"] == "all"].drop(columns="step"))
    panel = model_panels.pairs(arrange(older))
    assert (panel.folded_charts, panel.say) == ((), model_panels.pairs(arrange(whole)).say)


def test_models_without_paths_are_named_not_dropped(whole):
    panel = model_panels.paths(arrange(whole))
    shown = cells(panel)
    assert len(shown) == len(whole.energy)
    assert {row[1] for row in shown} == {"128", "quantiles only"}
    best = whole.energy["skill"].max()
    assert f"+{100 * best:.2f}" in panel.say
    assert "root mean square" in panel.notes[0]


def test_a_refused_confidence_set_is_no_finding(whole):
    """Nothing is called equal to the best, and no model inside, where the set was not tested."""
    told = evidence_panels.scorecard(arrange(whole))
    assert told.say.startswith("Any of these may be the best: ")
    shown = {row[1].text: row[2].text for row in told.folded[1][1].rows}
    assert shown["Random walk"] == "no"
    assert set(shown.values()) == {"yes", "no"}
    reason = "20 cutoffs, at least 24 needed"
    for inside in (False, True):  # runs written before this said True
        refused = whole.confidence_set.assign(p=np.nan, inside=inside, reason=reason)
        panel = evidence_panels.scorecard(arrange(replace(whole, confidence_set=refused)))
        assert panel.say.startswith(f"Which models may be the best was not tested: {reason}. ")
        assert "cannot tell" not in panel.say
        table = panel.folded[1][1]
        assert {row[-1].text for row in table.rows} == {reason}
        assert not {"yes", "no"} & {cell.text for row in table.rows for cell in row}


def test_the_run_page_counts_the_tickers_whose_misses_are_wrong(whole):
    panel = calibration_panels.calibration(arrange(whole))
    own = whole.exceedances[whole.exceedances["model"] == "blend"]
    names = list(dict.fromkeys(own["unique_id"]))
    many = f"One-day misses are too many, too few or clustered on 1 of {len(names)} tickers"
    assert f"{many}: {names[1]} (below 5\u202f%: too many)." in panel.say
    none = whole.exceedances.assign(finding="no evidence")
    said = calibration_panels.calibration(arrange(replace(whole, exceedances=none))).say
    assert said.endswith("No ticker's one-day misses are too many, too few, or clustered.")
    summary, table = panel.folded[1]
    assert summary == "Outcomes outside the bands at step 1"
    assert len(table.rows) == len(own)
    assert [cell.text for cell in table.rows[0]][:3] == [names[1], "below 5 %", "too many"]
    few = whole.exceedances.assign(finding="not tested", p_adjusted=np.nan, reason="30 cutoffs, at least 50 needed")
    told = calibration_panels.calibration(arrange(replace(whole, exceedances=few))).say
    assert told.endswith("Misses one step ahead were not tested: 30 cutoffs, at least 50 needed.")
    older = whole.exceedances.drop(columns=["finding", "p_adjusted"])
    panel = calibration_panels.calibration(arrange(replace(whole, exceedances=older)))
    assert "misses" not in panel.say
    assert len(panel.folded[1][1].rows) == len(own)


def test_ranks_say_why_they_are_not_there(whole):
    few = whole.cross_section.iloc[:1].assign(model="", tickers=4, reason="4 tickers on a date; 20 are needed")
    fewer = replace(whole, cross_section=few)
    assert place_panels.cross_section(arrange(fewer)) is None
    page = dict(render(fewer))["index.html"].decode()
    assert "Ranks: a market needs 20 or more tickers on one date; the largest here has 4." in page
    assert len(cells(place_panels.cross_section(arrange(whole)))) == len(whole.cross_section)


def test_groups_that_are_not_there_are_told(whole):
    panel = place_panels.groups(arrange(whole))
    assert panel.say.startswith("None of 3 groups stands out once all are allowed for; most skill in market: US")
    assert panel.notes[0] == "Not grouped by dollar volume: no market has 6 tickers with a known volume."
    one = whole.groups.assign(finding=["better", "no evidence", "no evidence", "not tested"])
    panel = place_panels.groups(arrange(replace(whole, groups=one)))
    assert panel.say.startswith("1 of 3 groups stands out once all are allowed for: market: US (+1.00")


def test_a_miss_reads_as_a_sentence_and_a_ticker_lists_its_own(whole):
    c = arrange(whole)
    run, own = place_panels.misses(c, "all"), place_panels.misses(c, "ACME")
    assert run.say.startswith("The largest miss is of ACME: −6.2 standard deviations 1 step after ")
    assert "1,234.50" in cells(run)[0]
    assert len(cells(own)) == 4
    assert len(cells(own)[0]) == len(cells(run)[0]) - 1, "its name is on the page already"
    assert place_panels.misses(c, "unheard of") is None


def test_joint_paths_are_told_against_both(whole):
    made = joint_panels.joint(arrange(whole))
    assert "variogram score" in made.say
    assert "against independent steps and tickers; " in made.say
    assert "against GJR-FHS on common dates" in made.say
    assert len(cells(made)) == 4
    assert joint_panels.joint(arrange(replace(whole, joint=pd.DataFrame()))) is None


def test_the_portfolio_says_what_to_expect_and_what_it_beat(whole):
    made = portfolio_panels.portfolio(arrange(whole))
    assert "a loss of more than 3.0" in made.say
    assert made.say.endswith("Walked forward it beat none of 2 simpler portfolios, and was worse than 1.")
    assert [row[0] for row in cells(made, 1)] == ["This portfolio", "Inverse volatility", EQUAL_HELD]
    assert made.notes == ("VOD.L: its price is in GBP, and no rate to USD is among the tickers.",)
    assert portfolio_panels.portfolio(arrange(replace(whole, portfolio=Portfolio()))) is None


def test_a_study_of_an_older_version_has_no_such_sections(whole):
    names = ("pairs", "energy", "misses", "groups", "cross_section")
    older = arrange(replace(whole, **dict.fromkeys(names, pd.DataFrame())))
    assert model_panels.pairs(older) is None
    assert model_panels.paths(older) is None
    assert place_panels.groups(older) is None
    assert place_panels.cross_section(older) is None
    assert place_panels.misses(older, "all") is None


def test_the_shape_of_bands_is_told_in_sentences():
    say = calibration_panels.shape_words
    assert say([]) == "No test finds fault with the calibration."
    faults = [("all", "too wide"), ("2-5", "shape"), ("6-20", "too wide")]
    assert (
        say(faults) == "Bands are too wide overall and at steps 6 to 20; the shape of the bands is off at steps 2 to 5."
    )


def test_groups_of_the_same_tickers_are_one_row():
    base = {"tickers": 4, "low": 0.0, "high": 0.1, "n": 100}
    table = pd.DataFrame(
        [
            base | {"basis": "market", "group": "US", "skill": 0.05},
            base | {"basis": "market", "group": "Euro rates", "skill": 0.01},
            base | {"basis": "asset class", "group": "stocks", "skill": 0.05},
        ]
    )
    together = place_panels.merged(table)
    assert together["basis"].tolist() == ["market, asset class", "market"]
    assert together["group"].tolist() == ["US, stocks", "Euro rates"]


def test_the_line_of_stability_is_broken_where_nothing_was_forecast(whole):
    days = pd.to_datetime(
        [*pd.date_range("2010-01-01", periods=6, freq="30D"), *pd.date_range("2022-01-01", periods=6, freq="30D")]
    )
    table = pd.DataFrame({"challenger": "blend", "benchmark": "historical_simulation", "cutoff": days, "window": 3})
    table = table.assign(first=table["cutoff"].shift(2), effect=0.01, band=0.005).iloc[2:]
    panel = evidence_panels.fluctuation(arrange(replace(whole, fluctuation=table)))
    _, gain = panel.charts[0][0].traces
    assert gain["y"].count(None) == 1
    assert len([v for v in gain["y"] if v is not None]) == 8
    assert panel.say.endswith("in 8 of 8 windows. 2 windows that span years without forecasts are left out.")


def test_a_test_that_could_not_be_made_has_no_p(whole):
    row = {"test": "Clark-West", "pool": "all", "challenger": "blend", "benchmark": "gjr_t", "effect": 0.0, "p": 1.0}
    row |= {"statistic": np.nan, "finding": "not tested", "reason": "the two means are the same", "n": 9, "n_eff": 3.0}
    tested = row | {"finding": "no evidence", "p": 0.4, "statistic": 0.8, "reason": ""}
    panel = evidence_panels.tests(arrange(replace(whole, tests=pd.DataFrame([row, tested]))))
    columns = [column.name for column in panel.grids[0].columns]
    assert [line[columns.index("p")] for line in cells(panel)] == ["–", "0.400"]


def test_the_audit_counts_every_check(whole):
    assert panels.audit(arrange(whole)).say == "2 of 3 checks for look-ahead passed; 1 did not run."
