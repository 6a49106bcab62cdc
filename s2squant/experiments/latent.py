"""The relatives on real returns: an autoencoder that finds planted faults, a variational one that draws scenarios.

Shape legend: N windows, L returns of a window, S paths.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from s2squant.config.experiment import Universe
from s2squant.config.relatives import AutoencoderSpec, VariationalSpec
from s2squant.errors import CallerError
from s2squant.experiments.latent_energy import energies, energy_table
from s2squant.experiments.latent_result import (
    FAULTS,
    LAGS,
    Clustering,
    Detection,
    Fault,
    Scenarios,
    Spread,
    latent_result,
)
from s2squant.experiments.result import Progress, Result, done_by_cost
from s2squant.forecasters.scenarios import (
    MEASURES,
    FittedWatch,
    ReturnWindows,
    described,
    error_measures,
    fit_scenarios,
    fit_watch,
    return_windows,
)
from s2squant.prices.universe import load_universe
from s2squant.runs.engines.local import map_jobs
from s2squant.series.arrays import Floats
from s2squant.series.history import PriceHistory
from s2squant.series.panel import Panel

LENGTH = 40
TRAINED = 0.7
"""Share of each ticker's bars that training sees; the faults are planted in later ones."""
WARM = 250
STUCK = 10
JUMP = 8.0
LOUDER = 3.0
PATHS = 4
QUICK_STEPS = 60


@dataclass(frozen=True)
class Split:
    """Training windows, which overlap; test windows, which hardly do; and each ticker's, for the generator."""

    train: ReturnWindows
    test: ReturnWindows
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Task:
    """One of the two networks, or the energy scores of the second's paths."""

    histories: tuple[PriceHistory, ...]
    kind: Literal["autoencoder", "variational", "energy"]
    quick: bool
    seed: int


def run(progress: Progress, *, quick: bool = False, seed: int = 0, workers: int | None = None) -> Result:
    """Fit both on the embedded sample and measure what they are for."""
    progress("the sample is read", 0.0)
    histories = load_universe(Universe()).histories
    if not histories:
        raise CallerError("the embedded sample holds no price history; install s2squant again")
    tasks = [Task(histories, kind, quick, seed) for kind in ("energy", "variational", "autoencoder")]
    progress("both are trained", 0.05)
    labels = ["scenarios beside GJR-FHS", "the variational autoencoder", "the autoencoder"]
    on_done = done_by_cost(progress, labels, [2.0, 1.0, 1.0])
    outcomes = map_jobs(carry_out, tasks, workers=workers, on_done=on_done)
    scores = next(outcome for outcome in outcomes if isinstance(outcome, pd.DataFrame))
    scenarios = next(outcome for outcome in outcomes if isinstance(outcome, Scenarios))
    detection = next(outcome for outcome in outcomes if isinstance(outcome, Detection))
    return latent_result(detection, scenarios, energy_table(scores))


def carry_out(task: Task) -> Detection | Scenarios | pd.DataFrame:
    """Train one network and measure it."""
    match task.kind:
        case "autoencoder":
            return detect(make_split(task.histories), task)
        case "variational":
            return generate(make_split(task.histories), task)
        case "energy":
            steps = QUICK_STEPS if task.quick else VariationalSpec().steps
            return energies(task.histories, trained=TRAINED, warm=WARM, steps=steps, seed=task.seed)


def make_split(histories: Sequence[PriceHistory]) -> Split:
    """Windows of all tickers, those of the last bars kept from training."""
    panels = tuple(Panel((history,)) for history in histories)
    train = [_windows(panel, 0.0, TRAINED, every=5) for panel in panels]
    test = [_windows(panel, TRAINED, 1.0, every=LENGTH // 2) for panel in panels]
    return Split(_joined(train), _joined(test), panels)


def detect(split: Split, task: Task) -> Detection:
    """How well the reconstruction error tells windows with a planted fault from the same ones without."""
    watch = fit_watch(split.train, AutoencoderSpec(steps=QUICK_STEPS if task.quick else 400), seed=task.seed)
    clean_NL = split.test.returns_NL
    planted = {fault: plant(clean_NL, fault, np.random.default_rng(task.seed)) for fault in FAULTS}
    level = _log_level(split.train.returns_NL)
    centre, spread = np.median(level), 1.4826 * np.median(np.abs(level - np.median(level)))
    scores: dict[str, Callable[[Floats], Floats]] = {
        "Autoencoder": watch.score,
        **{f"Autoencoder, {name}": _column(watch.measures, k) for k, name in enumerate(MEASURES)},
        "Autoencoder, mean square alone": lambda x_NL: np.mean(_missed(watch, x_NL) ** 2, axis=(1, 2)),
        "Volatility, high or low": lambda x_NL: np.abs(_log_level(x_NL) - centre) / spread,
        "Volatility, high": lambda x_NL: (_log_level(x_NL) - centre) / spread,
        "Largest return": lambda x_NL: np.abs(x_NL).max(axis=1),
        "The same measures, no network": _without_network(split.train.returns_NL),
    }
    auc = {name: areas(score, clean_NL, planted) for name, score in scores.items()}
    shown = {fault: _example(watch, planted[fault]) for fault in FAULTS}
    quantiles = np.linspace(0, 1, 101)
    spread_of = {"clean": np.quantile(watch.score(clean_NL), quantiles)}
    spread_of |= {fault: np.quantile(watch.score(x_NL), quantiles) for fault, x_NL in planted.items()}
    return Detection(
        auc=auc,
        scores=spread_of,
        examples=shown,
        losses=watch.losses,
        explained=_explained(watch, clean_NL),
        trained=len(split.train.rows_N),
        tested=len(clean_NL),
    )


def _missed(watch: FittedWatch, returns_NL: Floats) -> Floats:
    missed_NLF: Floats = watch.reconstruct(returns_NL) - described(returns_NL).numpy()
    return missed_NLF


def _explained(watch: FittedWatch, returns_NL: Floats) -> tuple[float, ...]:
    """The share of the variance of each described value that the reconstruction holds."""
    x_NLF = described(returns_NL).numpy()
    return tuple(
        float(part) for part in 1 - (_missed(watch, returns_NL) ** 2).mean(axis=(0, 1)) / x_NLF.var(axis=(0, 1))
    )


def _without_network(train_NL: Floats) -> Callable[[Floats], Floats]:
    """The autoencoder's score, had it always said the training windows' mean: what the network itself adds."""
    mean_1LF = described(train_NL).numpy().mean(axis=0, keepdims=True)
    errors_NE = error_measures(described(train_NL).numpy() - mean_1LF)
    centre_E = np.median(errors_NE, axis=0)
    spread_E = 1.4826 * np.median(np.abs(errors_NE - centre_E), axis=0)
    return lambda x_NL: ((error_measures(described(x_NL).numpy() - mean_1LF) - centre_E) / spread_E).max(axis=1)


def areas(score: Callable[[Floats], Floats], clean_NL: Floats, planted: dict[Fault, Floats]) -> dict[str, float]:
    """The area under the ROC curve of each fault's windows against the clean ones, and of all together."""
    clean_N, of = score(clean_NL), {fault: score(x_NL) for fault, x_NL in planted.items()}
    each: dict[str, float] = {fault: _auc(clean_N, scores_N) for fault, scores_N in of.items()}
    return {**each, "all together": _auc(clean_N, np.concatenate(list(of.values())))}


def plant(returns_NL: Floats, fault: Fault, draw: np.random.Generator) -> Floats:
    """The windows with a fault in each; returns in units of the deviation known before the window."""
    count, length = returns_NL.shape
    planted = returns_NL.copy()
    match fault:
        case "volatility x 3":
            planted *= LOUDER
        case "stuck price":
            first_N = draw.integers(0, length - STUCK, count)
            at_NS = first_N[:, None] + np.arange(STUCK + 1)
            caught_up_N = np.take_along_axis(planted, at_NS, axis=1).sum(axis=1)
            np.put_along_axis(planted, at_NS, 0.0, axis=1)
            planted[np.arange(count), first_N + STUCK] = caught_up_N
        case "level jump":
            planted[np.arange(count), draw.integers(0, length, count)] += JUMP * draw.choice([-1.0, 1.0], count)
    return planted


def generate(split: Split, task: Task) -> Scenarios:
    """What the variational autoencoder draws, beside the windows it was fitted on and those kept from it."""
    spec = VariationalSpec(steps=QUICK_STEPS if task.quick else 1_000)
    model = fit_scenarios(split.train, spec, seed=task.seed)
    drawn_SL = model.draw(20_000, seed=task.seed)
    spreads = []
    for panel in split.panels:
        windows = _windows(panel, 0.0, 1.0, every=10)
        paths_NSL = model.simulate(panel, windows.rows_N, paths=PATHS, seed=task.seed)
        drawn = np.diff(paths_NSL, axis=2, prepend=0.0)
        real = windows.returns_NL * windows.unit_N[:, None]
        size = float(np.median(np.abs(drawn)) / np.median(np.abs(real)))
        spreads.append(Spread(panel.tickers[0], float(real.std()), float(drawn.std()), size))
    ends = np.cumsum(drawn_SL, axis=1)
    levels = (0.05, 0.25, 0.5, 0.75, 0.95)
    fan = {
        name: np.quantile(paths, levels, axis=0)
        for name, paths in (("drawn", ends), ("sample", np.cumsum(split.train.returns_NL, axis=1)))
    }
    return Scenarios(
        divergence=model.divergence(split.test.returns_NL).mean(axis=0),
        spreads=tuple(spreads),
        clustering={
            "sample, trained on": clustering(split.train.returns_NL),
            "sample, later": clustering(split.test.returns_NL),
            "drawn": clustering(drawn_SL),
            "drawn, in any order": clustering(
                np.random.default_rng(task.seed).permuted(drawn_SL.ravel()).reshape(drawn_SL.shape)
            ),
        },
        kurtosis={"sample": _kurtosis(split.train.returns_NL), "drawn": _kurtosis(drawn_SL)},
        losses=model.losses,
        paths=ends[:6],
        fan=fan,
    )


def clustering(returns_NL: Floats) -> Clustering:
    """Autocorrelation of absolute returns at `LAGS`: about the mean of all windows, and about each window's own.

    The second is biased by about -1 / L; in windows of independent returns it is negative.
    """
    size_NL = np.abs(returns_NL)
    return Clustering(
        _autocorrelation(size_NL - size_NL.mean()), _autocorrelation(size_NL - size_NL.mean(1, keepdims=True))
    )


def _autocorrelation(x_NL: Floats) -> tuple[float, ...]:
    return tuple(float((x_NL[:, :-lag] * x_NL[:, lag:]).mean() / (x_NL**2).mean()) for lag in LAGS)


def _windows(panel: Panel, first: float, end: float, *, every: int) -> ReturnWindows:
    """Windows whose returns lie in this share of a ticker's bars."""
    bars = len(panel.log_price)
    rows = np.arange(max(WARM, int(first * bars)), int(end * bars) - LENGTH, every)
    return return_windows(panel, rows, LENGTH)


def _joined(parts: Sequence[ReturnWindows]) -> ReturnWindows:
    return ReturnWindows(
        np.concatenate([p.rows_N for p in parts]),
        np.concatenate([p.unit_N for p in parts]),
        np.concatenate([p.returns_NL for p in parts]),
    )


def _log_level(returns_NL: Floats) -> Floats:
    level_N: Floats = np.log(np.maximum(returns_NL.std(axis=1), 1e-6))
    return level_N


def _column(measures: Callable[[Floats], Floats], k: int) -> Callable[[Floats], Floats]:
    return lambda x_NL: measures(x_NL)[:, k]


def _auc(clean_N: Floats, faulty_N: Floats) -> float:
    labels = np.repeat([0, 1], [len(clean_N), len(faulty_N)])
    return float(roc_auc_score(labels, np.concatenate([clean_N, faulty_N])))


def _example(watch: FittedWatch, x_NL: Floats) -> tuple[Floats, Floats]:
    """A window of middling score and what the autoencoder makes of it, as it reads returns (L,)."""
    middle = int(np.argsort(watch.score(x_NL))[len(x_NL) // 2])
    one_1L = x_NL[middle : middle + 1]
    return described(one_1L).numpy()[0, :, 0], watch.reconstruct(one_1L)[0, :, 0]


def _kurtosis(returns_NL: Floats) -> float:
    centred = returns_NL - returns_NL.mean()
    return float((centred**4).mean() / (centred**2).mean() ** 2)
