"""Hourly bars through the line: two zones, a summer time that ends, half days, a missing bar; no model sees ahead."""

import numpy as np
import pandas as pd
import pytest

from s2squant.cli import leak_audit
from s2squant.config.experiment import WITHIN_A_DAY, Experiment, Universe, VerdictSpec, Walk
from s2squant.config.models import Forecasters
from s2squant.errors import CallerError
from s2squant.estimator import PriceForecaster
from s2squant.forecasters.catalog import make, restore
from s2squant.forecasters.leaks import look_ahead
from s2squant.predict import predict
from s2squant.prices.calendars.grid import bar_grid, next_bars
from s2squant.prices.universe import load_universe
from s2squant.runs.plan import make_plan, of_one_interval, planned
from s2squant.runs.study_files import load_study
from s2squant.series.panel import Panel
from s2squant.study import backtest
from s2squant.tuning import ablation, search

MODELS = ("historical_simulation", "gjr_shrunk", "anchor")
WALK = Walk(horizon=5, cutoffs=12, every=8, refit_every=100, min_train=560)


def hours(market, seed, first="2024-09-16", last="2025-01-31"):
    """A random walk on the scheduled hours, twice as wide at the opening, without one bar."""
    grid = bar_grid(market, np.datetime64(first), np.datetime64(last))
    scale = np.where(grid.slots == 0, 0.004, 0.002)
    close = 100 * np.exp(np.cumsum(scale * np.random.default_rng(seed).standard_t(5, len(grid.starts))))
    frame = pd.DataFrame({"Datetime": pd.DatetimeIndex(grid.starts, tz="UTC"), "Close": close})
    return frame.drop(index=[300])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("hours")
    for ticker, market in (("AAA", "1h:XNYS"), ("BBB", "1h:XNYS"), ("CCC.T", "1h:XTKS")):
        hours(market, len(ticker) + ord(ticker[0])).to_csv(place / f"{ticker}.csv", index=False)
    return place


def test_no_forecast_reads_a_later_bar_of_the_day(folder):
    histories = load_universe(Universe(source=f"csv:{folder}")).histories
    panel = Panel(tuple(h for h in histories if h.calendar == "1h:XNYS"))
    past = panel.until(panel.dates[500])
    rows = np.flatnonzero(
        (past.bar_number(np.arange(len(past.dates))) >= 250) & (past.bars_left(np.arange(len(past.dates))) >= 5)
    )
    for name in MODELS:
        fitted = make(name, Forecasters(models=MODELS)).fit(past, rows, horizon=5, seed=0)
        for moment in panel.dates[[520, 523]]:
            assert look_ahead(fitted, panel, moment, panel.tickers, 0).size == 0


@pytest.mark.parametrize("name", MODELS)
def test_the_contract_holds_over_a_change_of_the_clock_half_days_and_a_missing_bar(folder, name):
    histories = load_universe(Universe(source=f"csv:{folder}")).histories
    panel = Panel(tuple(h for h in histories if h.calendar == "1h:XNYS"))
    past, settings = panel.until(panel.dates[500]), Forecasters(models=MODELS)
    rows = np.flatnonzero(
        (past.bar_number(np.arange(len(past.dates))) >= 250) & (past.bars_left(np.arange(len(past.dates))) >= 5)
    )
    fitted, again = (make(name, settings).fit(past, rows, horizon=5, seed=3) for _ in range(2))
    asked = np.array([560, 1100, 530])
    whole = fitted.predict(panel, asked).quantiles_NHQ
    assert np.array_equal(again.predict(panel, asked).quantiles_NHQ, whole), "equal seeds"
    assert np.array_equal(fitted.predict(panel, asked[1:2]).quantiles_NHQ[0], whole[1]), (
        "a row does not know the others"
    )
    stored = restore(name, settings, fitted.state())
    assert np.array_equal(stored.predict(panel, asked).quantiles_NHQ, whole), "stored and restored"
    assert (np.diff(whole, axis=2) >= 0).all()


def test_tune_ablate_and_audit_begin_with_the_same_walk(folder):
    asked = Experiment(universe=Universe(source=f"csv:{folder}"), walk=Walk(min_train=560, cutoffs=4))
    experiment, plan = planned(asked)
    walk = experiment.walk
    assert (walk.horizon, walk.every, walk.cutoffs) == (8, 11, 4)
    assert all(fold.horizon == 8 for folds in plan.folds.values() for fold in folds)
    for command in (ablation, leak_audit, search):
        assert command.planned is planned


@pytest.mark.slow
def test_random_walks_with_a_time_of_day_are_not_beaten(tmp_path):
    walks = tmp_path / "walks"
    walks.mkdir()
    for seed in range(6):
        hours("1h:XNYS", seed).to_csv(walks / f"W{seed}.csv", index=False)
    experiment = Experiment(
        universe=Universe(source=f"csv:{walks}"),
        walk=Walk(horizon=4, cutoffs=20, every=5, refit_every=200, min_train=540),
        forecasters=Forecasters(models=("historical_simulation", "anchor")),
        verdict=VerdictSpec(recommended="anchor", rival=""),
    )
    _, study = backtest(experiment, tmp_path / "run", workers=0)
    assert study.word != "better"
    effect = study.leaderboard.set_index("model").loc["anchor", "effect"]
    assert abs(effect) < 0.03


def test_what_nobody_set_of_a_walk_is_what_hours_begin_with(folder):
    experiment = Experiment(universe=Universe(source=f"csv:{folder}"), walk=Walk(every=7))
    walk = of_one_interval(experiment, load_universe(experiment.universe)).walk
    assert (walk.every, walk.horizon, walk.cutoffs) == (7, WITHIN_A_DAY["1h"]["horizon"], WITHIN_A_DAY["1h"]["cutoffs"])
    daily = Experiment()
    assert of_one_interval(daily, load_universe(Universe(tickers=("AAPL",)))) is daily


def test_intervals_are_not_mixed(folder, tmp_path):
    days = pd.DataFrame({"Date": pd.bdate_range("2020-01-01", periods=400), "Close": np.linspace(50, 60, 400)})
    days.to_csv(tmp_path / "DDD.csv", index=False)
    hours("1h:XNYS", 1).to_csv(tmp_path / "AAA.csv", index=False)
    experiment = Experiment(universe=Universe(source=f"csv:{tmp_path}"))
    with pytest.raises(CallerError, match=r"bars of several intervals: .*1h.*; set universe\.interval"):
        of_one_interval(experiment, load_universe(experiment.universe))
    together = Experiment(universe=Universe(source=f"csv:{tmp_path}", interval="1d"))
    assert of_one_interval(together, load_universe(together.universe)) is together


def test_an_estimator_answers_on_the_clock_of_its_frame():
    frame = hours("1h:XNYS", 3)
    local = frame["Datetime"].dt.tz_convert("America/New_York")
    long = pd.DataFrame({"unique_id": "AAA", "ds": local, "y": frame["Close"]})
    naive = long.assign(ds=local.dt.tz_localize(None))
    models = PriceForecaster(horizon=3, models=("historical_simulation",))
    zoned, plain = (models.fit(each).predict()["ds"] for each in (long, naive))
    after = pd.DatetimeIndex(next_bars("1h:XNYS", frame["Datetime"].iloc[-1].to_datetime64(), 3), tz="UTC")
    assert zoned.tolist() == after.tz_convert("America/New_York").tolist()
    assert plain.tolist() == after.tz_convert("America/New_York").tz_localize(None).tolist()
    assert models.predict(df=naive.iloc[-400:])["ds"].tolist() == plain.tolist()


def test_prediction_of_hours_fits_an_anchor_and_says_so(folder):
    made = predict(("AAA", "CCC.T"), f"csv:{folder}", 4)
    assert "the anchor was fitted to these" in made.remarks[-1]
    assert [str(o.dates_H[0]) for o in made.outlooks] == ["2025-02-03T14:30:00", "2025-02-03T00:00:00"]
    opening = made.outlooks[0].quantiles_HQ  # the next bar is the opening
    assert np.diff(opening[0, [3, 35]])[0] > 1.08 * np.diff(opening[1, [3, 35]] / np.sqrt(2))[0]


@pytest.mark.slow
def test_a_backtest_of_two_zones_is_audited_and_read_back(folder, tmp_path):
    experiment = Experiment(
        universe=Universe(source=f"csv:{folder}"),
        walk=WALK,
        forecasters=Forecasters(models=(*MODELS, "blend")),
    )
    out, study = backtest(experiment, tmp_path / "run", workers=0)
    checks = study.audit[study.audit["check"] == "truncation"]
    assert set(checks["model"]) == {*MODELS, "blend"}
    assert set(checks["outcome"]) == {"passed"}
    plan = make_plan(of_one_interval(experiment, load_universe(experiment.universe)))
    for ticker, rows in study.forecasts[study.forecasts["model"] == "anchor"].groupby("unique_id", observed=True):
        history = plan.histories[str(ticker)]
        bar = np.searchsorted(history.dates, rows["cutoff"].to_numpy()) + rows["step"].to_numpy()
        known = bar < len(history)
        np.testing.assert_array_equal(rows["ds"].to_numpy()[known], history.dates[bar[known]])
        beyond = rows["ds"].to_numpy()[~known]
        np.testing.assert_array_equal(
            beyond, next_bars(history.calendar, history.dates[-1], 5)[bar[~known] - len(history)]
        )
    assert set(study.groups["basis"]) >= {"time of day"}
    again = load_study(out)
    assert {t: h.sha256 for t, h in again.histories.items()} == {t: h.sha256 for t, h in study.histories.items()}
    assert all((a.cutoffs == b.cutoffs).all() for a, b in zip(again.folds, study.folds, strict=True))
    page = (out / "tickers" / "aaa.html").read_text(encoding="utf-8")
    assert "New York time" in page
