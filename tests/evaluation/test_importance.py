"""Permutation importance: what a model leans on is found, what it does not read or gain from is not."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.special import ndtri

from s2squant.config.experiment import VerdictSpec
from s2squant.config.readers import reads_of
from s2squant.evaluation.importance import importance_table, importances, rolled
from s2squant.evaluation.losses import score
from s2squant.evaluation.pools import pools
from s2squant.series.covariates import Covariate, TickerCovariates
from s2squant.series.forecast import LEVELS, Forecast, State
from s2squant.series.long_table import to_frame
from s2squant.series.panel import Panel
from tests.worlds.covariates import with_every_kind
from tests.worlds.synthetic import business_days, garch_panel, history

H, EVERY, BARS = 3, 5, 600


@dataclass(frozen=True)
class Reader:
    """Forecasts a width that the first future-known covariate gives; `heed` of none reads without using it."""

    heed: float
    name: str = "ridge"

    def predict(self, panel, rows):
        known = panel.covariates.at_steps(rows, H)[:, :, 0]
        sd = np.sqrt(np.cumsum(np.exp(2 * self.heed * np.log(known)) * 1e-4, axis=1))
        return Forecast(self.name, rows, sd[:, :, None] * ndtri(LEVELS), np.zeros_like(sd))

    def state(self):
        return State({}, {})


@pytest.fixture(scope="module")
def panel():
    """Two tickers whose daily deviation, 1 % times a number that is known ahead, differs from day to day."""
    rng, days = np.random.default_rng(3), business_days(BARS + 10)
    made = []
    for ticker in "AB":
        size = np.exp(rng.normal(0, 0.7, len(days)))
        plain = history(0.01 * size[:BARS] * rng.standard_normal(BARS), ticker)
        none, noise = np.empty((BARS, 1)), rng.standard_normal(BARS)
        none[:, 0] = noise
        columns = (Covariate("noise"),), (Covariate("size"),), (Covariate("sector", categories=("x", "y")),)
        own = TickerCovariates(*columns, none, days, size[:, None], np.array([float(ticker == "B")]))
        made.append(replace(plain, covariates=own))
    return Panel(tuple(made))


def table_of(panel, *models):
    rows = np.concatenate([start + np.arange(100, BARS - H, EVERY) for start in panel.starts[:-1]])
    forecasts = [model.predict(panel, rows) for model in models]
    frames = [to_frame(panel, forecast, {}) for forecast in forecasts]
    losses = score(frames[0])
    pool = pools(losses, every=EVERY, horizon=H, markets=dict.fromkeys("AB", "XNYS"))[0]
    records = [r for m, f in zip(models, forecasts, strict=True) for r in importances(m, panel, f)]
    return importance_table(records, losses, pool, VerdictSpec())


def test_what_a_model_leans_on_is_found_and_what_it_only_reads_is_not(panel):
    table = table_of(panel, Reader(1.0), Reader(0.0, "gbm")).set_index(["model", "covariate", "step"])
    leant = table.loc[("ridge", "size", "all")]
    assert leant["finding"] == "leans on it"
    assert leant["low"] > 0.05
    assert table.loc[("ridge", "size", "1"), "rise"] > table.loc[("ridge", "size", str(H)), "rise"] > 0
    for pair in (("ridge", "noise", "all"), ("gbm", "size", "all")):
        assert table.loc[pair, "rise"] == 0
        assert table.loc[pair, "reason"] == "its forecasts do not depend on it", "and no part of the family of tests"
    assert "sector" not in table.index.get_level_values("covariate"), "one ticker's baseline reads no static one"


def test_a_model_that_reads_nothing_is_not_asked(panel):
    class Blind(Reader):
        pass

    forecast = Reader(1.0, "garch_t").predict(panel, np.array([200]))
    assert list(importances(Blind(1.0, "garch_t"), panel, forecast)) == []
    assert list(importances(Reader(1.0), garch_panel("A", 300), forecast)) == []


def test_a_user_s_own_model_is_asked_about_every_covariate(panel):
    """It reads the one on which its forecasts depend; where its code fails on others, it reads nothing."""

    class Failing(Reader):
        def predict(self, panel, rows):
            if panel.covariates is not None and panel.covariates.future_VF[0, 0] != first:
                raise ValueError("not these")
            return super().predict(panel, rows)

    first = panel.covariates.future_VF[0, 0]
    rows = np.arange(300, 580, EVERY)
    asked = {
        type(m).__name__ + str(m.heed): {r["covariate"] for r in importances(m, panel, m.predict(panel, rows))}
        for m in (Reader(1.0, "mine:make"), Reader(0.0, "mine:make"), Failing(1.0, "mine:make"))
    }
    assert asked == {"Reader1.0": {"size"}, "Reader0.0": set(), "Failing1.0": set()}


def test_a_rolled_covariate_keeps_its_values_and_the_others_stay():
    panel = with_every_kind(garch_panel("AB", 300))
    other = rolled(panel, "mood", 0)
    before, after = panel.histories[0].covariates, other.histories[0].covariates
    np.testing.assert_array_equal(np.sort(before.past_TP[:, 1]), np.sort(after.past_TP[:, 1]))
    assert (np.nan_to_num(before.past_TP[:, 1]) != np.nan_to_num(after.past_TP[:, 1])).mean() > 0.9
    assert (before.past_TP[:, 0] == after.past_TP[:, 0]).all()
    assert (before.future_SF == after.future_SF).all()
    swapped = rolled(panel, "size", 0)
    assert swapped.histories[0].covariates.static_C[1] == panel.histories[1].covariates.static_C[1]


def test_the_anchor_reads_variances_alone():
    kinds = {"past": (Covariate("vix", variance=True), Covariate("mood")), "future": (Covariate("weekday"),)}
    assert reads_of("anchor", kinds) == ("vix",)
    assert reads_of("seq2seq_pooled", kinds) == ("vix", "mood", "weekday")
    assert reads_of("garch_t", kinds) == ()
