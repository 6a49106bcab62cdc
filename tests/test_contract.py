"""The contract as a suite, run over every forecaster."""

import dataclasses

import numpy as np
import pytest
from safetensors.numpy import load, save

from s2squant.config.files import make_experiment
from s2squant.config.models import MODELS, Forecasters
from s2squant.forecasters.catalog import make, restore
from s2squant.series.forecast import LEVELS, State
from s2squant.series.panel import Panel
from s2squant.series.windows import of_tickers
from tests.worlds.synthetic import garch_panel

TINY = {
    "gbm": {"trees": 4, "nodes": 2, "levels": [0.1, 0.5, 0.9]},
    "field": {"members": ["historical_simulation", "ewma_t"]},
    "anchor": {"steps": 8},
    "seq2seq": {
        "encoder": {"hidden": 6},
        "decoder": {"width": 8},
        "training": {"chunk": 60, "warm": 20, "positions": 6},
        "per_ticker": {"steps": 4, "batch": 2},
        "pooled": {"steps": 4, "batch": 2, "seeds": 2},
        "adapted": {"steps": 3, "batch": 2},
    },
}
NAMES = [name for name in MODELS if name != "blend"]  # which averages others' forecasts and fits nothing
ABOUT_OTHERS = ("seq2seq_pooled", "seq2seq_adapted", "garch_shrunk", "gjr_shrunk", "garch_x", "pretrained")
"""Pooled nets, and models whose drift is shrunk towards the others'."""
H, SEED = 7, 3


def settings(**changes) -> Forecasters:
    data = {"forecasters": {key: dict(value) for key, value in TINY.items()}}
    for path, value in changes.items():
        *parents, last = path.split("__")
        table = data["forecasters"]
        for parent in parents:
            table[parent] = dict(table.get(parent, {}))
            table = table[parent]
        table[last] = value
    return make_experiment(data).forecasters


def training_rows(panel, horizon=H):
    rows = np.arange(len(panel.dates))
    return rows[(panel.bar_number(rows) >= 250) & (panel.bars_left(rows) >= horizon)]


def fit(name, panel, rows=None, *, using=None, seed=SEED):
    using = using or settings()
    rows = training_rows(panel) if rows is None else rows
    pooled = (
        make("seq2seq_pooled", using).fit(panel, training_rows(panel), horizon=H, seed=seed)
        if name == "seq2seq_adapted"
        else None
    )
    return make(name, using, pooled=pooled).fit(panel, rows, horizon=H, seed=seed)


@pytest.fixture(scope="module")
def panel():
    return garch_panel("ABC", 700, ohlcv=True)


@pytest.fixture(scope="module", params=NAMES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def fitted(name, panel):
    return fit(name, panel.until(panel.histories[0].dates[600]))


@pytest.fixture(scope="module")
def rows(panel):
    return np.array([699, 610, 1400 + 650, 700 + 650, 300])


def test_shapes_order_and_finiteness(name, fitted, panel, rows):
    forecast = fitted.predict(panel, rows)
    assert forecast.forecaster == fitted.name == name
    assert forecast.quantiles_NHQ.shape == (len(rows), H, len(LEVELS))
    assert (forecast.rows == rows).all()
    assert np.isfinite(forecast.quantiles_NHQ).all()
    assert (np.diff(forecast.quantiles_NHQ, axis=2) >= 0).all()
    width = forecast.quantiles_NHQ[..., -1] - forecast.quantiles_NHQ[..., 0]
    assert (width > 0.005).all(), "a 95 % band of a 1 % a day stock is wider than half a percent"
    assert (width[:, -1] > width[:, 0]).all(), "uncertainty grows with the step"


def test_inputs_are_left_alone(fitted, panel, rows):
    before = [panel.log_price.copy(), rows.copy(), *(v.copy() for v in panel.histories[0].bars.values())]
    fitted.predict(panel, rows)
    after = [panel.log_price, rows, *panel.histories[0].bars.values()]
    assert all((a == b).all() for a, b in zip(before, after, strict=True))


def test_a_repeat_is_bit_identical_and_another_seed_is_not(name, fitted, panel, rows):
    past = panel.until(panel.histories[0].dates[600])
    expected = fitted.predict(panel, rows).quantiles_NHQ
    assert (fit(name, past).predict(panel, rows).quantiles_NHQ == expected).all()
    if name not in (
        "random_walk",
        "drift",
        "ets",
        "arima",
        "theta",
        "ridge",
        "pretrained",
    ):  # closed form: nothing is drawn
        assert (fit(name, past, seed=SEED + 1).predict(panel, rows).quantiles_NHQ != expected).any()


def test_a_stored_model_forecasts_the_same_bits(name, fitted, panel, rows):
    state = fitted.state()
    arrays = load(save({key: np.ascontiguousarray(value) for key, value in state.arrays.items()}))
    again = restore(name, settings(), State(arrays, state.meta))
    assert (again.predict(panel, rows).quantiles_NHQ == fitted.predict(panel, rows).quantiles_NHQ).all()


def test_bars_after_the_last_row_do_not_matter(fitted, panel, rows):
    at = panel.histories[0].dates[650]
    short = panel.until(at)
    full_rows = np.array([650, 700 + 650, 1400 + 650])
    short_rows = np.array([650, 651 + 650, 2 * 651 + 650])
    assert (fitted.predict(short, short_rows).quantiles_NHQ == fitted.predict(panel, full_rows).quantiles_NHQ).all()


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ABOUT_OTHERS])
def test_one_ticker_alone_is_the_same_among_others(name, panel):
    own = settings(anchor__scope="per_ticker", anchor__market=False, seq2seq__market=False)
    alone = dataclasses.replace(panel, histories=panel.histories[1:2])
    together = fit(name, panel, of_tickers(panel, training_rows(panel), ["B"]), using=own)
    single = fit(name, alone, using=own)
    expected = single.predict(alone, np.array([450, 699])).quantiles_NHQ
    found = together.predict(panel, np.array([700 + 450, 700 + 699])).quantiles_NHQ
    if name in ("anchor", "seq2seq_per_ticker"):  # apart from the drift, which is shrunk towards the others'
        expected, found = (q - q.mean(axis=-1, keepdims=True) for q in (expected, found))
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)
    else:
        assert (found == expected).all()


def test_a_ticker_cut_out_of_its_market_is_seen_among_the_others(name, panel):
    """B alone, with the market's own view, gives the bits it gives in the midst of the whole panel."""
    day = panel.histories[0].dates[600]
    past, cut = panel.until(day), panel.only("B")
    short = cut.until(day)
    assert (len(short.dates), short.tickers) == (601, ("B",))
    own = of_tickers(past, training_rows(past), ["B"])
    pooled = fit("seq2seq_pooled", past) if name == "seq2seq_adapted" else None
    maker = make(name, settings(), pooled=pooled)
    whole = maker.fit(past, own, horizon=H, seed=SEED).predict(panel, np.array([700 + 610, 700 + 699]))
    alone = maker.fit(short, training_rows(short), horizon=H, seed=SEED).predict(cut, np.array([610, 699]))
    assert (alone.quantiles_NHQ == whole.quantiles_NHQ).all()
    if name == "anchor":
        lonely = Panel(cut.histories)
        other = maker.fit(lonely.until(day), training_rows(short), horizon=H, seed=SEED)
        assert (other.predict(lonely, np.array([610, 699])).quantiles_NHQ != alone.quantiles_NHQ).any()


def test_an_unknown_ticker_is_refused_by_name(name, panel):
    if name in ("anchor", "pretrained", "seq2seq_pooled"):
        pytest.skip("pooled parameters serve any ticker")
    some = fit(name, panel, of_tickers(panel, training_rows(panel), ["A"]))
    with pytest.raises(ValueError, match="B"):
        some.predict(panel, np.array([700 + 500]))


def test_scale_of_the_prices_does_not_matter(name, panel):
    rows = np.array([650, 1350])
    scaled = dataclasses.replace(
        panel, histories=tuple(dataclasses.replace(h, adj_close=h.adj_close * 1000) for h in panel.histories)
    )
    one, other = (fit(name, p).predict(p, rows).quantiles_NHQ for p in (panel, scaled))
    assert other == pytest.approx(one, rel=2e-3, abs=1e-6)
