"""Made-up tables of the sections that a study may lack: audit, strategy, changes, attention, findings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from s2squant.errors import Finding
from s2squant.evaluation.results import Study
from s2squant.evaluation.strategy.track_record import track_record
from s2squant.evaluation.value_at_risk import risk_tables
from tests.report.factory_portfolio import portfolio

FINDINGS = (
    Finding("gap", "note", 1, ("2021-12-24",), "kept", "a gap of 6 calendar days after 2021-12-24"),
    Finding("jump", "warning", 1, ("2020-03-16",), "kept", "2020-03-16 moved 11.2 <i>sd</i>", ("seen & weighed",)),
)


def filled(study: Study, seed: int = 1) -> Study:
    """The same study with every optional section."""
    rng = np.random.default_rng(seed)
    names = [t.ticker for t in study.tickers if t.status == "ok"]
    more = evidence(study, rng, names)
    days = [str(day)[:10] for day in sorted(study.forecasts["cutoff"].unique())][:3]
    tickers = [replace(t, findings=FINDINGS) if t.ticker == names[0] else t for t in study.tickers]
    return replace(
        study,
        tickers=tickers,
        attention={name: rng.dirichlet(np.linspace(0.2, 2, 60), 20) for name in names},
        changes=changes(study, names),
        previous="20231225-060000-77ab",
        performance=performance(rng, ["all", *names]),
        **record(study),
        overfitting=pd.DataFrame([PBO]),
        audit=pd.DataFrame(AUDIT),
        recalibration=recalibration(study.weights),
        shuffled=pd.DataFrame([{"challenger": "blend", "benchmark": "gjr_t", "effect": 0.002, "reason": ""}]),
        portfolio=portfolio(names, days, more["risk"]),
        **more,
    )


def changes(study: Study, names: list[str]) -> pd.DataFrame:
    pooled = [
        {"unique_id": "all", "model": m, "crps_before": 1.2, "crps": 1.1, "skill_before": 0.01, "skill": 0.012}
        for m in study.leaderboard["model"]
    ]
    pooled[-1] |= {"word_before": "no evidence", "word": "better"}
    single = [
        {"unique_id": t, "model": "blend", "skill_before": 0.01 * i, "skill": 0.008}
        | {"word_before": "no evidence", "word": "worse" if i else "no evidence", "bars_added": 5, "bars_revised": i}
        for i, t in enumerate(names)
    ]
    return pd.DataFrame(pooled + single)


def performance(rng: np.random.Generator, names: list[str]) -> pd.DataFrame:
    made = []
    for name in names:
        for model in ("blend", "random_walk", "buy_and_hold", "equal_volatility", "random_walk_sign"):
            for cost in (0.0, 5.0, 10.0):
                sharpe = float(rng.normal(0.3, 0.3))
                made.append(
                    {"model": model, "unique_id": name, "cost_bp": cost, "declared": cost == 5.0, "bars": 900}
                    | {"years": 3.6, "annual_return": 0.04, "volatility": 0.12, "sharpe": sharpe}
                    | {"sharpe_low": sharpe - 0.9, "sharpe_high": sharpe + 0.9, "psr": 0.7, "trials": 12.0}
                    | {"dsr": 0.2 if model == "blend" else np.nan, "years_needed": 14.2, "max_drawdown": -0.21}
                    | {"drawdown_bars": 120, "turnover": 18.0, "exposure": 0.8, "break_even_bp": 6.1}
                    | {"final_equity": 1.15, "first": "2020-01-02", "last": "2023-08-01", "long": 0.994}
                    | dict.fromkeys(("beyond", "beyond_low", "beyond_high"), np.nan)
                    | ({"beyond": 0.01, "beyond_low": -0.02, "beyond_high": 0.04} if model == "blend" else {})
                )
    return pd.DataFrame(made)


def record(study: Study) -> dict[str, pd.DataFrame]:
    """Months, drawdowns and rolling Sharpe ratios of the pool, by the package itself."""
    return vars(track_record(study.equity, "blend", {"all"}))


PBO = {
    "basis": "models of this run",
    "candidates": 9,
    "periods": 480,
    "blocks": 10,
    "splits": 252,
    "pbo": 0.41,
    "selected": "blend",
    "selected_share": 0.52,
    "median_rank": 0.56,
    "reason": "",
}
AUDIT = [
    {"check": "truncation", "model": "blend", "outcome": "passed", "figure": 0.0, "sentence": "No forecast changed."},
    {
        "check": "planted leak",
        "model": "ridge",
        "outcome": "passed",
        "figure": 0.93,
        "sentence": "Skill explodes: seen.",
    },
    {"check": "placebo", "model": "blend", "outcome": "not run", "figure": np.nan, "sentence": "Not asked for."},
]


def evidence(study: Study, rng: np.random.Generator, names: list[str]) -> dict[str, pd.DataFrame]:
    """The tables of Evidence, for the models of the leaderboard."""
    models = [str(m) for m in study.leaderboard["model"]]
    groups, levels, bins = ("all", "1", "2-5", "6-20"), (0.05, 0.25, 0.5, 0.75, 0.95), np.arange(20) / 20
    cutoffs = sorted(set(study.over_time["cutoff"]))
    card = [
        {"model": m, "group": g, "crps": 1.1, "skill": float(rng.normal(0, 0.01)), "log_score": -1.7, "mae_ratio": 1.0}
        | {"interval_50": 3.0, "interval_80": 4.2, "interval_95": 6.0, "mae": 1.5, "r2": -0.001, "r2_reference": 0.0}
        | {"rmsse": 1.01, "qlike": 0.4, "direction": 0.52, "direction_expected": 0.51, "base_rate": 0.53, "calls": 90}
        | {"width_80": 5.0, "width_ratio": 0.97, "width_follows_volatility": 0.4, "n": 960}
        for m in models
        for g in groups
    ]
    held = [
        {"model": m, "step": h, "interval": i, "coverage": i / 100 + float(rng.normal(0, 0.03))}
        | {"band_low": i / 100 - 0.04, "band_high": i / 100 + 0.04, "p": 0.4, "n": 96, "n_eff": 30.0}
        | {"smallest_detectable": 0.05}
        for m in models
        for h in range(1, 21)
        for i in (50, 80, 95)
    ]
    reliable = [
        {"model": m, "group": g, "level": v, "share": v + 0.01, "band_low": v - 0.03, "band_high": v + 0.03}
        for m in models
        for g in groups
        for v in levels
    ]
    pit = [
        {"model": m, "group": g, "low": b, "high": b + 0.05, "share": float(rng.uniform(0.03, 0.07))}
        | {"band_low": 0.03, "band_high": 0.07}
        for m in models
        for g in groups
        for b in bins
    ]
    tested = [
        {"model": m, "unique_id": t, "group": g, "test": "Knueppel", "statistic": 1.0, "p": 0.2, "p_adjusted": 0.4}
        | {"mean_pit": 0.51, "spread": 0.98, "n": 96, "n_eff": 30.0, "smallest_detectable": 0.04}
        | {"finding": "too wide" if g == "2-5" else "no evidence against calibration"}
        for m in models
        for t, g in [("all", g) for g in groups] + [(t, "all") for t in names]
    ]
    missed = [
        {"model": m, "unique_id": t, "kind": k, "expected": 0.2, "missed": 0.22, "kupiec_p": 0.5, "joint_p": np.nan}
        | {"independence_p": np.nan, "dq_p": 0.3, "n": 96, "n_eff": 96.0, "smallest_detectable": 0.1, "reason": ""}
        | {"p_adjusted": 0.02 if wrong else 0.6, "finding": "too many" if wrong else "no evidence"}
        for m in models
        for t in names
        for k in ("outside 80 %", "below 5 %")
        for wrong in (m == "blend" and t == names[1] and k == "below 5 %",)
    ]
    width = [
        {
            "model": m,
            "unique_id": t,
            "cutoff": c,
            "width": 5.0 + float(rng.normal()),
            "width_ratio": 1.0,
            "realised": 1.1,
        }
        for m in ("historical_simulation", "blend")
        for t in ["all", *names]
        for c in cutoffs
    ]
    other = [
        {"test": n, "pool": "all", "benchmark": "historical_simulation", "challenger": "blend", "effect": 0.01, "p": p}
        | {"statistic": 2.0, "n": 24, "n_eff": 12.0, "smallest_detectable": 0.02, "finding": f, "reason": r}
        for n, p, f, r in (
            ("Giacomini-White", 0.03, "differs, on average or by circumstance", ""),
            ("Superior predictive ability", 0.4, "no evidence", ""),
            ("Clark-West", np.nan, "not tested", "not nested"),
        )
    ]
    chosen = [
        {"step": s, "model": m, "p": 0.3, "inside": m != "random_walk", "same_as": "", "n": 24, "n_eff": 12.0}
        | {"reason": ""}
        for s in ("all", "1")
        for m in models
    ]
    moving = [
        {"challenger": "blend", "benchmark": "historical_simulation", "first": c, "cutoff": c, "window": 6}
        | {"effect": float(rng.normal(0, 0.02)), "band": 0.03}
        for c in cutoffs
    ]
    luck = [
        {"model": m, "unique_id": t, "skill": 0.02, "se": 0.01, "shrunken": 0.012, "low": -0.002, "high": 0.03}
        | {"weight": 0.4, "prior_spread": 0.008, "p": 0.04, "q_bh": 0.1, "q_by": 0.2, "n": 24, "n_eff": 12.0}
        | {"smallest_detectable": 0.03}
        for m in models
        for t in names
    ]
    against = [
        {"step": s, "model": a, "against": b, "effect": 0.004 * (j - i), "statistic": 1.5, "p": 0.03, "n": 24}
        | {"p_adjusted": 0.04 if i == 0 else 0.3, "finding": "no evidence" if i else "differ", "reason": ""}
        | {"smallest_detectable": 0.02, "n_eff": 12.0}
        for s in ("all", "1", "5", "20")
        for i, a in enumerate(models)
        for j, b in enumerate(models[i + 1 :], start=i + 1)
    ]
    drawn = [
        {"model": m, "paths": 128 * even, "energy": 1.6 if even else np.nan, "skill": 0.01 * k if even else np.nan}
        | {"low": -0.01, "high": 0.03, "crps_skill": 0.008, "p": 0.2, "n": 24, "n_eff": 12.0}
        | {"smallest_detectable": 0.03, "reason": "" if even else "quantiles only"}
        for k, m in enumerate(models)
        for even in (k % 2 == 0,)
    ]
    missed_most = [
        {"scope": s, "unique_id": t, "cutoff": cutoffs[k % len(cutoffs)], "step": 1 + k, "ds": cutoffs[0]}
        | {"price": 1234.5, "realised": 1100.0, "low": 1150.0, "high": 1310.0, "moved": -0.109, "miss": -6.2 + k}
        | {"pit": 0.0004, "others": -0.02}
        for s, t in [("all", names[0]), *((t, t) for t in names)]
        for k in range(4)
    ]
    grouped = [
        {"basis": b, "group": g, "tickers": 2, "skill": s, "low": s - 0.02, "high": s + 0.02, "p": 0.2}
        | {"p_adjusted": 0.4, "n": 24, "n_eff": 12.0, "smallest_detectable": 0.03, "finding": "no evidence"}
        | {"reason": ""}
        for b, g, s in (("market", "XNYS", 0.01), ("market", "XLON", 0.004), ("regime at the cutoff", "high", -0.02))
    ]
    grouped.append(
        dict.fromkeys(grouped[0], np.nan)
        | {"basis": "dollar volume", "group": "", "tickers": 0, "n": 0, "p": 1.0, "finding": "not tested"}
        | {"reason": "no market has 6 tickers with a known volume"}
    )
    ranked = [
        {"market": "XNYS", "model": m, "step": h, "tickers": 24, "ic": 0.02, "low": -0.01, "high": 0.05, "icir": 0.1}
        | {
            "p": 0.2,
            "p_adjusted": 0.6,
            "parts": 5,
            "spread": 0.12,
            "spread_p": 0.3,
            "turnover": 0.4,
            "n": 24,
            "n_eff": 12.0,
        }
        | {"smallest_detectable": 0.05, "finding": "no evidence", "reason": ""}
        for m in models
        for h in (1, 5, 20)
    ]
    leant = [
        {"model": m, "covariate": "VIX", "step": h, "rise": 0.01, "low": -0.01, "high": 0.03, "p": 0.2, "n": 24}
        | {"p_adjusted": 0.6, "n_eff": 12.0, "smallest_detectable": 0.03, "finding": "no evidence", "reason": ""}
        for m in models
        for h in ("all", "1", "2")
    ]
    together = [
        {"pool": "XNYS", "score": s, "against": a, "tickers": 4, "own": 0.9, "other": 1.0, "effect": 0.1, "low": 0.04}
        | {"high": 0.16, "p": 0.002, "n": 24, "n_eff": 12.0, "finding": "better", "reason": ""}
        for s in ("energy", "variogram")
        for a in ("independent", "gjr_fhs")
    ]
    more = {
        "joint": together,
        "newcomers": study.forecasts.head(40),
        "importance": leant,
        "pairs": against,
        "energy": drawn,
        "misses": missed_most,
        "groups": grouped,
        "cross_section": ranked,
    }
    spec = study.experiment.verdict
    markets = {t.ticker: t.market for t in study.tickers if t.status == "ok"}
    more |= dict(
        zip(
            ("risk", "risk_scores"),
            risk_tables(study.forecasts, spec, every=10, horizon=20, markets=markets),
            strict=True,
        )
    )
    made = more | {
        "scorecard": card,
        "coverage": held,
        "reliability": reliable,
        "pit": pit,
        "calibration_tests": tested,
    }
    made |= {"exceedances": missed, "sharpness": width, "tests": other, "confidence_set": chosen}
    return {name: pd.DataFrame(rows) for name, rows in (made | {"fluctuation": moving, "shrinkage": luck}).items()}


def recalibration(weights: pd.DataFrame) -> pd.DataFrame:
    """In force from the third cutoff on, at the first step."""
    first = weights[["market", "cutoff", "matured"]].drop_duplicates(ignore_index=True)
    force = {"factor": np.where(first["matured"] > 1, 1.06, 1.0), "gain": 0.4, "e_value": 1.3, "used": True}
    return first.assign(steps="1", independent=first["matured"], **force)
