"""Latent experiment: records of detection and of scenarios, and the Result made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from s2squant.experiments.latent_energy import OURS
from s2squant.experiments.result import Goal, Result, counted
from s2squant.report.sections import Lines, Section
from s2squant.series.arrays import Floats

Fault = Literal["volatility x 3", "stuck price", "level jump"]
FAULTS: tuple[Fault, ...] = ("volatility x 3", "stuck price", "level jump")
LAGS = (1, 2, 5, 10)


@dataclass(frozen=True)
class Detection:
    """How well each score tells faulty windows from clean ones, and what it looks like."""

    auc: Mapping[str, Mapping[str, float]]
    scores: Mapping[str, Floats]
    """Quantiles of the autoencoder's score, 0 to 100 %."""
    examples: Mapping[Fault, tuple[Floats, Floats]]
    losses: tuple[float, ...]
    explained: tuple[float, ...]
    """Share of the variance of the returns and of their log sizes that the reconstruction holds."""
    trained: int
    tested: int


class Spread(NamedTuple):
    """A ticker's daily deviation, sample and drawn, and the ratio of their median absolute returns."""

    ticker: str
    sample: float
    drawn: float
    middle: float


class Clustering(NamedTuple):
    """Autocorrelations of absolute returns at `LAGS`, about the mean of all windows and about each one's own."""

    common: tuple[float, ...]
    own: tuple[float, ...]


@dataclass(frozen=True)
class Scenarios:
    """What the variational autoencoder's paths are like."""

    divergence: Floats
    spreads: tuple[Spread, ...]
    clustering: Mapping[str, Clustering]
    kurtosis: Mapping[str, float]
    losses: tuple[float, ...]
    paths: Floats
    fan: Mapping[str, Floats]


def latent_result(detection: Detection, scenarios: Scenarios, energy: pd.DataFrame) -> Result:
    """The experiment's result; `energy` as `latent_energy.energy_table` makes it."""
    auc, own = detection.auc["Autoencoder"], scenarios.clustering["drawn"]
    plain = detection.auc["The same measures, no network"]
    ratios = {s.ticker: s.drawn / s.sample for s in scenarios.spreads}
    pooled = float(np.exp(np.mean([np.log(ratio) for ratio in ratios.values()])))
    off = max(abs(ratio - 1) for ratio in [*ratios.values(), pooled])
    worst, kl = min(auc.values()), float(scenarios.divergence.sum())
    return Result(
        "Autoencoders on return windows",
        "Does an autoencoder find planted faults in real returns, and does a variational one draw paths like them? A "
        "window is forty daily log returns in units of the deviation known before it. Training sees the first 70 % of "
        "each ticker's bars. Each test window, from the rest, is scored as it is and with a fault at a random place: "
        "all returns times three, a price that does not move for ten days and then catches up, or one return moved by "
        "eight deviations. The autoencoder reads sign and log(1 + size), and the log of the size; its score is the "
        "largest of three errors in robust units. The variational one draws a code of four numbers and then day after "
        "day a Student-t return given the code and the days before.",
        "The autoencoder's reconstruction error tells windows with a planted fault from the same windows without at an "
        f"AUC of {worst:.3f} or more, and over all faults together of {auc['all together']:.3f}; the same measures of "
        f"the windows themselves, without a network, have {plain['all together']:.3f}. {_verdict(auc, plain)} The "
        f"variational autoencoder's code holds {kl:.2f} nats of a window, and its "
        f"paths have {pooled:.2f} times the sample's volatility and clusters of it. {_beside(energy)}",
        {"windows trained on": detection.trained, "windows tested": detection.tested},
        (
            Goal("AUC at least 0.9, each and all", worst, "at least", 0.9, "0.5 is chance"),
            Goal("KL at least 0.3 nats", kl, "at least", 0.3, "a collapsed posterior has none"),
            Goal("volatility within 15 %, every ticker", off, "at most", 0.15, "the sample's, drawn on the same days"),
            Goal("absolute returns autocorrelated", min(own.common[0], own.own[0]), "above", 0.0, "lag 1, both means"),
        ),
        (
            Section(
                "Planted faults",
                f"On all faults together the autoencoder has {auc['all together']:.3f}, and the same measures of the "
                f"windows themselves, without a network, {plain['all together']:.3f}.",
                table=pd.DataFrame([{"score": name, **areas} for name, areas in detection.auc.items()]),
                formats=dict.fromkeys((*FAULTS, "all together"), ".3f"),
                caption="Area under the ROC curve: faulty windows against the same windows without the fault.",
                lines=_windows(detection),
            ),
            Section(
                "Volatility of the scenarios",
                table=pd.DataFrame([{**s._asdict(), "ratio": s.drawn / s.sample} for s in scenarios.spreads]),
                labels={"middle": "Ratio of the median sizes"},
                formats={"sample": ".3%", "drawn": ".3%", "ratio": ".3f", "middle": ".3f"},
                caption="Standard deviation of daily log returns. Scenarios start from the deviation known on each "
                "day, which overshoots after a shock: ratios of deviations lie above those of the median sizes.",
                lines=_paths(scenarios),
            ),
            Section(
                "Scenarios as forecasts",
                _beside(energy),
                table=energy,
                labels={
                    "gain": "gain on historical simulation",
                    "gain_on_rival": "gain on GJR-FHS",
                    "se": "its s.e.",
                },
                formats={"energy": ".4f", "gain": "+.2%", "gain_on_rival": "+.2%", "se": ".2%", "p": ".3f"},
                caption="Energy scores of whole paths, twenty steps from later origins that share no bar, lower is "
                "better; each model fitted once. Gains are relative to historical simulation and averaged by date.",
            ),
        ),
        {
            "auc": dict(auc),
            "energy": energy.round(6).to_dict(orient="records"),
            "auc_of_others": {name: dict(areas) for name, areas in detection.auc.items() if name != "Autoencoder"},
            "kl_nats": kl,
            "kl_nats_by_number": [float(one) for one in scenarios.divergence],
            "volatility_ratio": pooled,
            "volatility_ratio_by_ticker": ratios,
            "autocorrelation_of_absolute_returns": {
                name: {"lags": list(LAGS), "about_the_common_mean": list(c.common), "about_each_window": list(c.own)}
                for name, c in scenarios.clustering.items()
            },
            "kurtosis": dict(scenarios.kurtosis),
            "variance_explained": {"returns": detection.explained[0], "log sizes": detection.explained[1]},
            "windows": {"trained on": detection.trained, "tested": detection.tested},
        },
    )


def _verdict(auc: Mapping[str, float], plain: Mapping[str, float]) -> str:
    """Whether the network is worth having for faults."""
    gain = auc["all together"] - plain["all together"]
    if gain <= 0:
        return "So the network adds nothing, and no report and no check of prices uses it."
    return f"So the network adds {gain:.3f}."


def _beside(energy: pd.DataFrame) -> str:
    ours = energy.loc[energy["model"] == OURS].iloc[0]
    return (
        f"As forecasts, by the energy score over {ours['dates']} dates, scenarios gain {ours['gain']:+.2%} on "
        f"historical simulation and {ours['gain_on_rival']:+.2%} (s.e. {ours['se']:.2%}) on GJR-FHS."
    )


def _windows(detection: Detection) -> tuple[Lines, ...]:
    share = np.linspace(0, 100, len(detection.scores["clean"]))
    scores = {name: (quantiles, share) for name, quantiles in detection.scores.items()}
    return (
        Lines("Scores of clean and of faulty windows", "Score", "Windows below, %", scores),
        *(
            Lines(
                f"A window with {fault}",
                "Return of the window",
                "Sign and log(1 + size)",
                {"window": counted(window), "reconstruction": counted(again)},
            )
            for fault, (window, again) in detection.examples.items()
        ),
        Lines("Autoencoder: mean squared error", "Step", "Loss", {"loss": counted(detection.losses)}),
    )


def _paths(scenarios: Scenarios) -> tuple[Lines, ...]:
    lags = np.array(LAGS)
    common = {name: (lags, np.array(c.common)) for name, c in scenarios.clustering.items()}
    own = {name: (lags, np.array(c.own)) for name, c in scenarios.clustering.items()}
    drawn = {f"path {k}": counted(path) for k, path in enumerate(scenarios.paths, 1)}
    fan = {name: counted(levels[2]) for name, levels in scenarios.fan.items()}
    bands = {name: (levels[0], levels[-1]) for name, levels in scenarios.fan.items()}
    shuffled = "Forty independent returns would show -1/40, as the shuffled ones do."
    of = "Autocorrelation of absolute returns"
    return (
        Lines(f"{of} about the mean of all windows", "Lag, days", "Autocorrelation", common),
        Lines(f"{of} about each window's mean", "Lag, days", "Autocorrelation", own, caption=shuffled),
        Lines("Cumulative return of six paths", "Day", "Deviations known at the start", drawn),
        Lines("Median and 90 % band", "Day", "Deviations known at the start", fan, bands=bands),
        Lines("Variational autoencoder: negative bound", "Step", "Nats", {"loss": counted(scenarios.losses)}),
    )
