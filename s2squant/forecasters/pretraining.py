"""Fits of the pretrained weights: bank and quantile table of an asset class for each age of a history.

For an age, every history is cut into pieces of so many bars and the horizon after them; the filters begin anew in each
piece, as they do for a listing of that age. The last age is learnt from whole histories. Labels have their ticker's own
mean taken out, as the anchor's.

Shape legend: N origins, H steps, Q levels, K members, A ages.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from s2squant import __version__
from s2squant.config.asset_classes import AssetClass
from s2squant.config.networks import AnchorSpec
from s2squant.errors import CheckpointError, SourceError
from s2squant.forecasters.anchor import stable_seed
from s2squant.forecasters.features import bank_members, scaled_returns
from s2squant.forecasters.pretrained import AGES, BOUND, LEAST_BARS, MEMBERS, About, AgedBank, Weights
from s2squant.nets.bank import fit_bank
from s2squant.series.arrays import Floats, Ints
from s2squant.series.forecast import LEVELS
from s2squant.series.history import PriceHistory
from s2squant.series.panel import Panel
from s2squant.series.states import load_state

HORIZON = 60
EVERY = 25
"""Bars from one piece's start to the next."""
TICKERS = 20
"""A step of a fit sees `dates` origins of so many tickers."""


def pretrain(
    asset_class: AssetClass,
    histories: Sequence[PriceHistory],
    *,
    horizon: int = HORIZON,
    judged: bool = False,
    spec: AnchorSpec | None = None,
    said: Callable[[str], None] = lambda _line: None,
) -> Weights:
    """Fit the weights of a class, by the anchor's `spec` or its defaults; `said` hears what is done.

    Raises SourceError where no history is long enough.
    """
    wholes = list(_markets(histories))
    banks: dict[str, list[tuple[Floats, Floats]]] = {kind: [] for kind in MEMBERS}
    for age in AGES:
        learn = whole_histories if age == AGES[-1] else pieces
        parts = [learn(whole, age, horizon) for whole in wholes]
        members_NK, y_NH = (np.concatenate(part) for part in zip(*parts, strict=True))
        if len(y_NH) == 0:
            raise SourceError(f"no {asset_class} of {age + horizon} bars to learn from; give longer prices")
        for kind, count in MEMBERS.items():
            seed = stable_seed(0, "pretrain", asset_class, kind, str(age))
            banks[kind].append(fit(members_NK[:, :count], y_NH, spec or AnchorSpec(), seed))
        said(f"age {age}, {len(y_NH)} origins")
    alone, market = (AgedBank(*(_stored(part) for part in zip(*banks[kind], strict=True))) for kind in MEMBERS)
    return Weights(about(asset_class, histories, judged=judged), alone, market)


def _stored(parts: Sequence[Floats]) -> Floats:
    """The arrays of all ages at the precision of their file."""
    return np.stack(parts).astype(np.float32).astype(np.float64)


def _markets(histories: Sequence[PriceHistory]) -> Iterator[Panel]:
    calendars: dict[str, list[PriceHistory]] = {}
    for history in histories:
        calendars.setdefault(history.calendar, []).append(moving(history))
    for members in calendars.values():
        yield Panel(tuple(members))


def about(asset_class: AssetClass, histories: Sequence[PriceHistory], *, judged: bool) -> About:
    """What weights fitted on these histories were trained on."""
    digest = hashlib.sha256("".join(sorted(h.sha256 for h in histories)).encode())
    return About(
        asset_class=asset_class,
        judged=judged,
        tickers=tuple(sorted(h.ticker for h in histories)),
        first=str(min(h.dates[0] for h in histories)),
        last=str(max(h.dates[-1] for h in histories)),
        sources=tuple(sorted({h.source.rpartition("/")[2] for h in histories})),
        prices=digest.hexdigest(),
        version=__version__,
    )


def is_of(path: Path, wanted: About) -> bool:
    """Whether a file holds weights of this very training."""
    try:
        return Weights.restored(load_state(path)).about == wanted
    except CheckpointError:
        return False


def fit(members_NK: Floats, y_NH: Floats, spec: AnchorSpec, seed: int) -> tuple[Floats, Floats]:
    """Multipliers (H, K) by maximum likelihood, and the empirical quantiles (H, Q) of the standardised returns."""
    bank = fit_bank(
        torch.from_numpy(members_NK.copy()), torch.from_numpy(y_NH), spec, batch=TICKERS * spec.dates, seed=seed
    )
    weights_HK = bank.weights_HK().detach().numpy()
    sd_NH = np.sqrt(np.arange(1, y_NH.shape[1] + 1) * (members_NK @ weights_HK.T))
    table_HQ = np.quantile(y_NH / sd_NH, LEVELS, axis=0).T
    return weights_HK, table_HQ - table_HQ.mean(axis=1, keepdims=True)


def pieces(whole: Panel, age: int, horizon: int) -> tuple[Floats, Floats]:
    """Members (N, K) and labels (N, H) in scaled units at the end of each piece of `age` bars, in its whole market."""
    cut: list[PriceHistory] = []
    mean: list[float] = []
    for history in whole.histories:
        drift = _mean_return(history)
        for start in range(0, len(history) - age - horizon + 1, EVERY):
            days = history.dates[start], history.dates[start + age + horizon - 1]
            cut.append(replace(history.between(*days), ticker=f"{history.ticker}/{start}"))
            mean.append(drift)
    if not cut:
        return np.empty((0, MEMBERS["market"])), np.empty((0, horizon))
    panel = Panel(tuple(cut), whole)
    return _examples(panel, panel.starts[:-1] + age - 1, np.array(mean), horizon)


def whole_histories(whole: Panel, age: int, horizon: int) -> tuple[Floats, Floats]:
    """The same at every origin that has `age` bars behind it."""
    rows = np.arange(len(whole.log_price))
    rows = rows[(whole.bar_number(rows) >= age - 1) & (whole.bars_left(rows) >= horizon)]
    return _examples(whole, rows, np.array([_mean_return(h) for h in whole.histories]), horizon)


def _examples(panel: Panel, rows: Ints, mean_M: Floats, horizon: int) -> tuple[Floats, Floats]:
    returns = scaled_returns(panel, LEAST_BARS, BOUND)
    members_RK = bank_members(panel, returns, market=True, ranges=False)
    owner = panel.ticker_of[rows]
    moved_NH = panel.targets(rows, horizon) - mean_M[owner][:, None] * np.arange(1, horizon + 1)
    return members_RK[rows], moved_NH / returns.unit_M[owner][:, None]


def moving(history: PriceHistory) -> PriceHistory:
    """The history from the bar before its first move: a placeholder before a listing has no variance."""
    first = int(np.argmax(np.diff(history.log_price) != 0.0))
    return history.between(history.dates[first])


def _mean_return(history: PriceHistory) -> float:
    return float((history.log_price[-1] - history.log_price[0]) / (len(history) - 1))


def longest(histories: Iterable[PriceHistory]) -> list[PriceHistory]:
    """The longest history of each ticker, by name."""
    found: dict[str, PriceHistory] = {}
    for history in histories:
        if history.ticker not in found or len(history) > len(found[history.ticker]):
            found[history.ticker] = history
    return [found[ticker] for ticker in sorted(found)]
