"""Pretrained weights: a forecast for any ticker from 60 bars on, with no fit of its own.

The anchor's bank and quantile table of an asset class, once for a ticker by itself and once for one among others, for
each age of a history in AGES and interpolated in log age between them. A young history knows its variance badly: the
table of that age was taken from histories that were cut to it, so that the bands are as wide as that asks for.

Shape legend: N origins, H steps, Q levels, K members, A ages, M tickers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from s2squant.config.asset_classes import DRIFT_PRIORS, AssetClass
from s2squant.config.models import Forecasters
from s2squant.config.pretrained import PretrainedSpec
from s2squant.errors import CheckpointError, ConfigError
from s2squant.files import embedded
from s2squant.forecasters.expected_return import Drifts, shrunk_drifts
from s2squant.forecasters.features import bank_members, scaled_returns
from s2squant.forecasters.pareto_tails import pareto_beyond
from s2squant.series.arrays import Floats, Ints
from s2squant.series.forecast import LEVELS, Forecast, State
from s2squant.series.history import PriceHistory
from s2squant.series.panel import Panel
from s2squant.series.states import load_state
from s2squant.series.windows import last_rows

NAME = "pretrained"
FORMAT = 1
LEAST_BARS = 60
AGES = (60, 120, 250, 500, 1000)
"""Bars of a history, its last included; the last age stands for all longer ones."""
BOUND = 5.0
"""As `forecasters.anchor.bound` is by default."""
PEERS, PEERS_BARS = 5, 250
"""The market's filters are read from so many tickers of a class on (with LEAST_BARS bars by then, itself included), and
by a ticker of so many bars: before, its place in its market is known too badly (docs/weights.md)."""
MEMBERS = {"alone": 16, "market": 24}
TAIL_SHAPE = 0.2
"""Of the Pareto tails beyond the outermost quantiles (reports/LOG.md)."""
CLASSES: tuple[AssetClass, ...] = ("stocks", "currencies")
"""Those that have weights."""


@dataclass(frozen=True)
class About:
    """What weights were trained on."""

    asset_class: AssetClass
    judged: bool
    tickers: tuple[str, ...]
    first: str
    """Day of the earliest bar of their training, as is `last` of the latest."""
    last: str
    sources: tuple[str, ...]
    prices: str
    """Content hash of all training prices."""
    version: str
    """Of s2squant."""


@dataclass(frozen=True)
class AgedBank:
    """Multipliers of the members and standardised quantiles, for each age."""

    weights_AHK: Floats
    table_AHQ: Floats

    def sd_and_table(self, members_NK: Floats, bars_N: Ints, horizon: int) -> tuple[Floats, Floats]:
        """Standard deviation (N, H) of the cumulative return in scaled units, and quantiles (N, H, Q) in units of it.

        Summed member by member, so that a row's value does not depend on which other rows are asked for.
        """
        variance_NH, table_NHQ = np.zeros((len(bars_N), horizon)), np.zeros((len(bars_N), horizon, len(LEVELS)))
        age_N = np.interp(np.log(bars_N), np.log(AGES), np.arange(len(AGES)))
        for a in range(len(AGES)):
            near_N = np.maximum(1.0 - np.abs(age_N - a), 0.0)
            at = np.flatnonzero(near_N)
            if len(at) == 0:
                continue
            for k in range(members_NK.shape[1]):
                variance_NH[at] += (near_N[at] * members_NK[at, k])[:, None] * self.weights_AHK[a, :horizon, k]
            table_NHQ[at] += near_N[at, None, None] * self.table_AHQ[a, :horizon]
        return np.sqrt(np.arange(1, horizon + 1) * variance_NH), table_NHQ


@dataclass(frozen=True)
class Weights:
    """Pretrained weights of one asset class."""

    about: About
    alone: AgedBank
    market: AgedBank

    @property
    def horizon(self) -> int:
        """The most steps they forecast."""
        return int(self.alone.weights_AHK.shape[1])

    def widening(self, bars: int, step: int) -> float:
        """Width of the 95 % band after `bars` bars over that of a long history, where all filters say the same."""
        at = np.array([bars, AGES[-1]])
        sd_2H, table_2HQ = self.alone.sd_and_table(np.ones((2, MEMBERS["alone"])), at, step)
        width_2 = sd_2H[:, -1] * (table_2HQ[:, -1, -1] - table_2HQ[:, -1, 0])
        return float(width_2[0] / width_2[1])

    def state(self) -> State:
        """As it is stored."""
        arrays = {
            "alone/weights": self.alone.weights_AHK.astype(np.float32),
            "alone/table": self.alone.table_AHQ.astype(np.float32),
            "market/weights": self.market.weights_AHK.astype(np.float32),
            "market/table": self.market.table_AHQ.astype(np.float32),
        }
        return State(arrays, {"kind": "weights", "format": FORMAT, "ages": list(AGES), "about": asdict(self.about)})

    @classmethod
    def restored(cls, state: State) -> Weights:
        """The weights that a state holds; raises CheckpointError where it holds none, or of another version."""
        meta = state.meta
        if meta.get("kind") != "weights":
            raise CheckpointError(f"a stored {meta.get('kind')!r} is no pretrained weights")
        if meta.get("format") != FORMAT or meta.get("ages") != list(AGES):
            raise CheckpointError(f"pretrained weights of format {meta.get('format')}, this version reads {FORMAT}")
        try:
            about = About(**meta["about"] | {name: tuple(meta["about"][name]) for name in ("tickers", "sources")})
        except (KeyError, TypeError):
            raise CheckpointError("pretrained weights that are not as this version writes them") from None
        banks = {}
        for kind, members in MEMBERS.items():
            bank = AgedBank(*(np.asarray(state.arrays[f"{kind}/{part}"], np.float64) for part in ("weights", "table")))
            steps = bank.weights_AHK.shape[1]
            shapes = (len(AGES), steps, members), (len(AGES), steps, len(LEVELS))
            if (bank.weights_AHK.shape, bank.table_AHQ.shape) != shapes:
                raise CheckpointError(f"pretrained weights whose {kind} bank has not the shapes {shapes}")
            if not (np.isfinite(bank.weights_AHK).all() and np.isfinite(bank.table_AHQ).all()):
                raise CheckpointError(f"pretrained weights whose {kind} bank is not finite")
            banks[kind] = bank
        return cls(about, banks["alone"], banks["market"])


def file_name(asset_class: AssetClass, *, judged: bool) -> str:
    """Where the weights of a class are, below data/weights."""
    return f"{asset_class}{'-judged' if judged else ''}.safetensors"


@cache
def load(asset_class: AssetClass, *, judged: bool = False) -> Weights:
    """The shipped weights of an asset class.

    Raises ConfigError for a class without any, CheckpointError for a file that is missing, damaged, or of another
    version.
    """
    if asset_class not in CLASSES:
        raise ConfigError(no_weights(asset_class))
    path = Path(str(embedded("weights"))) / file_name(asset_class, judged=judged)
    try:
        return Weights.restored(load_state(path))
    except CheckpointError as error:
        raise CheckpointError(f"{error}; install s2squant again") from None


def no_weights(asset_class: AssetClass) -> str:
    """Why a class cannot be forecast without a fit, in one line."""
    return f"no pretrained weights for {asset_class}, only for {' and '.join(CLASSES)}; fit a model of its own"


def pretrained_parts(models: Forecasters) -> dict[str, bool]:
    """Which pretrained weights the models read: whether judged, by the setting that makes them so."""
    parts: dict[str, bool] = {}
    if "pretrained" in models.models:
        parts["forecasters.pretrained.judged=true"] = models.pretrained.judged
    if "anchor" in models.models and models.anchor.prior != "none":
        parts['forecasters.anchor.prior="judged"'] = models.anchor.prior == "judged"
    return parts


def refusal(history: PriceHistory, horizon: int, *, judged: bool = False) -> str:
    """Why this ticker cannot be forecast with the shipped weights, or an empty text when it can."""
    if history.asset_class not in CLASSES:
        return no_weights(history.asset_class)
    if history.interval != "1d":
        return f"pretrained weights are of daily bars, and these are {history.interval}"
    if len(history) < LEAST_BARS:
        return f"too short: {len(history)} bars, {LEAST_BARS} are needed"
    most = load(history.asset_class, judged=judged).horizon
    return f"pretrained weights forecast at most {most} steps, not {horizon}" if horizon > most else ""


def excluded(history: PriceHistory, models: Forecasters, horizon: int) -> str:
    """Why the pretrained model, where it is one of the models, cannot forecast a ticker; an empty text if it can."""
    return refusal(history, horizon, judged=models.pretrained.judged) if "pretrained" in models.models else ""


def newest(histories: Sequence[PriceHistory], horizon: int, *, judged: bool = False) -> list[tuple[Panel, Forecast]]:
    """The forecast of each ticker from its last bar, market by market; each must be one that `refusal` lets pass."""
    markets: dict[str, list[PriceHistory]] = {}
    for history in histories:
        markets.setdefault(history.calendar, []).append(history)
    forecaster, forecasts = Pretrained(PretrainedSpec(judged=judged)), []
    for members in markets.values():
        panel = Panel(tuple(members))
        fitted = forecaster.fit(panel, np.arange(0), horizon=horizon, seed=0)
        forecasts.append((panel, fitted.predict(panel, last_rows(panel))))
    return forecasts


@dataclass(frozen=True)
class FittedPretrained:
    """Shipped weights of the classes of a market, and the drifts of its tickers."""

    weights: Mapping[AssetClass, Weights]
    drifts: Drifts
    horizon: int
    name: str = NAME

    def predict(self, panel: Panel, rows: Ints) -> Forecast:
        """Scale the quantile table by the bank's standard deviation and the ticker's unit; move it by the drift.

        Raises ConfigError for a ticker of a class without weights.
        """
        returns = scaled_returns(panel, LEAST_BARS, BOUND)
        unit_N, owner_N = returns.unit_M[panel.ticker_of[rows]], panel.ticker_of[rows]
        bars_N = panel.bar_number(rows) + 1
        class_M = [history.asset_class for history in panel.histories]
        banks: list[tuple[AgedBank, Ints]] = []
        market = False
        for name in sorted({class_M[m] for m in owner_N}):
            if name not in self.weights:
                raise ConfigError(no_weights(name))
            of_class = np.array([c == name for c in class_M])[owner_N]
            among = (peers(panel, rows, name) >= PEERS) & (bars_N >= PEERS_BARS)
            market |= bool((of_class & among).any())
            banks.append((self.weights[name].market, np.flatnonzero(of_class & among)))
            banks.append((self.weights[name].alone, np.flatnonzero(of_class & ~among)))
        order = np.argsort(rows, kind="stable")
        members_NK = np.empty((len(rows), MEMBERS["market" if market else "alone"]))
        members_NK[order] = bank_members(panel, returns, market=market, ranges=False, asked=rows[order])
        quantiles = np.empty((len(rows), self.horizon, len(LEVELS)))
        for bank, at in banks:
            if len(at):
                own_NK = members_NK[at, : bank.weights_AHK.shape[2]]
                sd_NH, table_NHQ = bank.sd_and_table(own_NK, bars_N[at], self.horizon)
                quantiles[at] = (sd_NH * unit_N[at, None])[:, :, None] * table_NHQ
        drift = self._drift_M(panel)[owner_N][:, None] * np.arange(1, self.horizon + 1)
        quantiles += drift[:, :, None]
        return Forecast(self.name, rows, quantiles, drift, tails_NHT=pareto_beyond(quantiles, TAIL_SHAPE))

    def _drift_M(self, panel: Panel) -> Floats:
        """Expected log return a bar; the prior mean of its class for a ticker whose class had none in the fit."""
        known = self.drifts.by_class
        priors = [
            0.0 if h.asset_class in known else DRIFT_PRIORS[h.asset_class].mean / SESSIONS for h in panel.histories
        ]
        return np.asarray(self.drifts.of(panel) + np.array(priors))

    def state(self) -> State:
        """The weights themselves, so that a stored model forecasts the same with any version of the shipped ones."""
        drifts = self.drifts.state()
        states = {name: weights.state() for name, weights in self.weights.items()}
        arrays = {f"{name}/{key}": values for name, state in states.items() for key, values in state.arrays.items()}
        meta: dict[str, Any] = {"kind": NAME, "horizon": self.horizon, **drifts.meta}
        return State(
            {**arrays, **drifts.arrays}, meta | {"weights": {name: dict(state.meta) for name, state in states.items()}}
        )


SESSIONS = 252
"""A year's."""
PRIOR_ORIGINS = 2000
"""As a prior, the pretrained weights count as much as so many training origins (reports/LOG.md)."""


def shrunk(
    weights_HK: Floats, table_HQ: Floats, panel: Panel, rows: Ints, *, market: bool, judged: bool
) -> tuple[Floats, Floats]:
    """Multipliers and quantiles fitted on the origins `rows`, averaged with the pretrained ones of long histories.

    Both are left as they are where a ticker's class has no weights; raises ConfigError for a horizon beyond theirs.
    """
    owner, numbers = np.unique(panel.ticker_of[rows], return_counts=True)
    origins: dict[AssetClass, int] = {}
    for m, number in zip(owner, numbers, strict=True):
        name = panel.histories[m].asset_class
        origins[name] = origins.get(name, 0) + int(number)
    if not set(origins) <= set(CLASSES):
        return weights_HK, table_HQ
    own, horizon = len(rows) / (len(rows) + PRIOR_ORIGINS), len(weights_HK)
    weights_HK, table_HQ = own * weights_HK, own * table_HQ
    newest_1 = rows[[np.argmax(panel.dates[rows])]]
    for name, number in origins.items():
        weights = load(name, judged=judged)
        if horizon > weights.horizon:
            raise ConfigError(f"the prior has {weights.horizon} steps; set walk.horizon to {weights.horizon} or less")
        among = market and peers(panel, newest_1, name)[0] >= PEERS
        bank, share = weights.market if among else weights.alone, (1.0 - own) * number / len(rows)
        weights_HK[:, : bank.weights_AHK.shape[2]] += share * bank.weights_AHK[-1, :horizon]
        table_HQ += share * bank.table_AHQ[-1, :horizon]
    return weights_HK, table_HQ


def peers(panel: Panel, rows: Ints, asset_class: AssetClass) -> Ints:
    """How many tickers of a class (N,) had LEAST_BARS bars in the whole market by the date of each row."""
    market = (panel.whole or panel).histories
    days = [h.dates[LEAST_BARS - 1] for h in market if h.asset_class == asset_class and len(h) >= LEAST_BARS]
    number_N: Ints = np.searchsorted(np.sort(np.array(days, panel.dates.dtype)), panel.dates[rows], side="right")
    return number_N


@dataclass(frozen=True)
class Pretrained:
    """The shipped weights as a forecaster: its fit takes no optimiser step, and learns the drifts alone."""

    spec: PretrainedSpec

    def fit(self, panel: Panel, rows: Ints, *, horizon: int, seed: int) -> FittedPretrained:  # noqa: ARG002
        """Take the weights of every class of the market that has some; raises ConfigError where none has, or for a
        horizon beyond theirs.
        """
        market = (panel.whole or panel).histories
        classes = sorted({h.asset_class for h in market})
        weights = {name: load(name, judged=self.spec.judged) for name in classes if name in CLASSES}
        if not weights:
            raise ConfigError(no_weights(classes[0]))
        most = min(w.horizon for w in weights.values())
        if horizon > most:
            raise ConfigError(f"pretrained weights forecast at most {most} steps; set walk.horizon to {most} or less")
        return FittedPretrained(weights, shrunk_drifts(panel), horizon)

    def restore(self, state: State) -> FittedPretrained:
        """The fitted forecaster that wrote `state`."""
        if state.meta.get("kind") != NAME:
            raise CheckpointError(f"a stored {state.meta.get('kind')!r} is no {NAME}")
        weights = {}
        for name, meta in state.meta["weights"].items():
            arrays = {k.removeprefix(f"{name}/"): v for k, v in state.arrays.items() if k.startswith(f"{name}/")}
            weights[name] = Weights.restored(State(arrays, meta))
        return FittedPretrained(weights, Drifts.restored(state), state.meta["horizon"])
