"""What a run says of itself: where its numbers come from, and what became of it."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from s2squant import __version__
from s2squant.config.experiment import Experiment
from s2squant.evaluation.results import Study
from s2squant.files import json_values
from s2squant.forecasters.plugins import code_of
from s2squant.series.history import PriceHistory

PACKAGES = ("torch", "numpy", "pandas", "scipy", "arch", "pyarrow", "safetensors", "prefect", "yfinance")


def provenance(
    experiment: Experiment,
    histories: Mapping[str, PriceHistory],
    *,
    command: str,
    engine: str,
    workers: int,
    timings: Mapping[str, float],
) -> dict[str, Any]:
    """Versions, seeds, price hashes, the command, and `timings` in seconds."""
    packages = {package: metadata.version(package) for package in PACKAGES}
    return {
        "command": command,
        "versions": {"s2squant": __version__, "python": platform.python_version(), **packages},
        "platform": platform.platform(),
        "seed": experiment.seed,
        "engine": engine,
        "workers": workers,
        "quantile_levels": "0.025 .. 0.975 by 0.025",
        "crps": "2 x mean pinball loss over the levels, % log return",
        "own": code_of(experiment.forecasters.own_models, experiment.forecasters.features),
        "prices": {ticker: history.sha256 for ticker, history in sorted(histories.items())},
        "timings": dict(timings),
    }


def headline(study: Study) -> dict[str, Any]:
    """The skill that the verdict is about, with its 95 % interval; empty where it was not scored."""
    chosen, board = study.experiment.verdict, study.leaderboard
    mine = board[board["model"] == chosen.recommended]
    if mine.empty:
        return {}
    names = {"skill": "effect", "low": "effect_low", "high": "effect_high"}
    figures = {name: float(mine[column].iloc[0]) for name, column in names.items()}
    plain: dict[str, Any] = json_values({"challenger": chosen.recommended, "reference": chosen.reference} | figures)
    return plain


def manifest(study: Study) -> dict[str, Any]:
    """A finished run as plain values: status, verdict, folds, what became of each ticker, provenance."""
    return {
        "status": study.status,
        "run_id": study.run_id,
        "created_at": study.created_at,
        "finished_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "sentence": study.sentence,
        "word": study.word,
        "headline": headline(study),
        "folds": [
            {
                "market": fold.market,
                "number": fold.number,
                "train_start": str(fold.train_start),
                "fit_date": str(fold.fit_date),
                "first_cutoff": str(fold.cutoffs[0]),
                "last_cutoff": str(fold.cutoffs[-1]),
                "cutoffs": len(fold.cutoffs),
                "purge_bars": fold.horizon,
            }
            for fold in study.folds
        ],
        "tickers": {r.ticker: {k: v for k, v in asdict(r).items() if k != "ticker"} for r in study.tickers},
        "failed_models": dict(study.failed_models),
        **study.provenance,
    }


def by_another(version: str) -> str:
    """What to say of a folder that cannot be read: which version wrote it; empty where that is this one."""
    return "" if version == __version__ else f"; s2squant {version} wrote it, and this is {__version__}"
