"""The figures of the latent experiment and the page that shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from s2squant.report.sections import ExperimentPage, Lines, Section
from s2squant.series.arrays import Floats

Fault = Literal["volatility x 3", "stuck price", "level jump"]
FAULTS: tuple[Fault, ...] = ("volatility x 3", "stuck price", "level jump")
LAGS = (1, 2, 5, 10)
GOALS = {"auc": 0.9, "kl": 0.3, "volatility": 0.15}


@dataclass(frozen=True)
class Found:
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
class Drawn:
    """What the variational autoencoder's paths are like."""

    divergence: Floats
    spreads: tuple[Spread, ...]
    clustering: Mapping[str, Clustering]
    kurtosis: Mapping[str, float]
    losses: tuple[float, ...]
    paths: Floats
    fan: Mapping[str, Floats]


def figures(found: Found, drawn: Drawn) -> dict[str, Any]:
    """What `result.json` holds."""
    auc = found.auc["Autoencoder"]
    ratios = {s.ticker: s.drawn / s.sample for s in drawn.spreads}
    ours = drawn.clustering["drawn"]
    return {
        "auc": dict(auc),
        "auc_of_others": {name: dict(areas) for name, areas in found.auc.items() if name != "Autoencoder"},
        "kl_nats": float(drawn.divergence.sum()),
        "kl_nats_by_number": [float(kl) for kl in drawn.divergence],
        "volatility_ratio": _pooled(drawn.spreads),
        "volatility_ratio_by_ticker": ratios,
        "autocorrelation_of_absolute_returns": {
            name: {"lags": list(LAGS), "about_the_common_mean": list(c.common), "about_each_window": list(c.own)}
            for name, c in drawn.clustering.items()
        },
        "kurtosis": dict(drawn.kurtosis),
        "variance_explained": {"returns": found.explained[0], "log sizes": found.explained[1]},
        "goals_met": {
            "AUC at least 0.9, each and all": min(auc.values()) >= GOALS["auc"],
            "KL at least 0.3 nats": float(drawn.divergence.sum()) >= GOALS["kl"],
            "volatility within 15 %, every ticker": max(abs(r - 1) for r in [*ratios.values(), _pooled(drawn.spreads)])
            <= GOALS["volatility"],
            "absolute returns autocorrelated": min(ours.common[0], ours.own[0]) > 0,
        },
        "windows": {"trained on": found.trained, "tested": found.tested},
    }


def latent_page(found: Found, drawn: Drawn) -> ExperimentPage:
    """The page of the experiment."""
    auc, kl = found.auc["Autoencoder"], float(drawn.divergence.sum())
    lead = (
        f"The autoencoder's reconstruction error tells windows with a planted fault from the same windows without at "
        f"an AUC of {min(auc.values()):.3f} or more. The variational autoencoder's code holds {kl:.2f} nats of a "
        f"window, and its paths have {_pooled(drawn.spreads):.2f} times the sample's volatility and clusters of it."
    )
    return ExperimentPage(
        title="Autoencoders on return windows",
        lead=lead,
        sections=(
            _faults(found),
            _faulty(found),
            _volatility(drawn),
            _clusters(drawn),
            _paths(drawn),
            _code(drawn),
            _training(found, drawn),
            _definition(found),
        ),
        command="s2squant reproduce latent",
        facts={"windows trained on": found.trained, "windows tested": found.tested},
    )


def _faults(found: Found) -> Section:
    table = pd.DataFrame([{"score": name, **areas} for name, areas in found.auc.items()])
    auc, plain = found.auc["Autoencoder"], found.auc["The same measures, no network"]
    volatility = found.auc["Volatility, high or low"]
    return Section(
        heading="Planted faults",
        takeaway=(
            f"All three faults are found (AUC {min(auc.values()):.3f} to {max(auc.values()):.3f}); a volatility "
            f"z-score misses the stuck price ({volatility['stuck price']:.3f}). On all together the autoencoder has "
            f"{auc['all together']:.3f}, and the same three measures of the windows themselves, without a network, "
            f"{plain['all together']:.3f}: what is measured finds them, not what the network has learned."
        ),
        table=table,
        labels={"score": "Score"},
        formats=dict.fromkeys((*FAULTS, "all together"), ".3f"),
        caption="Area under the ROC curve: faulty windows against the same windows without the fault. 0.5 is chance.",
    )


def _faulty(found: Found) -> Section:
    share = np.linspace(0, 100, len(found.scores["clean"]))
    curves = {name: (np.asarray(scores), share) for name, scores in found.scores.items()}
    examples = tuple(
        Lines(
            f"A window with {fault}",
            "Return of the window",
            "Sign and log(1 + size)",
            {
                "window": (np.arange(1, len(x) + 1), x),
                "reconstruction": (np.arange(1, len(x) + 1), made),
            },
        )
        for fault, (x, made) in found.examples.items()
    )
    return Section(
        heading="What an unusual window looks like",
        takeaway=(
            f"The reconstruction holds {100 * found.explained[0]:.0f} % of the variance of returns and "
            f"{100 * found.explained[1]:.0f} % of that of their log sizes: returns cannot be pressed into six numbers, "
            "and what is seen is a fault's own shape."
        ),
        lines=(
            Lines(
                "Scores of clean and of faulty windows",
                "Score",
                "Windows below, %",
                curves,
                caption="The largest of three errors, each in robust deviations of the training windows' own.",
            ),
            *examples,
        ),
    )


def _volatility(drawn: Drawn) -> Section:
    table = pd.DataFrame(
        [{**s._asdict(), "ratio": s.drawn / s.sample} for s in drawn.spreads],
    )
    ratios = table["ratio"]
    return Section(
        heading="Volatility of the scenarios",
        takeaway=(
            f"Drawn from the same days as the sample's windows, paths have {_pooled(drawn.spreads):.3f} times the "
            f"sample's standard deviation together, {ratios.min():.3f} to {ratios.max():.3f} times ticker by ticker."
        ),
        table=table,
        labels={
            "ticker": "Ticker",
            "sample": "Sample, a day",
            "drawn": "Drawn, a day",
            "ratio": "Ratio",
            "middle": "Ratio of the median sizes",
        },
        formats={"sample": ".3%", "drawn": ".3%", "ratio": ".3f", "middle": ".3f"},
        caption=(
            "Standard deviation of daily log returns. Scenarios start from the deviation known on each day; that one "
            "overshoots after a shock, which the network does not know, so that ratios of deviations lie above those "
            "of the median sizes."
        ),
    )


def _clusters(drawn: Drawn) -> Section:
    lags = np.array(LAGS)
    own = drawn.clustering["drawn"]
    charts = [
        Lines(
            title,
            "Lag, days",
            "Autocorrelation",
            {name: (lags, np.array(getattr(c, field))) for name, c in drawn.clustering.items()},
            caption=caption,
        )
        for field, title, caption in (
            ("common", "About the mean of all windows", "Windows differ in their level, and days within a window."),
            (
                "own",
                "About each window's own mean",
                "Days within a window only; forty independent returns would show -1/40, as the shuffled ones do.",
            ),
        )
    ]
    return Section(
        heading="Clusters of volatility",
        takeaway=(
            f"Absolute returns of drawn paths are autocorrelated: {own.common[0]:+.3f} at lag 1 about the common mean, "
            f"{own.own[0]:+.3f} about each path's own; kurtosis {drawn.kurtosis['drawn']:.1f} "
            f"(sample {drawn.kurtosis['sample']:.1f}, one day of the Swiss franc in it)."
        ),
        lines=tuple(charts),
    )


def _paths(drawn: Drawn) -> Section:
    days = np.arange(1, drawn.paths.shape[1] + 1)
    fan = {name: (days, levels[2]) for name, levels in drawn.fan.items()}
    bands = {name: (levels[0], levels[-1]) for name, levels in drawn.fan.items()}
    return Section(
        heading="Paths",
        takeaway="Six of the drawn paths, and the band that holds 90 % of all, beside the sample's.",
        lines=(
            Lines(
                "Cumulative return, in deviations known at the start",
                "Day",
                "Deviations",
                {f"path {k + 1}": (days, path) for k, path in enumerate(drawn.paths)},
            ),
            Lines(
                "Median and 90 % band",
                "Day",
                "Deviations",
                fan,
                bands=bands,
                caption="Sample: the windows trained on.",
            ),
        ),
    )


def _code(drawn: Drawn) -> Section:
    return Section(
        heading="The code",
        takeaway=(
            f"The posterior is not collapsed: {drawn.divergence.sum():.2f} nats on windows kept from training. It "
            "stays where the free nats hold it: a decoder that reads the day before needs little more than that."
        ),
        table=pd.DataFrame({"number": np.arange(1, len(drawn.divergence) + 1), "kl": drawn.divergence}),
        labels={"number": "Number of the code", "kl": "KL from the prior, nats"},
        formats={"kl": ".3f"},
        caption="Mean over the test windows.",
    )


def _training(found: Found, drawn: Drawn) -> Section:
    return Section(
        heading="Training",
        lines=(
            _curve("Autoencoder: mean squared error", found.losses),
            _curve("Variational autoencoder: negative bound a window, its KL weighted, nats", drawn.losses),
        ),
    )


def _curve(title: str, losses: Sequence[float]) -> Lines:
    return Lines(title, "Step", "Loss", {"loss": (np.arange(1, len(losses) + 1), np.array(losses))})


def _definition(found: Found) -> Section:
    return Section(
        heading="How it is measured",
        paragraphs=(
            "A window is forty daily log returns in units of the deviation known before it (an exponentially weighted "
            "one of factor 0.06, at least 0.3 of the expanding one). Training sees the first 70 % of each ticker's "
            f"bars, {found.trained:,} overlapping windows; the {found.tested:,} test windows lie in the rest.",
            "Each test window is scored as it is and with a fault at a random place: all its returns times three; or a "
            "price that does not move for ten days and then catches up; or one return moved by eight deviations.",
            "The autoencoder reads sign and log(1 + size), and the log of the size, so that a price that does not move "
            "is as far from usual as one that moves too much. Its score is the largest of three errors (root mean "
            "square and largest of the first value, root mean square of the second), each as a log in robust units.",
            "The variational autoencoder draws a code of four numbers from a normal distribution and then day after "
            "day a Student-t return given the code and the days before. Its KL is weighted up over the first third of "
            "the fit, and the first nats of each number are free: without them the code goes unused.",
        ),
    )


def _pooled(spreads: Sequence[Spread]) -> float:
    """The ratio of the standard deviations, each ticker counting the same."""
    return float(np.exp(np.mean([np.log(s.drawn / s.sample) for s in spreads])))
