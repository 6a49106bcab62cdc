"""Made-up tables of a portfolio: two tickers of one market, walked forward and expected."""

from __future__ import annotations

import numpy as np
import pandas as pd

from s2squant.evaluation.portfolio.walk import COLUMNS
from s2squant.evaluation.results import Portfolio


def portfolio(names: list[str], cutoffs: list[str], risk: pd.DataFrame) -> Portfolio:
    made = [
        dict.fromkeys(COLUMNS, np.nan)
        | {"pool": "XNYS", "rule": "equal", "against": a, "first": "2020-01-02", "last": "2023-12-29", "bars": 900}
        | {"years": 4.0, "annual_return": 0.05, "volatility": 0.16, "sharpe": 0.3, "turnover": 1.2, "trials": 3}
        | {"finding": f, "reason": ""}
        for a, f in (("", ""), ("inverse_volatility", "no evidence"), ("buy_and_hold", "worse"))
    ]
    expected = [
        {"step": s, "mean": 0.001, "volatility": 0.02, "fall": 0.47, "var_95": 0.03, "es_95": 0.04, "var_99": 0.05}
        | {"es_99": 0.06, "low_80": -0.02, "median": 0.001, "high_80": 0.02, "drawdown_median": 0.01}
        | {"drawdown_95": 0.05, "diversification": 0.3, "pool": "XNYS", "cutoff": cutoffs[-1]}
        for s in (1, 10, 20)
    ]
    parts = [
        {"unique_id": n, "weight": 0.5, "es_alone": 0.06, "contribution": 0.02, "share": 0.5, "pool": "XNYS"}
        | {"cutoff": cutoffs[-1]}
        for n in names[:2]
    ]
    weights = [{"pool": "XNYS", "cutoff": c, "unique_id": n, "weight": 0.5} for c in cutoffs for n in names[:2]]
    days = pd.date_range("2020-01-02", periods=900, freq="B").as_unit("s")
    curve = [
        pd.DataFrame({"pool": "XNYS", "rule": r, "date": days, "net": 0.0001, "equity": 1 + 0.0001 * np.arange(900)})
        for r in ("own", "inverse_volatility", "buy_and_hold")
    ]
    mine = risk[risk["unique_id"] == names[0]].assign(unique_id="portfolio of XNYS")
    return Portfolio(
        walked=pd.DataFrame(made),
        weights=pd.DataFrame(weights),
        equity=pd.concat(curve, ignore_index=True),
        risk=mine.reset_index(drop=True),
        outlook=pd.DataFrame(expected),
        parts=pd.DataFrame(parts),
        refused={"VOD.L": "its price is in GBP, and no rate to USD is among the tickers"},
    )
