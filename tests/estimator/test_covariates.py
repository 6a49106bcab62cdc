"""Covariates in a caller's frame: declared, continued, given for the future, and what is missing named in one line."""

import warnings

import numpy as np
import pandas as pd
import pytest

from s2squant.errors import CallerError
from s2squant.estimator import PriceForecaster
from s2squant.forecasters import network_training
from tests.worlds.synthetic import garch_panel

HORIZON = 5


@pytest.fixture(scope="module")
def prices():
    """Two stocks with a covariate of every kind: `fear` is today's squared return, `known` tomorrow's."""
    parts = []
    for history in garch_panel("AB", 900).histories:
        returns = np.diff(history.log_price, prepend=history.log_price[0])
        columns = {"fear": np.abs(returns), "known": np.abs(returns), "size": 1.0 + (history.ticker == "B")}
        ids = {"unique_id": history.ticker, "ds": history.dates.astype("datetime64[s]"), "y": history.adj_close}
        parts.append(pd.DataFrame({**ids, **columns}))
    return pd.concat(parts, ignore_index=True)


WEEKDAY = [{"name": "weekday", "calendar": "weekday"}]
EVERY = {"hist_exog": {"fear": "variance"}, "futr_exog": {"known": "variance"}, "stat_exog": "size"}


def forecaster(**changes):
    return PriceForecaster("anchor", horizon=HORIZON, **(EVERY | changes))


@pytest.fixture(scope="module")
def fitted(prices):
    return forecaster().fit(prices)


def filled(fitted, value=0.02, df=None):
    return fitted.make_future(df=df).assign(known=value)


def test_the_frame_to_fill_holds_the_sessions_to_come(fitted, prices):
    future = fitted.make_future(3)
    assert future.columns.tolist() == ["unique_id", "ds", "known"]
    assert future["unique_id"].tolist() == ["A"] * 3 + ["B"] * 3
    assert (future.groupby("unique_id")["ds"].min() > prices.groupby("unique_id")["ds"].max()).all()
    assert future["known"].isna().all()


def test_what_is_given_for_the_future_decides_the_forecast(fitted):
    calm, wild = (fitted.predict(futr_df=filled(fitted, size), level=80) for size in (0.002, 0.05))
    width = [(table["anchor-hi-80"] - table["anchor-lo-80"]).to_numpy() for table in (calm, wild)]
    assert (width[1] > 2 * width[0]).all()
    pd.testing.assert_frame_equal(calm, fitted.predict(X_df=filled(fitted, 0.002), level=80))


def test_a_missing_future_value_is_named(fitted):
    with pytest.raises(CallerError, match=r"futr_exog known is missing on \d{4}-\d\d-\d\d for A; give it in futr_df"):
        fitted.predict()
    future = filled(fitted)
    holed = future.drop(index=future.index[future["unique_id"] == "B"][2])
    day = future[future["unique_id"] == "B"]["ds"].iloc[2].date()
    with pytest.raises(CallerError, match=f"missing on {day} for B"):
        fitted.predict(futr_df=holed)
    assert len(fitted.predict(2, futr_df=holed)) == 4
    with pytest.raises(CallerError, match="futr_df has not the columns unique_id, ds, known; make_future"):
        fitted.predict(futr_df=future.rename(columns={"known": "knwon"}))


@pytest.mark.parametrize("transform", ["log", "difference", "return"])
def test_future_values_are_transformed_as_those_of_the_fit(prices, transform):
    """The sessions after the fit, given by hand, are what a fit on all bars has made of the same column."""
    level = prices.assign(known=100.0 + np.arange(len(prices)) % 900 + 5 * np.sin(np.arange(len(prices))))
    day = level["ds"].unique()[-1 - HORIZON]
    made = forecaster(hist_exog=(), stat_exog=(), futr_exog={"known": transform})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        early = made.fit(level[level["ds"] <= day].drop(columns=["fear", "size"]))
        whole = forecaster(hist_exog=(), stat_exog=(), futr_exog={"known": transform}).fit(level)
    future = early.make_future()
    assert (future["ds"].min() == day) == (transform != "log")
    filled_in = future.drop(columns="known").merge(level[["unique_id", "ds", "known"]], on=["unique_id", "ds"])
    now = early._panels(None, filled_in, HORIZON)[1][0]
    rows, after = np.flatnonzero(now.dates == np.datetime64(day, "D")), whole.panels_[0]
    wanted = after.covariates.at_steps(np.flatnonzero(after.dates == np.datetime64(day, "D")), HORIZON)
    np.testing.assert_allclose(now.covariates.at_steps(rows, HORIZON), wanted, rtol=1e-12)
    if transform != "log":
        with pytest.raises(CallerError, match=f"missing on .* for A; give it in futr_df, and on {day.date()}, from"):
            early.predict(futr_df=filled_in[filled_in["ds"] > day])


def test_a_covariate_known_at_the_close_decides_too(prices):
    model = forecaster(futr_exog=())
    frame = prices.drop(columns="known")
    loud = frame.assign(fear=np.where(frame["ds"] == frame["ds"].max(), 0.2, frame["fear"]))
    quiet = model.fit(frame).predict(level=80)
    louder = model.predict(df=loud[loud["ds"] >= loud["ds"].max() - pd.Timedelta(days=5)], level=80)
    assert ((louder["anchor-hi-80"] - louder["anchor-lo-80"]) > (quiet["anchor-hi-80"] - quiet["anchor-lo-80"])).all()


def test_newer_bars_bring_newer_covariates(prices, fitted):
    last = prices["ds"].unique()[-40]
    early = forecaster().fit(prices[prices["ds"] <= last])
    whole = early.predict(df=prices, futr_df=filled(early, df=prices))
    newer = early.predict(df=prices[prices["ds"] > last], futr_df=filled(early, df=prices))
    pd.testing.assert_frame_equal(whole, newer)
    own = early._panels(prices[prices["ds"] > last], None, 0)[1][0].histories[0].covariates
    at_once = fitted.panels_[0].histories[0].covariates
    assert np.allclose(own.past_TP, at_once.past_TP)
    assert np.array_equal(own.static_C, at_once.static_C)


def test_a_newcomer_is_forecast_with_covariates_of_its_own(prices, fitted):
    new = prices[prices["unique_id"] == "A"].assign(unique_id="NEW")
    both = pd.concat([prices, new], ignore_index=True)
    table = fitted.predict(df=both, futr_df=filled(fitted, df=both)).set_index("unique_id")
    assert table.loc["NEW", "anchor"].to_numpy() == pytest.approx(table.loc["A", "anchor"].to_numpy(), rel=1e-3)


def test_saved_and_loaded_it_says_the_same_bits(fitted, tmp_path):
    fitted.save(tmp_path / "model")
    again = PriceForecaster.load(tmp_path / "model")
    future = filled(fitted)
    pd.testing.assert_frame_equal(again.predict(futr_df=future), fitted.predict(futr_df=future), check_exact=True)
    assert again.hist_exog == {"fear": "variance"}


def test_walking_forward_reads_what_was_known_then(prices):
    table = forecaster().cross_validation(prices, n_windows=3, min_train=600)
    after = prices["ds"] > table["cutoff"].min()
    changed = prices.assign(fear=prices["fear"].mask(after, 9.0), y=prices["y"])
    other = forecaster().cross_validation(changed, n_windows=3, min_train=600)
    first = table["cutoff"] == table["cutoff"].min()
    pd.testing.assert_frame_equal(table[first], other[first], check_exact=True)
    assert not table[~first]["anchor"].equals(other[~first]["anchor"])


@pytest.mark.slow
def test_walking_forward_reads_every_kind(prices, monkeypatch):
    """What was known ahead counts within the horizon and not beyond; a static one and a calendar are read too."""
    monkeypatch.setattr(network_training, "LEAST_GAIN", -9.0)  # what does not pay is read too
    small = {"seq2seq": {"pooled": {"steps": 20, "batch": 16, "seeds": 1, "lr": 3e-2}}}

    def walked(frame, **changes):
        asked = {**EVERY, "covariates": WEEKDAY} | changes
        made = PriceForecaster(["anchor", "seq2seq_pooled"], horizon=HORIZON, settings=small, **asked)
        return made.cross_validation(frame, n_windows=2, min_train=700)

    table = walked(prices)
    assert np.isfinite(table[["anchor", "seq2seq_pooled"]]).all(axis=None)
    first = table["cutoff"] == table["cutoff"].min()
    days = np.sort(prices["ds"].unique())
    place = np.searchsorted(days, table["cutoff"].min())
    for later, same in ((days[place + HORIZON], True), (days[place], False)):
        other = walked(prices.assign(known=prices["known"].mask(prices["ds"] > later, 0.3)))
        assert table[first].equals(other[first]) is same
    for other in (walked(prices.drop(columns="size"), stat_exog=()), walked(prices, covariates=())):
        assert not table["seq2seq_pooled"].equals(other["seq2seq_pooled"])


def test_static_columns_may_come_in_a_frame_of_their_own(prices, fitted):
    sizes = pd.DataFrame({"unique_id": ["A", "B"], "size": [1.0, 2.0]})
    apart = forecaster().fit(prices.drop(columns="size"), static_df=sizes)
    assert apart.panels_[0].covariates.static_MC.tolist() == fitted.panels_[0].covariates.static_MC.tolist()
    with pytest.raises(CallerError, match="static_df has a row a ticker: one"):
        forecaster().fit(prices.drop(columns="size"), static_df=pd.concat([sizes, sizes]))


def test_one_warning_names_the_columns_that_nobody_declared(prices):
    with pytest.warns(UserWarning, match="not read: known, size; declare them in hist_exog") as told:
        PriceForecaster("random_walk", hist_exog="fear").fit(prices)
    assert len(told) == 1
    assert told[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PriceForecaster("random_walk", hist_exog=["fear", "known"], stat_exog="size").fit(prices)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hist_exog": "faer"}, "covariate faer: no table has a column 'faer'; did you mean 'fear'?"),
        ({"hist_exog": {"fear": "squared"}}, "covariates.0.transform: Input should be 'level'"),
        ({"hist_exog": 3}, "PriceForecaster: hist_exog is 3; give a column, or several in a list"),
        ({"covariates": {"name": "x"}}, "covariates is a list of tables"),
        ({"covariates": [{"name": "x"}]}, "x has no origin; give ticker, file, column, calendar, dates, values"),
        ({"hist_exog": ["fear", "size"], "stat_exog": "size"}, "two covariates are called size; rename one"),
    ],
)
def test_a_wrong_declaration_is_said_in_one_line(prices, changes, said):
    model = PriceForecaster("random_walk", **changes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the columns that are left are named first
        with pytest.raises(CallerError) as caught:
            model.fit(prices)
    assert said in str(caught.value)


def test_calendars_need_no_frame(prices):
    weekday = [{"name": "weekday", "calendar": "weekday"}]
    model = PriceForecaster("random_walk", horizon=HORIZON, covariates=weekday).fit(prices[["unique_id", "ds", "y"]])
    assert np.isfinite(model.panels_[0].covariates.at_steps(np.array([899]), HORIZON)).all()
    assert len(model.predict()) == 2 * HORIZON
