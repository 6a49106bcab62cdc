"""What users of Nixtla's libraries, of scikit-learn and of polars are used to."""

import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score

from s2squant.errors import ConfigError, SourceError
from s2squant.estimator import DateSplit, PriceForecaster
from s2squant.evaluation.losses import score
from s2squant.series.forecast import QUANTILE_COLUMNS
from tests.worlds.synthetic import garch_panel

HORIZON = 5
MODELS = ["random_walk", "ewma_t"]


@pytest.fixture(scope="module")
def prices():
    """Two stocks of 900 bars."""
    parts = [
        pd.DataFrame({"unique_id": h.ticker, "ds": h.dates.astype("datetime64[s]"), "y": h.adj_close})
        for h in garch_panel("AB", 900).histories
    ]
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def fitted(prices):
    return PriceForecaster(MODELS, horizon=HORIZON).fit(prices)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda m, df: PriceForecaster(freq="B"), "PriceForecaster takes no freq; sessions are those of each ticker's"),
        (lambda m, df: PriceForecaster(MODELS, "B"), "PriceForecaster takes models by place, the rest by name"),
        (lambda m, df: PriceForecaster(random_seed=1), "takes no random_seed; call it random_state"),
        (lambda m, df: PriceForecaster(horizn=1), "takes no horizn; did you mean 'horizon'?"),
        (lambda m, df: PriceForecaster(futr_exog_list=[]), "takes no futr_exog_list; call it futr_exog"),
        (lambda m, df: m.fit(df, futr_df=df), "fit takes no futr_df; future values go to predict and simulate"),
        (lambda m, df: m.fit(df, val_size=9), "fit takes no val_size; each model keeps what it chooses by"),
        (lambda m, df: m.fit(df, time_col="Date"), "fit takes no time_col; columns are called unique_id, ds and y"),
        (lambda m, df: m.fit(), "fit: missing a required argument: 'df'"),
        (
            lambda m, df: m.cross_validation(df, h=5),
            "cross_validation takes no h; how far is forecast is PriceForecaster",
        ),
        (lambda m, df: m.cross_validation(df, n_jobs=5), "takes no n_jobs; cross_validation(workers=...)"),
        (lambda m, df: m.predict(static_df=df), "predict takes no static_df; static columns go to fit"),
        (lambda m, df: m.predict(qqq=df), "predict takes no qqq; it takes h, df, futr_df, X_df, level, quantiles"),
        (
            lambda m, df: m.predict(level=80, quantiles=0.1),
            "level and quantiles are two ways to say the same; give one",
        ),
        (
            lambda m, df: m.predict(quantiles=[0.001]),
            "quantiles holds 0.001; a forecast holds those from 0.005 to 0.995",
        ),
        (lambda m, df: m.predict(quantiles=["a"]), "quantiles holds 'a'; give shares, as quantiles=[0.1, 0.9]"),
        (lambda m, df: m.predict(futr_df=df, X_df=df), "futr_df and X_df are two names of the same"),
        (lambda m, df: m.predict(futr_df=df), "futr_df is read by nothing; no column was declared in futr_exog"),
        (lambda m, df: m.score(df, model="garch"), "score: there is no model 'garch'; there are random_walk, ewma_t"),
        (lambda m, df: m.score(df), "score: df has no 5 bars after those of the fit"),
        (lambda m, df: m.predict_insample(step_size=0), "step_size is 0; give a whole number from 1 up"),
        (lambda m, df: DateSplit(0), "n_splits is 0; give a whole number from 1 up"),
        (lambda m, df: list(DateSplit(9).split(df)), "DateSplit: 9 windows of 250 dates leave none of 900 to fit on"),
        (lambda m, df: PriceForecaster.load(path="x", df=1), "load takes no df; prices go to fit"),
    ],
)
def test_what_is_not_taken_is_said_with_what_is_meant_here(fitted, prices, call, says):
    with pytest.raises((ConfigError, SourceError), match=r"^[^\n]*$") as caught:
        call(fitted, prices)
    assert says in str(caught.value)


def test_quantiles_are_those_of_the_bands(fitted):
    bands, asked = fitted.predict(level=[80]), fitted.predict(quantiles=[0.1, 0.5, 0.9])
    assert asked.columns.tolist()[2:6] == ["random_walk", "random_walk_ql0.1", "random_walk_ql0.5", "random_walk_ql0.9"]
    for model in MODELS:
        np.testing.assert_allclose(asked[f"{model}_ql0.1"], bands[f"{model}-lo-80"], rtol=1e-15)
        np.testing.assert_allclose(asked[f"{model}_ql0.9"], bands[f"{model}-hi-80"], rtol=1e-15)
        assert asked[f"{model}_ql0.5"].equals(asked[model])


def test_what_is_said_of_fitted_bars_is_what_the_fit_says_from_there(fitted, prices):
    table = fitted.predict_insample(step_size=50, quantiles=0.9)
    assert table["cutoff"].nunique() == 8  # 501 bars are looked back on, five come after the last
    assert table["cutoff"].max() == prices["ds"].iloc[-1 - HORIZON]
    known = table.merge(prices, on=["unique_id", "ds"], suffixes=("", "_given"))
    np.testing.assert_allclose(known["y"], known["y_given"], rtol=1e-12)
    cutoff = table["cutoff"].unique()[3]
    then = fitted.predict(df=prices[prices["ds"] <= cutoff], quantiles=0.9)
    mine = table[table["cutoff"] == cutoff].drop(columns=["cutoff", "y"]).reset_index(drop=True)
    pd.testing.assert_frame_equal(mine, then, rtol=1e-6)


@pytest.mark.slow
def test_a_score_is_the_crps_of_the_leaderboard(prices):
    """Fitted on the first 800 bars, and on the same by `cross_validation`, at the same 20 cutoffs."""
    day = prices["ds"].unique()[799]
    model = PriceForecaster(MODELS, horizon=HORIZON)
    walk = {"n_windows": 20, "min_train": 750, "quantiles": np.arange(1, 40) / 40}
    table = model.cross_validation(prices, **walk)
    assert table["cutoff"].min() == day
    price = table.merge(prices, left_on=["unique_id", "cutoff"], right_on=["unique_id", "ds"])["y_y"]
    steps = table.groupby(["unique_id", "cutoff"]).cumcount() + 1
    long = table[["unique_id", "cutoff"]].assign(model="ewma_t", step=steps)
    logs = {q: np.log(table[f"ewma_t_ql{float(q[1:]):g}"] / price) for q in QUANTILE_COLUMNS}
    crps = score(long.assign(y=np.log(table["y"] / price), **logs)).of("ewma_t").mean()
    model.fit(prices[prices["ds"] <= day])
    later = prices[prices["ds"] > day]
    assert model.score(later) == pytest.approx(-crps, rel=1e-4)
    assert model.score(later, model="random_walk") < model.score(later)
    assert model.score(later[later["unique_id"] == "A"]) != model.score(later)


@pytest.mark.slow
def test_scikit_learn_searches_and_clones(prices):
    made = PriceForecaster("ewma_t", horizon=HORIZON)
    split = DateSplit(2, test_size=60)
    grid = {"models": ["random_walk", "ewma_t"], "settings": [None, {"random_walk": {"window": 100}}]}
    search = GridSearchCV(made, grid, cv=split, error_score="raise").fit(prices)
    assert search.best_params_["models"] == "ewma_t"
    assert search.best_estimator_.predict(1).shape == (2, 3)
    each = cross_val_score(clone(made), prices, cv=split, error_score="raise")
    assert each.mean() == search.best_score_
    past = [prices.iloc[rows]["ds"] for rows, _ in split.split(prices)]
    later = [prices.iloc[rows]["ds"] for _, rows in split.split(prices)]
    assert all(p.max() < q.min() for p, q in zip(past, later, strict=True))
    with pytest.raises(SourceError, match="what a fit has seen proves nothing; give later bars, or cv=DateSplit"):
        cross_val_score(made, prices, cv=KFold(3), error_score="raise")


def test_pretrained_weights_are_not_scored_on_what_they_have_seen(prices):
    with pytest.raises(ConfigError, match="the pretrained weights of currencies have seen prices to"):
        PriceForecaster.pretrained(horizon=HORIZON).score(prices)


def frames_of(library):
    if library == "pyarrow":
        return lambda df: pa.Table.from_pandas(df, preserve_index=False)
    return pytest.importorskip("polars", reason="polars is not installed").from_pandas


@pytest.mark.slow
@pytest.mark.parametrize("library", ["pyarrow", "polars"])
def test_a_frame_of_another_library_goes_in_and_out(prices, fitted, tmp_path, library):
    give = frames_of(library)
    made = PriceForecaster(MODELS, horizon=HORIZON).fit(give(prices))
    made.save(tmp_path / "kept")
    kind = type(give(prices))
    answers = {
        "predict": lambda m, df: m.predict(level=80),
        "newer": lambda m, df: m.predict(df=df, quantiles=0.1),
        "insample": lambda m, df: m.predict_insample(),
        "simulate": lambda m, df: m.simulate(3),
        "cross_validation": lambda m, df: m.cross_validation(df, n_windows=2),
    }
    for name, answer in answers.items():
        table, wanted = answer(made, give(prices)), answer(fitted, prices)
        assert type(table) is kind, name
        assert table["ds"].type == give(prices)["ds"].type if library == "pyarrow" else True
        back = table.to_pandas()
        pd.testing.assert_frame_equal(back, wanted, check_dtype=False, check_exact=True)
    again = PriceForecaster.load(tmp_path / "kept").predict(level=80)
    assert type(again) is kind
    assert again.equals(made.predict(level=80))
    split = DateSplit(1, test_size=50)
    assert [len(part) for part in next(split.split(give(prices)))] == [1700, 100]


def test_a_table_of_arrow_goes_in_and_out(prices, fitted):
    given = pa.Table.from_pandas(prices, preserve_index=False)
    table = fitted.predict(df=given)
    assert table["ds"].type == given["ds"].type
    pd.testing.assert_frame_equal(table.to_pandas(), fitted.predict(), check_dtype=False, check_exact=True)


def test_days_and_categories_of_polars_come_back_as_they_went_in(prices):
    pl = pytest.importorskip("polars", reason="polars is not installed")
    here = "America/New_York"
    for ids, days in ((pl.Enum(["B", "A"]), pl.Date()), (pl.Categorical(), pl.Datetime("us", here))):
        stamps = pl.col("ds").cast(pl.Datetime("us")).dt.replace_time_zone(here).cast(days)
        frame = pl.from_pandas(prices).with_columns(pl.col("unique_id").cast(ids), stamps)
        table = PriceForecaster("random_walk", horizon=2).fit(frame).predict()
        assert table.schema["unique_id"] == ids
        assert table.schema["ds"] == days
    with pytest.raises(SourceError, match=re.escape("not a polars LazyFrame; use .collect()")):
        PriceForecaster("random_walk").fit(frame.lazy())
