"""The drift monitor: never alarmed more often than it says, quick under drift, honest about overlap."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtr, stdtr

from s2squant.config.nightly import Monitoring
from s2squant.nightly.track_record import drift as m

DAYS = np.arange("2000-01-01", "2008-01-01", dtype="datetime64[D]")
SPEC = Monitoring()


def shocks(records: int, bars: int, tickers: int, seed: int, *, correlation: float = 0.4) -> np.ndarray:
    """Gaussian shocks (R, T, M), tickers alike."""
    rng = np.random.default_rng(seed)
    common = rng.standard_normal((records, bars, 1))
    return np.sqrt(correlation) * common + np.sqrt(1 - correlation) * rng.standard_normal((records, bars, tickers))


def process(pits: dict[int, np.ndarray]) -> np.ndarray:
    """The e-process (R, S) of PIT values (R, T, M) by step, weighed as `watch` weighs them."""
    sessions = DAYS[1 : 1 + max(p.shape[1] for p in pits.values())]
    weights, total = m.step_weights(sorted(pits)), 0.0
    for step, pit in pits.items():
        many = pit.shape[1]
        scores = m.session_scores(pit).mean(axis=2)
        found = m.evidence(scores, DAYS[:many], DAYS[step : step + many], step, sessions)
        total = total + weights[step] * found.mean(axis=-1)
    return np.asarray(total)


def ever(e: np.ndarray, alpha: float) -> float:
    return float((e.max(axis=1) >= 1 / alpha).mean())


def walks(z: np.ndarray, steps: tuple[int, ...], sigma: np.ndarray | float = 1.0) -> dict[int, np.ndarray]:
    """PIT of calibrated h-step forecasts of random walks whose variances are known ahead."""
    bars = z.shape[1]
    sigma = np.broadcast_to(sigma, z.shape)
    price = np.cumsum(np.pad(z * sigma, ((0, 0), (1, 0), (0, 0))), axis=1)
    variance = np.cumsum(np.pad(sigma**2, ((0, 0), (1, 0), (0, 0))), axis=1)
    return {
        h: ndtr((price[:, h:] - price[:, :-h]) / np.sqrt(variance[:, h:] - variance[:, :-h]))[:, : bars + 1 - h]
        for h in steps
    }


def garch_t(records: int, bars: int, tickers: int, seed: int) -> np.ndarray:
    """PIT one step ahead of calibrated forecasts: GARCH volatility, t(4) shocks that share their fat tails."""
    rng = np.random.default_rng(seed)
    tails = np.sqrt(rng.chisquare(4, (records, bars, 1)) / 4)
    t = shocks(records, bars, tickers, seed + 1) / tails
    variance, pit = np.ones((records, tickers)), np.empty_like(t)
    for k in range(bars):
        move = np.sqrt(variance) * t[:, k]  # outcome; the forecaster knows `variance` and the law of t
        pit[:, k] = stdtr(4, move / np.sqrt(variance))
        variance = 0.05 + 0.05 * move**2 / 2 + 0.9 * variance
    return pit


@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_calibrated_forecasts_alarm_no_more_often_than_said(alpha):
    e = process({1: garch_t(400, 500, 6, 1)})
    error = 2.6 * np.sqrt(alpha * (1 - alpha) / 400)
    assert ever(e, alpha) <= alpha + error


@pytest.mark.slow
@pytest.mark.parametrize("tickers", [1, 8])
def test_overlapping_forecasts_alarm_no_more_often_than_said(tickers):
    z = shocks(400, 500, tickers, 2)
    sigma = np.exp(0.5 * np.sin(np.arange(500) / 40.0))[None, :, None]
    e = process(walks(z, (1, 5, 20), sigma))
    assert ever(e, 0.05) <= 0.05 + 2.6 * np.sqrt(0.05 * 0.95 / 400)


def test_a_daily_test_at_5_percent_alarms_far_too_often():
    """Why there is an e-process: the same calibrated records, tested anew every session."""
    pit = garch_t(400, 500, 6, 1)
    inside = m.session_scores(pit)[..., 0].mean(axis=2)  # share inside less 0.8, by session
    n = np.arange(1, 501)
    mean = np.cumsum(inside, axis=1) / n
    spread = np.sqrt(np.maximum(np.cumsum(inside**2, axis=1) / n - mean**2, 1e-9) / n)
    daily = (np.abs(mean / spread) > 1.96)[:, 20:]
    assert daily[:, -1].mean() < 0.08  # once, it keeps its promise
    assert daily.any(axis=1).mean() > 0.25  # every day, it does not
    assert ever(process({1: pit}), 0.05) <= 0.05


@pytest.mark.parametrize(
    ("name", "changed", "most"),
    [
        ("80 % interval holds 70 %", lambda z: 1.2366 * z, 90),
        ("80 % interval holds 90 %", lambda z: 0.779 * z, 130),
        ("medians a third of a standard deviation low", lambda z: z + 0.33, 130),
    ],
)
@pytest.mark.parametrize("good", [0, 250])
def test_drift_is_found_soon(name, changed, most, good):
    z = shocks(100, good + 400, 8, 5)
    z[:, good:] = changed(z[:, good:])
    e = process({1: ndtr(z)})
    over = e >= 100.0
    assert over.any(axis=1).mean() > 0.95, name
    delay = np.median(over.argmax(axis=1)) - good
    assert 5 < delay < most + 0.25 * good, (name, delay)


def test_whoever_looks_may_stop_whenever_he_likes():
    """The mean at a stopping time that watches the open bets of overlapping forecasts is 1 at most."""
    z = shocks(3000, 60, 1, 7)
    e = process(walks(z, (5,)))
    for level in (1.02, 1.1, 1.3):
        over = e >= level
        stopped = np.where(over.any(axis=1), over.argmax(axis=1), e.shape[1] - 1)
        value = e[np.arange(len(e)), stopped]
        assert value.mean() <= 1.0 + 3 * value.std() / np.sqrt(len(value))


def test_an_open_bet_counts_as_lost_and_never_more_than_it_ends():
    rng = np.random.default_rng(8)
    scores = m.session_scores(rng.random((50, 40)))
    issued, due = DAYS[:40], DAYS[5:45]
    e = m.evidence(scores, issued, due, 5, DAYS[1:45])
    later = np.minimum.accumulate(e[:, ::-1], axis=1)
    assert (e > 0).all()
    assert np.isfinite(e).all()
    settled = m.evidence(scores, issued, due, 5, DAYS[44:45])[:, -1]
    assert (later[:, 0] <= settled + 1e-12).all()


def test_scores_are_centred_and_bounded():
    pit = (np.arange(4000) + 0.5) / 4000
    scores = m.session_scores(pit)
    assert np.abs(scores.mean(axis=0)).max() < 1e-12
    assert (scores >= m.BOUNDS_C2[:, 0] - 1e-12).all()
    assert (scores <= m.BOUNDS_C2[:, 1] + 1e-12).all()
    worst = 1.0 + m.BETS_CJ[:, :, None] * m.BOUNDS_C2[:, None, :]
    assert worst.min() >= 1.0 - m.FRACTIONS.max() - 1e-9


def table(pit: np.ndarray, *, model: str = "blend", market: str = "XNYS", horizon: int = 1) -> pd.DataFrame:
    """A live record of (T, M) PIT values at one step."""
    _bars, _tickers = pit.shape
    t, k = (a.ravel() for a in np.indices(pit.shape))
    return pd.DataFrame(
        {
            "model": model,
            "market": market,
            "unique_id": [f"{market}{i}" for i in k],
            "cutoff": DAYS[t].astype("datetime64[s]"),
            "ds": DAYS[t + horizon].astype("datetime64[s]"),
            "step": horizon,
            "pit": pit.ravel(),
        }
    )


def test_watching_a_table_equals_the_process():
    pit = np.random.default_rng(9).random((60, 4))
    seen = m.watch(table(pit).sample(frac=1.0, random_state=0), SPEC, model="blend")
    np.testing.assert_allclose(seen.by_session["e_value"], process({1: pit[None]})[0])
    assert seen.by_session["n"].eq(4).all()
    assert not seen.alarmed
    assert seen.e_value == seen.by_session["e_value"].iloc[-1]
    assert "No drift" in seen.sentence


def test_the_alarm_says_when_and_what_and_since_restarts_it():
    pit = np.where(np.random.default_rng(10).random((120, 6)) < 0.5, 0.02, 0.98)
    record = table(pit)
    seen = m.watch(record, SPEC, model="blend")
    assert seen.alarmed
    assert seen.first_alarm in seen.sentence
    assert seen.sentence.startswith("DRIFT")
    assert "held 0 %" in seen.sentence
    since = date(2000, 4, 25)
    again = m.watch(record, SPEC, model="blend", since=since)
    assert not again.alarmed
    assert str(again.by_session["session"].iloc[0])[:10] > "2000-04-25"
    assert again.since == "2000-04-25"


def test_missing_sessions_are_not_bet_on():
    pit = np.random.default_rng(11).random((60, 3))
    whole = table(pit)
    gone = whole["cutoff"].isin(whole["cutoff"].unique()[20:30])
    unscored = whole.assign(pit=whole["pit"].where(~gone))
    assert m.watch(unscored, SPEC, model="blend").e_value == pytest.approx(
        m.watch(whole[~gone], SPEC, model="blend").e_value, rel=0.05
    )
    empty = m.watch(whole.iloc[:0], SPEC, model="blend")
    assert (empty.alarmed, empty.e_value) == (False, 1.0)


def test_the_future_changes_nothing():
    pit = np.random.default_rng(12).random((90, 5))
    part, whole = (m.watch(table(p), SPEC, model="blend").by_session["e_value"] for p in (pit[:50], pit))
    np.testing.assert_allclose(part, whole[:50])


def test_two_markets_share_the_capital_and_their_bets_of_the_day_are_open():
    rng = np.random.default_rng(13)
    both = pd.concat([table(rng.random((40, 3))), table(rng.random((40, 2)), market="XLON")])
    ahead = both.assign(
        cutoff=both["cutoff"] + pd.Timedelta(days=40), ds=both["ds"] + pd.Timedelta(days=40), pit=np.nan
    )
    settled, opened = (m.watch(rows, SPEC, model="blend") for rows in (both, pd.concat([both, ahead])))
    assert {p.split(", ")[-1] for p in settled.parts} == {"XNYS", "XLON"}
    assert opened.e_value < settled.e_value
