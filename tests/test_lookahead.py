"""Nobody sees past the cutoff: replace every later value by noise, and nothing up to the cutoff may move a bit."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from s2squant.config.experiment import Walk
from s2squant.config.files import make_experiment
from s2squant.config.models import BlendSpec
from s2squant.forecasters.blend import blend
from s2squant.forecasters.features import bank_members, network_inputs, scaled_returns
from s2squant.prices.covariates.as_of import Observations, joined, transformed
from s2squant.series.long_table import KEYS
from s2squant.series.windows import make_folds, train_rows
from s2squant.study import backtest
from tests.test_contract import NAMES, TINY, fit
from tests.worlds.synthetic import garch_panel, scrambled_after

AT = 800


@pytest.fixture(scope="module")
def panels():
    panel = garch_panel("ABC", 1000, ohlcv=True)
    cutoff = panel.histories[0].dates[AT]
    return cutoff, panel, scrambled_after(panel, cutoff)


def test_the_scrambled_panel_really_differs(panels):
    cutoff, panel, scrambled = panels
    late = panel.dates > cutoff
    assert (panel.log_price[late] != scrambled.log_price[late]).all()
    assert (panel.log_price[~late] == scrambled.log_price[~late]).all()


@pytest.mark.parametrize("name", NAMES)
def test_fits_and_forecasts(name, panels):
    _, panel, scrambled = panels
    rows = np.flatnonzero(np.isin(panel.dates, panel.histories[0].dates[[AT - 150, AT - 1, AT]]))
    states, forecasts = [], []
    for seen in (panel, scrambled):
        model = fit(name, seen.until(panel.histories[0].dates[AT - 150]))
        states.append(model.state())
        forecasts.append(model.predict(seen, rows))
    assert states[0].meta == states[1].meta
    for key, value in states[0].arrays.items():
        assert (value == states[1].arrays[key]).all(), key
    assert (forecasts[0].quantiles_NHQ == forecasts[1].quantiles_NHQ).all()
    assert (forecasts[0].mean_NH == forecasts[1].mean_NH).all()


def test_a_row_after_the_cutoff_does_change(panels):
    _, panel, scrambled = panels
    model = fit("seq2seq_pooled", panel.until(panel.histories[0].dates[AT - 150]))
    rows = np.array([AT + 1])
    assert (model.predict(panel, rows).quantiles_NHQ != model.predict(scrambled, rows).quantiles_NHQ).all()


def test_scalers_filters_and_inputs(panels):
    cutoff, panel, scrambled = panels
    seen = []
    for p in (panel, scrambled):
        returns = scaled_returns(p, 250, 5.0)
        members = bank_members(p, returns, market=True, ranges=True)
        sd = np.sqrt(members[:, 4])
        inputs = network_inputs(p, returns, sd, 4 * sd, horizon=20, market=True, ranges=True)
        early = p.dates <= cutoff
        seen.append((returns.unit_M, returns.scaled_R[early], members[early], inputs[early]))
    for one, other in zip(*seen, strict=True):
        assert (one == other).all()


@pytest.mark.parametrize("lag", [0, 2])
@pytest.mark.parametrize("transform", ["level", "difference", "return", "variance", "log"])
def test_a_covariate_is_as_known_at_each_close(transform, lag):
    """Whatever was published after a close, revisions of earlier days too, may be anything or missing."""
    rng = np.random.default_rng(4)
    days = np.datetime64("2015-01-01") + np.sort(rng.integers(0, 300, 200))
    known = (days + rng.integers(0, 30, 200)).astype("datetime64[s]") + rng.integers(0, 86400, 200)
    values = rng.lognormal(size=200)
    closes = (np.datetime64("2015-01-05") + np.arange(310)).astype("datetime64[s]") + 21 * 3600
    cut = closes[150]
    late = known > cut
    assert 20 < late.sum() < 180
    join = [
        joined(transformed(Observations(d, k, v).superseding(), transform), closes, lag=lag, carry=20).values_S
        for d, k, v in (
            (days, known, values),
            (days, known, np.where(late, rng.lognormal(size=200), values)),
            (days[~late], known[~late], values[~late]),
        )
    ]
    assert np.isfinite(join[0][:151]).mean() > 0.8
    for other in join[1:]:
        assert np.array_equal(join[0][:151], other[:151], equal_nan=True)
        assert not np.array_equal(join[0][151:], other[151:], equal_nan=True)


def test_training_rows_leave_the_purge(panels):
    _, panel, _ = panels
    for fold in make_folds(panel, Walk(cutoffs=8, every=10, refit_every=30, min_train=600)):
        past = panel.until(fold.fit_date)
        rows = train_rows(past, fold, warmup=250)
        labels_end = past.dates[rows + fold.horizon]
        assert labels_end.max() == fold.fit_date <= fold.cutoffs[0]
        assert (past.ticker_of[rows] == past.ticker_of[rows + fold.horizon]).all()


def test_the_gate_of_the_blend_reads_matured_outcomes_only():
    cutoffs = pd.date_range("2020-01-01", periods=40, freq="10D")
    frame = pd.DataFrame(
        [
            (m, "A", c, c + pd.Timedelta(days=28), s)
            for m in ("anchor", "seq2seq_pooled")
            for c in cutoffs
            for s in (1, 2)
        ],
        columns=["model", "unique_id", "cutoff", "ds", "step"],
    )
    frame["mean"] = 0.0
    for k in range(1, 40):
        frame[f"q{k / 40:.3f}"] = k + 10.0 * (frame["model"] == "anchor")
    spec = BlendSpec(members=("seq2seq_pooled",), patience=0)
    units = len(frame) // 2
    y = np.tile(np.random.default_rng(0).normal(20, 10, units), 2)
    at = cutoffs[20]
    later = (frame["ds"] > at).to_numpy()
    before, after = (
        blend(frame.assign(y=outcome), spec, {"A": "X"})[1].set_index("cutoff")
        for outcome in (y, np.where(later, y + 1000, y))
    )
    assert before.loc[:at].equals(after.loc[:at])
    assert (before.loc[at:, "gain"] != after.loc[at:, "gain"]).any()


def test_a_whole_run(tmp_path: Path, panels):
    cutoff, panel, scrambled = panels
    frames = []
    for number, seen in enumerate((panel, scrambled)):
        folder = tmp_path / f"prices{number}"
        folder.mkdir()
        for h in seen.histories:
            columns = {name.capitalize(): values for name, values in h.bars.items()}
            pd.DataFrame({"Date": h.dates, "Adj Close": h.adj_close, **columns}).to_csv(
                folder / f"{h.ticker}.csv", index=False
            )
        experiment = make_experiment(
            {
                "universe": {"source": f"csv:{folder}", "accept": ["all"]},  # noise looks like bad prices
                "walk": {"cutoffs": 14, "every": 20, "refit_every": 60, "min_train": 600},
                "forecasters": TINY | {"blend": {"patience": 1}},
            }
        )
        out, study = backtest(experiment, tmp_path / f"run{number}", workers=0)
        frames.append(pd.read_parquet(out / "forecasts.parquet"))
    one, other = (
        f[f["cutoff"] <= cutoff].drop(columns=["y"]).sort_values(["model", *KEYS], ignore_index=True) for f in frames
    )
    assert one["cutoff"].nunique() >= 3
    assert set(one["model"]) == {*study.experiment.forecasters.models, f"{study.experiment.verdict.recommended}+aci"}
    pd.testing.assert_frame_equal(one, other, check_exact=True)
