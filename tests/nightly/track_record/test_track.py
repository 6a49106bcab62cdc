"""The live record in figures: known truths come out, gaps count, too little says so."""

import numpy as np
import pandas as pd
import pytest

from s2squant.config.experiment import Experiment
from s2squant.config.nightly import Monitoring
from s2squant.evaluation.losses import score
from s2squant.nightly.track_record.revisions import revisions
from s2squant.nightly.track_record.track import band_of, track
from s2squant.series.forecast import QUANTILE_COLUMNS, quantile_crps
from tests.worlds.nights import DRIFT_FOR, LATE, MISSED, cut_night, judged, make_night, make_record, named, sessions

SPEC = Monitoring()
REFERENCE = "historical_simulation"


@pytest.fixture(scope="module")
def night():
    return make_night(horizon=5)


@pytest.fixture(scope="module")
def record(night):
    return night.track


def tables(found) -> dict[str, pd.DataFrame]:
    names = ("coverage", "rolling", "skill", "pit", "hits", "cumulative", "by_ticker", "revisions", "schedule")
    return {name: getattr(found, name) for name in names}


def test_coverage_is_counted(night, record):
    rows = night.record[
        (night.record["model"] == "blend+aci") & night.record["y"].notna() & (night.record["step"] == 1)
    ]
    inside = (rows["y"] >= rows["q0.100"]) & (rows["y"] <= rows["q0.900"])
    found = record.coverage.query("group == '1' and interval == 80").iloc[0]
    assert found["coverage"] == pytest.approx(inside.groupby(rows["cutoff"]).mean().mean())
    assert found["n"] == rows["cutoff"].nunique()
    assert (record.coverage["band_low"] < record.coverage["interval"] / 100).all()
    assert (record.coverage["band_high"] > record.coverage["interval"] / 100).all()


def test_drift_shows_in_the_rolling_coverage_and_the_pit(record):
    rolling = record.rolling[record.rolling["interval"] == 80]
    assert rolling["coverage"].iloc[-1] < rolling["band_low"].iloc[-1]
    assert rolling["coverage"].iloc[80 - DRIFT_FOR - 12] > rolling["band_low"].iloc[0]
    assert rolling["sessions"].max() == SPEC.window
    width = (rolling["band_high"] - rolling["band_low"]).to_numpy()
    assert width[0] > width[-1]
    assert record.pit["share"].sum() == pytest.approx(1.0)
    assert record.pit["share"].iloc[0] > record.pit["band_high"].iloc[0]


def test_overlapping_steps_have_wider_bands(record):
    first, rest = (record.coverage.query(f"interval == 80 and group == '{g}'").iloc[0] for g in ("1", "2-5"))
    assert rest["band_high"] - rest["band_low"] > 1.2 * (first["band_high"] - first["band_low"])
    assert rest["n_eff"] < first["n_eff"] / 4


def test_skill_equals_the_scores_of_a_backtest(night, record):
    """The same units scored from their quantiles by the station that scores backtests."""
    rows = night.record[night.record["model"].isin(["blend", REFERENCE])]
    last = rows.groupby(["unique_id", "cutoff"])["y"].transform(lambda y: y.notna().all())
    losses = score(rows[last])
    mine, base = (losses.of(m) for m in ("blend", REFERENCE))
    found = record.skill.query("model == 'blend' and group == 'all'").iloc[0]
    assert found["crps"] == pytest.approx(mine.mean())
    assert found["crps_reference"] == pytest.approx(base.mean())
    ratios = [1 - mine[losses.ticker_U == k].mean() / base[losses.ticker_U == k].mean() for k in range(6)]
    assert found["skill"] == pytest.approx(np.mean(ratios))
    assert found["low"] < found["effect"] < found["high"]
    assert found["n"] == record.complete
    gain = record.cumulative[record.cumulative["model"] == "blend"]
    daily = pd.Series(base - mine).groupby(losses.cutoff_U).mean()
    np.testing.assert_allclose(gain["difference"].dropna(), daily, rtol=1e-9)
    assert gain["cumulative"].dropna().iloc[-1] == pytest.approx(daily.sum())


def test_missing_forecasts_are_counted_as_missing(night, record):
    days = sessions(80)
    schedule = record.schedule.set_index("cutoff")
    for back, kind in ((MISSED, "6 missed"), (LATE, "6 late")):
        row = schedule.loc[pd.Timestamp(days[-back])]
        assert (row["issued"], row["due"], row["kinds"]) == (0, 6, kind)
    assert record.due == 6 * 80
    assert record.due - record.issued == len(night.gaps)
    assert record.share == record.issued / record.due
    assert record.cumulative[record.cumulative["cutoff"] == pd.Timestamp(days[-MISSED])]["cumulative"].isna().all()
    assert record.by_ticker["due"].eq(80).all()


def test_hits_are_prices_on_the_basis_at_issue(night, record):
    hit = record.hits.iloc[0]
    rows = night.record.query("model == 'blend+aci'")
    row = rows[
        (rows["unique_id"] == hit["unique_id"]) & (rows["cutoff"] == hit["cutoff"]) & (rows["step"] == hit["step"])
    ]
    assert hit["price"] == pytest.approx(float(row["close"].iloc[0]) * np.exp(float(row["y"].iloc[0])))
    assert hit["inside"] == (hit["low"] <= hit["price"] <= hit["high"])
    assert record.hits["ds"].is_monotonic_decreasing


def test_efficient_revisions_are_unpredictable_and_lazy_ones_are_found():
    """A forecaster who takes half a night's news in tonight and half tomorrow revises twice the same way."""
    made = judged(make_record(named(4), 150, 5, 4)[0]).query("model == 'anchor'")
    table, text = revisions(made)
    assert abs(table.iloc[0]["autocorrelation"]) < 0.15
    assert "no evidence" in text
    first = made[made["step"] == 1].set_index(["unique_id", "ds"])["y"]
    news = first.reindex(pd.MultiIndex.from_frame(made[["unique_id", "cutoff"]])).fillna(0.0).to_numpy()
    lazy = made.assign(**{"q0.500": made["q0.500"] - 0.5 * news})
    table, text = revisions(lazy)
    assert table.iloc[0]["low"] > 0
    assert "too slowly" in text


@pytest.mark.parametrize("many", [1, 2, 3, 8, 12, 30])
def test_too_little_is_said_in_words(night, many):
    found = cut_night(night, many).track
    assert "nan" not in (found.sentence + found.against + found.revision_sentence).lower()
    assert found.word == "no evidence"
    if many <= 8:
        assert "too few to say anything" in found.sentence
        assert found.rolling.empty
        assert found.pit.empty


def told(many: int) -> str:
    record = judged(make_record(named(2), many, 20, 5)[0])
    gaps = pd.DataFrame(columns=["ticker", "cutoff", "kind", "reason"])
    return track(record, gaps, SPEC, recommended="blend", reference=REFERENCE).sentence


@pytest.mark.parametrize(
    ("many", "why"),
    [
        (20, "no cutoff is complete to 20."),
        (21, "1 cutoff is complete to 20, 40 are needed."),
        (55, "35 cutoffs are complete to 20, 40 are needed."),
    ],
)
def test_a_verdict_of_the_first_step_says_so_and_why(many, why):
    sentence = told(many)
    assert sentence.endswith(f" at step 1. Over all steps it cannot be tested yet: {why}")
    assert f"historical simulation at step 1: {'+' if '+' in sentence else '-'}" in sentence
    assert f"({many - 1} cutoffs" in sentence


def test_with_enough_complete_cutoffs_all_steps_are_told():
    sentence = told(60)
    assert "over all steps: " in sentence
    assert "(40 cutoffs, effectively 2)" in sentence
    assert "at step 1" not in sentence
    assert "cannot be tested" not in sentence


def test_nothing_at_all():
    empty = make_record(named(1), 2, 2, 0)[0].iloc[:0].assign(crps=0.0, pit=0.0)
    gaps = pd.DataFrame(columns=["ticker", "cutoff", "kind", "reason"])
    found = track(empty, gaps, SPEC, recommended="blend", reference=REFERENCE)
    assert (found.sessions, found.issued, found.due) == (0, 0, 0)
    assert found.sentence == "No forecast is in the record yet."
    assert all(t.empty for t in tables(found).values())


def test_a_reissue_never_enters(night):
    again = night.record.assign(reissue=1, pit=0.5, crps=0.0)
    both = pd.concat([night.record, again], ignore_index=True)
    found = track(both, night.gaps, SPEC, recommended="blend", reference=REFERENCE)
    for name, table in tables(night.track).items():
        pd.testing.assert_frame_equal(getattr(found, name), table, obj=name)


class FakeStudy:
    """What band_of reads of a Study."""

    run_id = "large-caps"

    def __init__(self, gains: np.ndarray) -> None:
        self.experiment = Experiment()
        self.over_time = pd.DataFrame({"model": "blend", "unique_id": "all", "difference": gains})


def test_the_band_of_the_backtest_holds_as_often_as_it_says():
    """A live record like the backtest lies inside in about 95 of 100 cases; one without its gain lies below."""
    rng = np.random.default_rng(0)
    study = FakeStudy(0.02 + 0.05 * rng.standard_normal(100))
    every = study.experiment.walk.every
    band = band_of(study, 40 * every, "blend", REFERENCE)
    live = 0.02 + 0.05 * rng.standard_normal((2000, 40)).mean(axis=1)
    assert 0.85 < ((live >= band.low) & (live <= band.high)).mean() <= 1.0
    assert band.low > -0.02
    assert band_of(study, 5 * every, "blend", REFERENCE).low < band.low
    assert band_of(FakeStudy(np.ones(3)), 5, "blend", REFERENCE).reason
    assert band_of(study, 5, "blend", "random_walk").reason
    assert band_of(study, 0, "blend", REFERENCE).reason


def test_the_sentence_against_the_backtest(night):
    assert "below" in night.track.against or "inside" in night.track.against or "above" in night.track.against
    assert "No backtest" in cut_night(night, 30).track.against


def test_the_made_up_record_is_scored_as_the_ledger_scores(night):
    rows = night.record[night.record["y"].notna()].iloc[:50]
    np.testing.assert_allclose(
        rows["crps"], quantile_crps(rows["y"].to_numpy(), rows[list(QUANTILE_COLUMNS)].to_numpy(float))
    )
