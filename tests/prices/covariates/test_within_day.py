"""Realised variances out of a price store: one a session, known at its close, missing where it was not measured."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from s2squant.config.files import make_experiment
from s2squant.errors import ConfigError, SourceError
from s2squant.prices.calendars.grid import bar_grid
from s2squant.prices.covariates.load import with_covariates
from s2squant.prices.store.bars import About, Bars, columns_of
from s2squant.prices.store.price_store import PriceStore
from s2squant.prices.universe import load_universe
from s2squant.series.history import PriceHistory

NOW = datetime(2025, 6, 1, tzinfo=UTC)
MEASURES = ("total", "jump", "overnight")


def stored(folder: Path, interval: str, times: np.ndarray, opened: np.ndarray, close: np.ndarray) -> None:
    columns = {"open": opened, "high": np.maximum(opened, close) * 1.0001, "low": np.minimum(opened, close) * 0.9999}
    bars = Bars(times, columns_of({**columns, "close": close, "volume": np.full(len(close), 1e6)}, len(close)))
    about = About("AAPL", interval, "test", "XNYS", currency="USD", exchange="NMS", timezone="America/New_York")
    store = PriceStore(folder)
    with store.locked("AAPL", interval):
        store.write(about, bars, after=None, fetched_at=NOW, start="", added=len(close))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PriceHistory, dict[str, np.ndarray]]:
    """A store of days, and of half hours from the second month on; the history and what was stored."""
    folder = tmp_path_factory.mktemp("store")
    grid = bar_grid("30m:XNYS", np.datetime64("2024-10-01"), np.datetime64("2025-01-31"))
    rng = np.random.default_rng(0)
    moved = np.where(grid.first, 0.01, 0.003) * rng.standard_normal(len(grid.starts))
    close = 200 * np.exp(np.cumsum(moved))
    opened = np.where(grid.first, close * np.exp(-0.002), np.append(200.0, close[:-1]))
    last = np.append(np.diff(grid.sessions).astype(int) > 0, True)
    first = np.append(True, last[:-1])
    stored(folder, "1d", grid.sessions[last].astype("datetime64[s]"), opened[first], close[last])
    late = grid.sessions >= np.datetime64("2024-11-01")
    stored(folder, "30m", grid.starts[late], opened[late], close[late])
    covariates = [{"name": m, "realised": m, "interval": "30m"} for m in MEASURES]
    experiment = make_experiment({"universe": {"source": f"store:{folder}"}, "covariates": covariates})
    (history,) = with_covariates(load_universe(experiment.universe), experiment).histories
    return folder, history, {"session": grid.sessions, "open": opened, "close": close}


def test_each_session_has_the_variance_of_its_own_bars(
    measured: tuple[Path, PriceHistory, dict[str, np.ndarray]],
) -> None:
    _, history, bars = measured
    assert history.covariates is not None
    assert [(c.name, c.measure, c.variance) for c in history.covariates.past] == [
        ("total", "total", True),
        ("jump", "jump", False),
        ("overnight", "overnight", False),
    ]
    total, jump, overnight = history.covariates.past_TP.T
    before = history.dates < np.datetime64("2024-11-04")  # the first session stored has no night before it
    assert np.isnan(total[before]).all()
    assert np.isfinite(total[~before]).all()
    assert (jump[~before] >= 0).all()
    for day in (np.datetime64("2024-11-05"), np.datetime64("2024-11-29")):  # a whole day, half a day
        at, own = int(np.searchsorted(history.dates, day)), bars["session"] == day
        opened, close = bars["open"][own], bars["close"][own]
        night = np.log(opened[0] / bars["close"][np.flatnonzero(own)[0] - 1]) ** 2
        inside = np.log(close[0] / opened[0]) ** 2 + np.square(np.diff(np.log(close))).sum()
        assert overnight[at] == pytest.approx(night)
        assert total[at] == pytest.approx(night + inside)


def test_a_store_without_such_bars_and_bars_within_the_day_are_refused(
    measured: tuple[Path, PriceHistory, dict[str, np.ndarray]],
) -> None:
    folder = measured[0]
    rv = [{"name": "rv", "realised": "total", "interval": "5m"}]
    missing = make_experiment({"universe": {"source": f"store:{folder}"}, "covariates": rv})
    with pytest.raises(SourceError, match=r"covariate rv: .* none of 5m"):
        with_covariates(load_universe(missing.universe), missing)
    hours = make_experiment(
        {"universe": {"source": f"store:{folder}", "interval": "30m"}, "covariates": [rv[0] | {"interval": "30m"}]}
    )
    with pytest.raises(ConfigError, match="forecast days"):
        with_covariates(load_universe(hours.universe), hours)


@pytest.mark.parametrize("model", ["har_rv", "har_cj"])
def test_models_of_realised_variances_are_refused_without(model: str) -> None:
    columns = [{"name": "rv", "realised": "bipower"}]
    with pytest.raises(ConfigError, match=f'{model} reads a realised variance; add .* realised = "total"'):
        make_experiment({"forecasters": {"extra": [model]}, "covariates": columns})
