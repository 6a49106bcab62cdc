import numpy as np
import pandas as pd
import pytest
import scoringrules
from scipy.stats import norm

from s2squant.errors import CallerError
from s2squant.evaluation.losses import METRICS, score
from s2squant.series.forecast import LEVELS, QUANTILE_COLUMNS, quantile_crps


def forecast_frame(
    models=("historical_simulation", "gjr_t", "blend"), tickers=("A", "B"), cutoffs=6, horizon=3, seed=0
):
    """Random but ordered quantiles, the same y for all models; columns as in Study."""
    rng = np.random.default_rng(seed)
    dates = pd.bdate_range("2020-01-01", periods=10 * cutoffs + horizon)
    index = pd.MultiIndex.from_product([tickers, range(cutoffs), range(1, horizon + 1)], names=["t", "c", "step"])
    units = index.to_frame(index=False)
    base = pd.DataFrame(
        {
            "unique_id": units["t"],
            "cutoff": dates[10 * units["c"]],
            "ds": dates[10 * units["c"] + units["step"]],
            "step": units["step"],
            "y": 0.01 * np.sqrt(units["step"]) * rng.standard_normal(len(units)),
        }
    )
    parts = []
    for model in models:
        quantiles = 0.01 * (rng.standard_normal((len(units), 1)) * 0.2 + norm.ppf(LEVELS) * rng.uniform(0.7, 1.5))
        q = pd.DataFrame(quantiles.astype(np.float32), columns=list(QUANTILE_COLUMNS))
        parts.append(pd.concat([base.assign(model=model, mean=q["q0.500"]), q], axis=1))
    return pd.concat(parts, ignore_index=True)


def test_crps_is_the_quantile_crps_of_scoringrules():
    rng = np.random.default_rng(1)
    y, q = rng.standard_normal((50, 4)), np.sort(rng.standard_normal((50, 4, len(LEVELS))), axis=-1)
    np.testing.assert_allclose(quantile_crps(y, q), scoringrules.crps_quantile(y, q, LEVELS), rtol=1e-12)


def test_crps_is_near_the_closed_form_of_the_normal():
    rng = np.random.default_rng(2)
    y = rng.standard_normal(100_000)
    ours = quantile_crps(y, np.broadcast_to(norm.ppf(LEVELS), (len(y), len(LEVELS)))).mean()
    exact = scoringrules.crps_normal(y, 0.0, 1.0).mean()
    assert ours / exact == pytest.approx(1.0245, abs=0.002)  # what 39 levels cost, as the docstring says


def test_crps_of_a_point_is_its_absolute_error():
    y = np.array([1.0, -2.0])
    np.testing.assert_allclose(quantile_crps(y, np.zeros((2, len(LEVELS)))), [1.0, 2.0])


def test_crps_refuses_another_grid():
    with pytest.raises(ValueError, match="39 levels"):
        quantile_crps(np.zeros(3), np.zeros((3, 9)))


def test_table_holds_the_losses_by_definition():
    frame = forecast_frame()
    table = score(frame).table()
    assert list(table.columns) == ["model", "unique_id", "cutoff", "step", "metric", "value"]
    assert all(isinstance(table[c].dtype, pd.CategoricalDtype) for c in ("model", "unique_id", "metric"))
    assert not table.duplicated(["model", "unique_id", "cutoff", "step", "metric"]).any()
    assert len(table) == len(frame) * len(METRICS)
    keys = ["model", "unique_id", "cutoff", "step"]
    wide = table.astype({"model": str, "unique_id": str}).pivot(index=keys, columns="metric", values="value")
    row = frame.iloc[29]
    got = wide.loc[tuple(row[k] for k in keys)]
    q = row[list(QUANTILE_COLUMNS)].to_numpy(float)
    pinball = [
        level * (row["y"] - v) if row["y"] >= v else (level - 1) * (row["y"] - v)
        for level, v in zip(LEVELS, q, strict=True)
    ]
    assert got["crps"] == pytest.approx(200 * np.mean(pinball), rel=1e-6)
    assert got["abs_error"] == pytest.approx(100 * abs(row["y"] - row["q0.500"]), rel=1e-5)
    for name, low, high in (("cover50", 0.25, 0.75), ("cover80", 0.1, 0.9), ("cover95", 0.025, 0.975)):
        assert got[name] == (row[f"q{low:.3f}"] <= row["y"] <= row[f"q{high:.3f}"])


def test_row_order_and_categoricals_do_not_matter():
    frame = forecast_frame()
    shuffled = frame.sample(frac=1, random_state=0).astype({"model": "category", "unique_id": "category"})
    first, second = score(frame), score(shuffled)
    for model in first.models:
        np.testing.assert_array_equal(
            _sorted(first.table(), model)["value"].to_numpy(), _sorted(second.table(), model)["value"].to_numpy()
        )


def _sorted(table, model):
    plain = table[table["model"] == model].astype({"model": str, "unique_id": str, "metric": str})
    return plain.sort_values(["unique_id", "cutoff", "step", "metric"])


def test_units_a_model_lacks_are_dropped_for_all_and_counted():
    frame = forecast_frame()
    blend, second = frame["model"] == "blend", frame["model"] == "gjr_t"
    lost = frame[blend].index[:4].union(frame[second].index[[0, 10]])  # the two gaps share one unit
    losses = score(frame.drop(lost))
    assert losses.dropped == 5
    assert losses.missing == {"historical_simulation": 0, "gjr_t": 2, "blend": 4}
    assert len(losses) == 2 * 6 * 3 - 5
    assert np.isfinite(losses.crps_UK).all()
    full = score(frame)
    kept = ~np.isin(np.arange(len(full)), [0, 1, 2, 3, 10])
    np.testing.assert_array_equal(losses.crps_UK, full.crps_UK[kept])
    np.testing.assert_array_equal(losses.coverage_KB[0], full.coverage_KB[0])  # all its own forecasts still count


def test_unknown_outcomes_wait():
    frame = forecast_frame()
    frame.loc[frame["cutoff"] == frame["cutoff"].max(), "y"] = np.nan
    losses = score(frame)
    assert losses.dropped == 0
    assert len(losses) == 2 * 5 * 3


def test_a_ticker_without_any_common_unit_leaves_the_others():
    frame = forecast_frame()
    losses = score(frame[~((frame["model"] == "blend") & (frame["unique_id"] == "A"))])
    assert set(np.array(losses.tickers)[losses.ticker_U]) == {"B"}
    assert losses.dropped == 18


def test_repeats_disagreement_and_nonsense_are_refused():
    frame = forecast_frame()
    with pytest.raises(ValueError, match="stands twice: gjr_t, A"):
        score(pd.concat([frame, frame[frame["model"] == "gjr_t"].head(1)]))
    apart = frame.copy()
    apart.loc[0, "y"] += 0.01
    with pytest.raises(ValueError, match="disagree about the outcome"):
        score(apart)
    broken = frame.copy()
    broken.loc[20, "q0.300"] = np.nan
    with pytest.raises(ValueError, match="historical_simulation: a forecast with a known outcome is not finite"):
        score(broken)


def test_nothing_to_score_is_one_line_for_the_caller():
    frame = forecast_frame()
    with pytest.raises(CallerError, match="no outcome is known yet"):
        score(frame.assign(y=np.nan))
    late = (frame["model"] == "blend") & (frame["step"] > 0)
    frame.loc[late, "cutoff"] += pd.Timedelta(days=1)
    with pytest.raises(CallerError, match="lacks 36 of 72"):
        score(frame)
