"""What changed since the previous run: figures side by side, new bars, and returns that a vendor revised."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from s2squant.evaluation.paired_runs import pair_runs
from s2squant.evaluation.previous_run import COLUMNS, compare, trained_apart
from s2squant.report.compare_page import compare_page
from s2squant.report.panels import changes
from s2squant.report.study_view import arrange
from s2squant.runs import identity
from s2squant.series.history import PriceHistory
from tests.report.factory import make_study

TICKERS = {"ACME": "XNYS", "BETA": "XNYS"}


@pytest.fixture(scope="module")
def study():
    return make_study(tickers=TICKERS, bars=700, cutoffs=4, horizon=5)


def test_a_run_beside_itself_has_not_changed(study):
    table = compare(study, study)
    assert tuple(table.columns) == COLUMNS
    assert list(table["unique_id"]) == ["all"] * 9 + list(TICKERS)
    np.testing.assert_array_equal(table["skill"], table["skill_before"])
    own = table[table["unique_id"] != "all"]
    assert (own["word"] == own["word_before"]).all()
    assert (own[["bars_added", "bars_revised"]] == 0).all(axis=None)


def test_the_pooled_verdict_stands_with_the_recommended_model(study):
    table = compare(study, replace(study, word="worse")).set_index("model")
    assert table.loc["blend", "word_before"].iloc[0] == "worse"
    assert table["word_before"].iloc[:9].isna().sum() == 8


def test_new_bars_and_revised_returns_are_counted(study):
    old = study.histories["ACME"]
    prices = old.adj_close[:-20].copy()
    prices[:300] *= 0.97  # a dividend paid since: one return on the new basis differs
    prices[400] *= 1.05  # one price corrected: two returns differ
    before = PriceHistory("ACME", old.calendar, old.dates[:-20], prices)
    table = compare(study, replace(study, histories=study.histories | {"ACME": before})).set_index("unique_id")
    assert table.loc["ACME", "bars_added"] == 20
    assert table.loc["ACME", "bars_revised"] == 3
    assert table.loc["BETA", "bars_revised"] == 0


def test_what_one_run_lacks_is_missing(study):
    other = make_study(tickers={"ACME": "XNYS", "OLD": "XNYS"}, bars=700, cutoffs=4, horizon=5)
    table = compare(study, other).set_index("unique_id")
    assert np.isnan(table.loc["BETA", "skill_before"])
    assert np.isnan(table.loc["OLD", "skill"])
    assert np.isnan(table.loc["OLD", "bars_added"])


def test_runs_that_trained_in_another_precision_are_told_apart(study):
    one, other = {"trained_on": ["cpu"], "trained_in": ["float32"]}, {"trained_on": ["cpu"], "trained_in": ["bf16"]}
    text = trained_apart(one, other, ("A", "B"))
    assert text.startswith("Networks of A trained on cpu in float32, those of B on cpu in bf16")
    assert trained_apart(one, one, ("A", "B")) == ""
    assert trained_apart(one, {"trained_on": ["cpu"]}, ("A", "B")) == "", "a run of before precision was noted"
    assert trained_apart(one, {"trained_on": [], "trained_in": []}, ("A", "B")) == "", "one without networks"
    since = replace(study, changes=compare(study, study), provenance={**study.provenance, **one, "previous_run": other})
    assert "this run trained on cpu in float32" in " ".join(changes(arrange(since)).notes)
    assert changes(arrange(replace(since, provenance={**since.provenance, "previous_run": one}))).notes == ()
    paired = pair_runs(study, study)
    pages = [compare_page(study, replace(study, provenance=facts), paired, []) for facts in (one, other)]
    assert [text in repr(page) for page in pages] == [False, False]
    there = compare_page(replace(study, provenance=one), replace(study, provenance=other), paired, [])
    assert text in next(s for s in there.sections if s.heading == "Settings that differ").paragraphs


def test_the_previous_runs_precision_is_noted_beside_the_changes(study, monkeypatch):
    before = replace(study, run_id="before", provenance={**study.provenance, "trained_in": ["bf16"]})
    monkeypatch.setattr(identity, "load_study", lambda path, without: before)
    now = identity.beside_previous(study, SimpleNamespace(earlier=lambda again: [Path("before")]))
    assert now.previous == "before"
    assert now.provenance["previous_run"] == {"trained_in": ["bf16"]}
