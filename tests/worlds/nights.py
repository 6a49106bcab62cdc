"""A made-up Night: a live record of some months with gaps, a late run, a failed ticker and, when asked, a drift.

Prices have clustered volatility and a common factor; `blend` knows the variance, the anchor nearly, the reference
looks back only; under drift the blend's bands are too narrow for the last sessions. Outcomes, CRPS and PIT are
computed from the quantiles as the ledger's are.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from s2squant.config.experiment import RecalibrationSpec
from s2squant.config.nightly import Monitoring, Nightly
from s2squant.evaluation.diagnostics import read_off
from s2squant.forecasters.recalibration import recalibrated
from s2squant.nightly.results import Band, MarketNight, Night, TickerNight
from s2squant.nightly.track_record.drift import watch
from s2squant.nightly.track_record.track import track
from s2squant.series.forecast import QUANTILE_COLUMNS, quantile_crps
from s2squant.series.history import PriceHistory
from s2squant.series.tails import ALL_COLUMNS, ALL_LEVELS

HOSTILE = "<img src=x onerror=alert(1)>"
NAMES = ("ACME", HOSTILE, "EURUSD=X", "../x", "BRK-B", "^INDEX")
TONIGHT = "2026-11-19"
NEXT = "2026-11-20"
MISSED, LATE, STALE = 31, 14, (4, 5)
"""Sessions back: nothing issued, a run too late, one ticker without its bar."""
DRIFT_FOR = 55
"""Sessions for which the bands are too narrow, under drift."""
AT = datetime(2026, 11, 19, 21, 35, tzinfo=UTC)
SHA = "0123456789abcdef" * 4
RUN_FIELDS = ("run_id", "nightly", "flow", "scheduled_at", "started_at", "status", "message", "ended_at", "folder")


def sessions(back: int, ahead: int = 0) -> np.ndarray:
    """Weekdays around tonight's session, `back` of them up to it."""
    return np.busday_offset(np.datetime64(TONIGHT, "D"), np.arange(1 - back, ahead + 1))


def named(tickers: int) -> list[str]:
    """Names of tickers, a few of them hostile."""
    return [*NAMES, *(f"T{m:03}" for m in range(len(NAMES), tickers))][:tickers]


def make_paths(tickers: int, bars: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Log prices and the variance of the next return, (M, T)."""
    rng = np.random.default_rng(seed)
    scale = np.sqrt(4 / 6)
    market = rng.standard_t(6, bars) * scale
    shocks = 0.55 * market + 0.83 * rng.standard_t(6, (tickers, bars)) * scale
    variance, price = np.empty((tickers, bars)), np.empty((tickers, bars))
    now, at = np.full(tickers, 1.5e-4), np.log(100.0 + 40.0 * np.arange(tickers))
    for t in range(bars):
        step = np.sqrt(now) * shocks[:, t]
        at = at + step
        now = 3e-6 + 0.07 * step**2 + 0.91 * now
        price[:, t], variance[:, t] = at, now
    return price, variance


def make_record(
    names: list[str], many: int, horizon: int, seed: int, *, narrow: float = 1.0
) -> tuple[pd.DataFrame, dict]:
    """Ledger rows of four models with every ticker at every session, and the histories behind them."""
    bars = many + 320
    price, variance = make_paths(len(names), bars, seed)
    days = sessions(bars, horizon)
    histories = {
        name: PriceHistory(
            name, "XNYS", days[:bars], np.exp(price[m]), {"close": np.exp(price[m])}, "memory", f"{TONIGHT}T21:32:00Z"
        )
        for m, name in enumerate(names)
    }
    at = np.arange(bars - many, bars)
    steps = np.arange(1, horizon + 1)
    target = at[:, None] + steps
    y = np.where(target < bars, price[:, np.minimum(target, bars - 1)] - price[:, at][..., None], np.nan)
    decay = np.cumsum(0.98 ** np.arange(horizon))
    ahead = 1.5e-4 * steps + (variance[:, at] - 1.5e-4)[..., None] * decay
    past = np.array([np.var(np.diff(price[:, t - 250 : t + 1], axis=1), axis=1) for t in at]).T[..., None] * steps
    drifted = np.where(np.arange(many) >= many - DRIFT_FOR, narrow, 1.0)[None, :, None]
    rng = np.random.default_rng(seed + 1)
    noise = np.exp(0.15 * rng.standard_normal((len(names), many, 1)))
    scales = {
        "historical_simulation": np.sqrt(past),
        "anchor": np.sqrt(ahead * noise),
        "blend": np.sqrt(ahead) * drifted,
    }
    z = stdtrit(6, ALL_LEVELS) * np.sqrt(4 / 6)
    ticker, cutoff, step = (a.ravel() for a in np.indices(y.shape))
    head = pd.DataFrame(
        {
            "unique_id": np.array(names, object)[ticker],
            "market": "XNYS",
            "cutoff": days[at][cutoff].astype("datetime64[s]"),
            "ds": days[target].astype("datetime64[s]")[cutoff, step],
            "step": step + 1,
            "reissue": 0,
            "version": SHA[:16],
            "close": np.exp(price[:, at]).ravel()[ticker * many + cutoff],
            "factor": 1.0,
            "prices_sha256": SHA,
            "prices_at": f"{TONIGHT}T21:32:00Z",
            "run_id": "nightly-x",
            "y": y.ravel(),
        }
    )
    parts = []
    for model, scale in scales.items():
        quantiles = pd.DataFrame((scale.ravel()[:, None] * z).astype(np.float32), columns=list(ALL_COLUMNS))
        parts.append(pd.concat([head.assign(model=model, mean=np.float32(0.0)), quantiles], axis=1))
    table = pd.concat(parts, ignore_index=True)
    rows, _ = recalibrated(table, "blend", RecalibrationSpec(), dict.fromkeys(names, "XNYS"))
    return pd.concat([table, rows], ignore_index=True), histories


def judged(record: pd.DataFrame) -> pd.DataFrame:
    """The record with issue and scoring times, CRPS and PIT."""
    y, quantiles = record["y"].to_numpy(), record[list(QUANTILE_COLUMNS)].to_numpy(float)
    known = np.isfinite(y)
    crps, pit = np.full(len(y), np.nan), np.full(len(y), np.nan)
    crps[known] = quantile_crps(y[known], quantiles[known])
    pit[known] = read_off(y[known], list(quantiles[known].T)).pit
    issued = pd.to_datetime(record["cutoff"], utc=True) + pd.Timedelta(hours=21, minutes=33)
    return record.assign(crps=crps, pit=pit, issued_at=issued, scored_at=issued)


def make_night(
    tickers: int = 6, many: int = 80, horizon: int = 20, *, drift: bool = True, seed: int = 3, backtest: bool = True
) -> Night:
    """A night with everything on it: a failed and a stale ticker, gaps, a late run, a vendor revision, a drift."""
    names = named(tickers)
    record, histories = make_record(names, many, horizon, seed, narrow=0.62 if drift else 1.0)
    record = judged(record)
    days = sessions(many)
    missed, late = days[-MISSED], days[-LATE]
    failed, stale = names[3], names[4]
    rows = [(name, missed, "missed", "no run between 2026-10-07 and 2026-10-08") for name in names]
    rows += [(name, late, "late", "started 09:42 after the next open of 2026-11-03") for name in names]
    rows += [(stale, days[-back], "stale", "its last bar is one session old") for back in STALE]
    rows += [(failed, days[-1], "failed", "quarantined: 3 unadjusted splits <b>found</b>")]
    gaps = pd.DataFrame(rows, columns=["ticker", "cutoff", "kind", "reason"])
    gaps = gaps.assign(cutoff=[d.astype(object) for d in gaps["cutoff"].to_numpy().astype("datetime64[D]")])
    gaps = gaps.assign(nightly="nightly", market="XNYS", recorded_at=AT, run_id="nightly-x")
    lost = pd.MultiIndex.from_arrays([gaps["ticker"], gaps["cutoff"].astype("datetime64[s]")])
    record = record[~pd.MultiIndex.from_frame(record[["unique_id", "cutoff"]]).isin(lost)].reset_index(drop=True)
    spec = Nightly()
    band = Band(many - horizon, -0.004, 0.021, 0.008, 100, "large-caps-1a2b3c") if backtest else None
    tonight = pd.Timestamp(TONIGHT)
    status = {failed: ("failed", str(gaps["reason"].iloc[-1]))}
    monitoring: Monitoring = spec.monitoring
    return Night(
        spec=spec,
        run_id=f"nightly-{TONIGHT}-8f3a",
        scheduled_at=AT - timedelta(minutes=5),
        started_at=AT - timedelta(minutes=5),
        finished_at=AT,
        status="partial",
        message=f"{len(names) - 1} of {len(names)} tickers issued; 1 failed",
        issued=int((record["cutoff"] == tonight).sum()),
        scored=(len(names) - 1) * horizon * 4,
        reissued=0,
        markets=(
            MarketNight("XNYS", TONIGHT, NEXT, datetime(2026, 11, 20, 14, 30, tzinfo=UTC), "", (), "2026-11-06", 9),
        ),
        tickers=tuple(
            TickerNight(
                name,
                "XNYS",
                *status.get(name, ("ok", "")),  # type: ignore[arg-type]
                session=TONIGHT,
                close=float(histories[name].adj_close[-1]),
                prices_at=f"{TONIGHT}T21:32:00Z",
                how="" if name in status else "kept",
                trained="2026-11-06",
            )
            for name in names
        ),
        today=record[record["cutoff"] == tonight].reset_index(drop=True),
        record=record,
        histories=histories,
        gaps=gaps,
        events=make_events(days, names),
        runs=make_runs(days, str(missed), str(late)),
        track=track(record, gaps, monitoring, recommended="blend", reference="historical_simulation", band=band),
        monitor=watch(record, monitoring, model="blend"),
        provenance={
            "command": "s2squant forecast --name nightly",
            "versions": {"s2squant": "0.1.0", "python": "3.11.2", "torch": "2.13.0"},
            "timings": {"ingest": 1.9, "adapt": 8.4, "score": 0.4},
            "models": {"XNYS": SHA[:16]},
            "ledger": "sqlite:///data/ledger.sqlite",
            "seed": 0,
        },
    )


def make_runs(days: np.ndarray, missed: str, late: str) -> pd.DataFrame:
    """One run a session, newest first; none where one was missed."""
    rows = []
    for day in days[::-1]:
        if str(day) == missed:
            continue
        at = datetime.fromisoformat(f"{day}T21:30:00+00:00")
        status = "late" if str(day) == late else "partial" if str(day) == TONIGHT else "done"
        message = "nothing issued: started after the next open" if status == "late" else "6 tickers issued"
        start = at + timedelta(hours=17) if status == "late" else at
        ended = start + timedelta(seconds=14)
        rows.append((f"nightly-{day}-8f3a", "nightly", "forecast", at, start, status, message, ended, f"reports/{day}"))
    return pd.DataFrame(rows, columns=list(RUN_FIELDS))


def make_events(days: np.ndarray, names: list[str]) -> pd.DataFrame:
    """A retraining, a late run and a vendor revision."""
    rows = [
        (days[-min(40, len(days))], "retrained", "", "20 sessions since the last full fit"),
        (days[-LATE], "late", "", "started after the next open"),
        (days[-9], "revised", names[0], "the vendor changed 2 bars of 2026-11-02 and 2026-11-03 after issue"),
    ]
    table = pd.DataFrame(rows, columns=["session", "kind", "ticker", "text"])
    table = table.assign(session=[d.astype(object) for d in table["session"].to_numpy().astype("datetime64[D]")])
    return table.assign(nightly="nightly", run_id="nightly-x", at=AT)


def idle_night(status: str = "skipped", message: str = "XNYS is closed on 2026-11-26 (holiday)") -> Night:
    """A night that issued nothing: skipped, late or failed."""
    night = make_night(drift=False)
    word = {"skipped": "closed", "late": "late"}.get(status, "failed")
    return replace(
        night,
        status=status,  # type: ignore[arg-type]
        message=message,
        issued=0,
        scored=0,
        today=night.today.iloc[:0],
        markets=tuple(replace(m, skipped=message if status == "skipped" else "") for m in night.markets),
        tickers=tuple(replace(t, status=word, reason=message, how="") for t in night.tickers),  # type: ignore[arg-type]
    )


def young_night(many: int = 3) -> Night:
    """The first nights: hardly anything is scored."""
    return cut_night(make_night(drift=False), many)


def cut_night(night: Night, many: int) -> Night:
    """The same night with a record of the last `many` sessions only."""
    record = night.record[night.record["cutoff"] >= pd.Timestamp(sessions(many)[0])].reset_index(drop=True)
    gaps = night.gaps[pd.to_datetime(night.gaps["cutoff"]) >= pd.Timestamp(sessions(many)[0])]
    made = track(record, gaps, night.spec.monitoring, recommended="blend", reference="historical_simulation")
    watched = watch(record, night.spec.monitoring, model="blend")
    return replace(night, record=record, gaps=gaps, track=made, monitor=watched)
