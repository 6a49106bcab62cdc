"""A made-up Study with every table filled consistently, and names that a careless page would run as code.

Prices are GARCH-like, nine models see their variance more or less well, scores are computed from their quantiles.

Shape legend: K models, M tickers, N scored cutoffs (N+1 with the open forecast at the last bar), H steps, Q levels.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, fields, replace

import numpy as np
import pandas as pd
from scipy import stats

from s2squant.config.files import make_experiment
from s2squant.evaluation.results import Study, TickerReport
from s2squant.series.forecast import LEVELS, QUANTILE_COLUMNS
from s2squant.series.history import PriceHistory
from s2squant.series.panel import Fold

HOSTILE = "<img src=x onerror=alert(1)>"
TICKERS = {"ACME": "XNYS", "../x": "XNYS", HOSTILE: "XLON", "EURUSD=X": "XLON"}
NOISE = {  # how badly each model sees the variance; None: it looks back only
    "historical_simulation": None,
    "random_walk": None,
    "ewma_t": 0.25,
    "garch_t": 0.16,
    "gjr_t": 0.13,
    "anchor": 0.09,
    "seq2seq_per_ticker": 0.12,
    "seq2seq_pooled": 0.07,
    "blend": 0.05,
}
MODELS = list(NOISE)
KINDS = {"historical_simulation": "reference", "anchor": "anchor", "blend": "blend"}
BOUNDS = {"50": (9, 29), "80": (3, 35), "95": (0, 38)}  # places of the interval ends among LEVELS
FETCHED = "2024-01-01T06:00:00+00:00"


def prices(rng: np.random.Generator, bars: int, start: float) -> tuple[np.ndarray, np.ndarray]:
    """Prices (T,) and the conditional variance (T,) of their daily log returns."""
    variance, returns = np.full(bars, 1.5e-4), np.zeros(bars)
    for t in range(1, bars):
        variance[t] = 3e-6 + 0.08 * returns[t - 1] ** 2 + 0.90 * variance[t - 1]
        returns[t] = rng.standard_t(6) * np.sqrt(variance[t] * 4 / 6) + 2e-4
    return start * np.exp(np.cumsum(returns)), variance


def quantiles_KNHQ(rng: np.random.Generator, log_price: np.ndarray, variance: np.ndarray, at: np.ndarray, horizon: int):
    steps = np.arange(1, horizon + 1)
    t6 = stats.t.ppf(LEVELS, 6) * np.sqrt(4 / 6)
    shared, made = rng.standard_normal(len(at)), []
    for model, noise in NOISE.items():
        if noise is None:
            trailing = np.array([np.var(np.diff(log_price[max(row - 500, 0) : row + 1])) for row in at])
            daily_NH = np.repeat(trailing[:, None], horizon, axis=1)
        else:
            error = noise * (0.5 * shared + rng.standard_normal(len(at)))
            daily_NH = (1.5e-4 + (variance[at] - 1.5e-4)[:, None] * 0.98**steps) * np.exp(error)[:, None]
        z = stats.norm.ppf(LEVELS) if model == "random_walk" else t6
        made.append(np.sqrt(np.cumsum(daily_NH, axis=1))[..., None] * z + 1e-4 * steps[:, None])
    return np.stack(made)


def word(low: float, high: float, p: float) -> str:
    return "better" if low > 0 and p < 0.1 else "worse" if high < 0 and p < 0.1 else "no evidence"


def estimate(crps_KN: np.ndarray, model: int) -> dict[str, float]:
    """Skill against model 0 with an interval; halves n for overlap. Nothing is tested for the reference itself."""
    difference, base = crps_KN[0] - crps_KN[model], crps_KN[0].mean()
    n, n_eff = len(difference), len(difference) / 2
    made = {"crps": float(crps_KN[model].mean()), "skill": float(difference.mean() / base), "n": n, "n_eff": n_eff}
    if model == 0:
        return made | {"low": 0.0, "high": 0.0, "t": np.nan, "p": np.nan, "smallest_detectable": np.nan}
    error = float(difference.std(ddof=1) / np.sqrt(n_eff) / base)
    t = made["skill"] / error
    reach = {
        "low": made["skill"] - 1.96 * error,
        "high": made["skill"] + 1.96 * error,
        "t": t,
        "p": float(2 * stats.norm.sf(abs(t))),
    }
    return made | reach | {"smallest_detectable": 2.8 * error}


def parts(estimated: dict[str, float]) -> dict[str, float]:
    """A quarter of an effect as its location, the rest as scale and shape."""
    ends = {"": "skill", "_low": "low", "_high": "high"}
    shares = {"location": 0.25, "shape": 0.75}
    return {f"{part}{end}": share * estimated[name] for part, share in shares.items() for end, name in ends.items()}


@dataclass(frozen=True)
class Sums:
    """CRPS (%) and coverage of every forecast unit."""

    crps_KMNH: np.ndarray
    inside: dict[str, np.ndarray]

    def cover(self, k: int, *rest) -> dict[str, float]:
        return {f"coverage_{level}": float(held[(k, *rest)].mean()) for level, held in self.inside.items()}


def scored(quantiles_KMNHQ: np.ndarray, y_MNH: np.ndarray) -> Sums:
    q, y = quantiles_KMNHQ[:, :, :-1], y_MNH[None, :, :-1, :, None]
    crps = 200 * np.mean(np.where(y >= q, LEVELS, LEVELS - 1) * (y - q), axis=-1)
    y = y[..., 0]
    return Sums(crps, {level: (y >= q[..., low]) & (y <= q[..., high]) for level, (low, high) in BOUNDS.items()})


def frame(rows) -> pd.DataFrame:
    return pd.DataFrame(list(rows))


def make_study(
    seed: int = 0, tickers: dict[str, str] | None = None, bars: int = 1200, cutoffs: int = 24, horizon: int = 20
) -> Study:
    rng = np.random.default_rng(seed)
    chosen = TICKERS if tickers is None else tickers
    names, markets, steps = list(chosen), sorted(set(chosen.values())), np.arange(1, horizon + 1)
    every_day = np.arange("2010-01-04", "2024-12-31", dtype="datetime64[D]")
    sessions = every_day[np.is_busday(every_day)]
    last = int(np.searchsorted(sessions, np.datetime64("2024-01-01")))
    dates = sessions[last - bars : last]
    origins = dates[np.arange(bars - horizon - 1 - 10 * (cutoffs - 1), bars - horizon, 10)]
    at = np.append(np.searchsorted(dates, origins), bars - 1)
    cut = dates[at].astype("datetime64[ns]")

    histories: dict[str, PriceHistory] = {}
    made, realised = [], []
    for i, (ticker, market) in enumerate(chosen.items()):
        path, variance = prices(rng, bars, [84.0, 1.08, 3120.0, 12.5][i % 4])
        histories[ticker] = PriceHistory(ticker, market, dates, path, source="csv:prices", fetched_at=FETCHED)
        log_price, ahead = np.log(path), at[:, None] + steps
        made.append(quantiles_KNHQ(rng, log_price, variance, at, horizon))
        realised.append(np.where(ahead < bars, log_price[np.minimum(ahead, bars - 1)] - log_price[at][:, None], np.nan))
    quantiles_KMNHQ, y_MNH = np.stack(made, axis=1), np.stack(realised)
    sums = scored(quantiles_KMNHQ, y_MNH)
    crps, ks, ms = sums.crps_KMNH, range(len(MODELS)), range(len(names))

    index = pd.MultiIndex.from_product([MODELS, names, cut, steps], names=["model", "unique_id", "cutoff", "step"])
    forecasts = pd.DataFrame(quantiles_KMNHQ.reshape(-1, len(LEVELS)), index, list(QUANTILE_COLUMNS)).reset_index()
    ds_NH = sessions[last - bars + at[:, None] + steps].astype("datetime64[ns]")
    shape = quantiles_KMNHQ.shape[:-1]
    forecasts.insert(3, "ds", np.broadcast_to(ds_NH, shape).ravel())
    forecasts.insert(5, "y", np.broadcast_to(y_MNH, shape).ravel())
    forecasts.insert(6, "mean", np.broadcast_to(1e-4 * steps, shape).ravel())

    def board(k: int) -> dict[str, object]:
        e = estimate(crps.mean(axis=(1, 3)), k)
        kind = KINDS.get(MODELS[k], "network" if MODELS[k].startswith("seq2seq") else "baseline")
        won = float(np.mean(crps[k].mean(axis=(1, 2)) < crps[0].mean(axis=(1, 2))))
        head = {
            "model": MODELS[k],
            "kind": kind,
            "crps": e["crps"],
            "skill": e["skill"],
            "effect": e["skill"],
            "effect_low": e["low"],
            "effect_high": e["high"],
            **parts(e),
        }
        return head | dict(won=won, **sums.cover(k), dm_t=e["t"], dm_p=e["p"], n=e["n"], n_eff=e["n_eff"])

    def of_ticker(k: int, m: int) -> dict[str, object]:
        e = estimate(crps[:, m].mean(axis=2), k)
        q = min(1.0, 1.5 * e["p"]) if k else np.nan
        kept = {name: e[name] for name in ("crps", "skill", "low", "high", "p", "n", "n_eff", "smallest_detectable")}
        return dict(
            model=MODELS[k], unique_id=names[m], **kept, q=q, word=word(e["low"], e["high"], q), **sums.cover(k, m)
        )

    def of_step(k: int, h: int) -> dict[str, object]:
        e = estimate(crps[..., h].mean(axis=1), k)
        kept = {name: e[name] for name in ("crps", "skill", "low", "high")}
        return dict(model=MODELS[k], step=h + 1, **kept, **sums.cover(k, slice(None), slice(None), h))

    def of_both(k: int, m: int, h: int) -> dict[str, object]:
        part = crps[:, m, :, h].mean(axis=1)
        cover = sums.cover(k, m, slice(None), h)["coverage_80"]
        return {
            "model": MODELS[k],
            "unique_id": names[m],
            "step": h + 1,
            "crps": part[k],
            "skill": 1 - part[k] / part[0],
            "coverage_80": cover,
        }

    def verdict(k: int, step: str) -> dict[str, object]:
        e = estimate(crps.mean(axis=(1, 3)) if step == "all" else crps[..., int(step) - 1].mean(axis=1), k)
        head = {
            "pool": "all",
            "metric": "crps",
            "step": step,
            "benchmark": MODELS[0],
            "challenger": MODELS[k],
            "test": "DM, EWC",
        }
        head |= {
            "effect": e["skill"],
            "low": e["low"],
            "high": e["high"],
            **parts(e),
            "statistic": e["t"],
            "p": e["p"],
            "p_adjusted": min(1.0, 2 * e["p"]),
        }
        tail = {name: e[name] for name in ("n", "n_eff", "smallest_detectable")}
        return head | tail | {"word": word(e["low"], e["high"], e["p"])}

    def gained(k: int, name: str, part_KN: np.ndarray) -> pd.DataFrame:
        difference = part_KN[0] - part_KN[k]
        made = {
            "model": MODELS[k],
            "unique_id": name,
            "cutoff": cut[:-1],
            "difference": difference,
            "cumulative": np.cumsum(difference),
        }
        return pd.DataFrame(made)

    pooled = [gained(k, "all", crps.mean(axis=(1, 3))) for k in ks]
    over_time = [gained(k, names[m], crps[:, m].mean(axis=2)) for k in ks for m in ms]
    leaderboard = frame(board(k) for k in ks)
    best = leaderboard.set_index("model").loc["blend"]
    reports = [
        TickerReport(
            t,
            "ok",
            "",
            m,
            bars,
            str(dates[0]),
            str(dates[-1]),
            "csv:prices",
            FETCHED,
            histories[t].sha256,
            NOTES if i % 2 == 0 else (),
        )
        for i, (t, m) in enumerate(chosen.items())
    ]
    return Study(
        experiment=make_experiment({"name": "Large caps <b>", "walk": {"horizon": horizon, "cutoffs": cutoffs}}),
        run_id="20240101-060000-1f3a",
        created_at="2024-01-01T06:12:41+00:00",
        status="partial",
        sentence=f"The blend forecasts {100 * best['skill']:.1f} % better than historical simulation "
        f"over {len(names)} tickers and {cutoffs} cutoffs; after costs the sign rule does not beat holding.",
        word=word(best["effect_low"], best["effect_high"], best["dm_p"]),
        rule="Better: the pooled two-sided test against the reference rejects at 5 % with positive skill. "
        "Worse: the same with negative skill. Otherwise: no evidence.",
        tickers=[*reports, *LOST],
        folds=[
            Fold(m, i, dates[0], part[0], part, horizon)
            for m in markets
            for i, part in enumerate(np.array_split(origins, 2))
        ],
        histories=histories,
        forecasts=forecasts,
        scores=pd.DataFrame(columns=["model", "unique_id", "cutoff", "step", "metric", "value"]),
        verdicts=frame(verdict(k, step) for step in ("all", "1", "5", str(horizon)) for k in ks if k),
        leaderboard=leaderboard,
        by_step=frame(of_step(k, h) for k in ks for h in range(horizon)),
        by_ticker=frame(of_ticker(k, m) for m in ms for k in ks),
        by_ticker_step=frame(of_both(k, m, h) for m in ms for k in ks for h in range(horizon)),
        over_time=pd.concat(pooled + over_time, ignore_index=True),
        training=training(rng, chosen),
        weights=weights(rng, markets, cut[:-1]),
        equity=equity(rng, [*names, "all"], dates[-300:].astype("datetime64[ns]")),
        provenance=PROVENANCE,
    )


def equity(rng: np.random.Generator, names: list[str], days: np.ndarray) -> pd.DataFrame:
    tables = []
    for name, model in itertools.product(names, ("blend", "anchor", "gjr_t", "buy_and_hold")):
        gross, cost = rng.normal(2e-4, 8e-3, len(days)), np.where(rng.random(len(days)) < 0.1, 5e-4, 0.0)
        money = {
            "position": 1.0,
            "gross": gross,
            "cost": cost,
            "net": gross - cost,
            "equity_net": np.exp(np.cumsum(gross - cost)),
        }
        tables.append(pd.DataFrame(dict(model=model, unique_id=name, date=days, **money)))
    return pd.concat(tables, ignore_index=True)


def training(rng: np.random.Generator, chosen: dict[str, str]) -> pd.DataFrame:
    tables = []
    pooled = [("seq2seq_pooled", m, m, seed) for m in sorted(set(chosen.values())) for seed in (0, 1)]
    for (model, name, market, seed), fold in itertools.product(
        [*pooled, *(("seq2seq_per_ticker", t, m, 0) for t, m in chosen.items())], (0, 1)
    ):
        loss = 0.56 + 0.2 * np.exp(-np.arange(100) / 15) + rng.normal(0, 0.006, 100)
        keys = {"model": model, "unique_id": name, "market": market, "fold": fold, "seed": seed}
        tables.append(pd.DataFrame(keys | {"step": np.arange(100), "loss": loss}))
    return pd.concat(tables, ignore_index=True)


def weights(rng: np.random.Generator, markets: list[str], cut: np.ndarray) -> pd.DataFrame:
    members = ("anchor", "gjr_shrunk", "seq2seq_per_ticker", "seq2seq_pooled")
    made = []
    for market, (i, cutoff) in itertools.product(markets, enumerate(cut)):
        weight = rng.dirichlet([6.0, 3.0, 1.0, 1.0])
        for member, w in zip(members, weight, strict=True):
            keys = {"market": market, "cutoff": cutoff, "member": member, "matured": i}
            made.append(keys | {"gain": float(rng.normal(0, 0.1)), "weight": float(w)})
    return frame(made)


NOTES = ("largest gap: 6 calendar days after 2021-12-24", "close of 2020-03-16 moved 11.2 standard deviations")
LOST = (
    TickerReport("GONE", "failed", "no rows came back from csv:prices; is the ticker spelt as the source spells it?"),
    TickerReport(
        "YOUNG", "skipped", "412 bars; 770 are needed before the first cutoff (walk.min_train + walk.horizon)", "XNYS"
    ),
)
PROVENANCE = {
    "versions": {"s2squant": "0.1.0", "python": "3.11.7", "torch": "2.9.0", "numpy": "2.4.6"},
    "seed": 0,
    "prices": {"ACME": "ab" * 32},
    "timings": {"prices": 1.2, "anchor": 8.9, "networks": 212.4, "scores": 3.1},
    "command": "s2squant backtest experiment.json --source csv:prices --tickers 'A B,C' --out=reports/first",
    "platform": "Linux x86_64, 2 cores",
}


def tables(study: Study) -> list[str]:
    """The names of a study's tables."""
    return [f.name for f in fields(study) if isinstance(getattr(study, f.name), pd.DataFrame)]


def emptied(study: Study, *names: str) -> Study:
    """The same study with the named tables (default: all) empty and without columns."""
    return replace(study, **{name: pd.DataFrame() for name in names or tables(study)})
