"""A fitted network behind the contract: scale, forecast, unscale, save and restore.

Its tails are as far beyond its outermost quantiles as the anchor's, in distances to the median.

Shape legend: R rows, N origins, L bars of a window, F inputs, H steps, Q levels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from s2squant.config.networks import FREE_REMEDY, PATH_HEADS, Seq2SeqSpec
from s2squant.errors import CheckpointError
from s2squant.forecasters.anchor import POOLED, FittedAnchor, restore_anchor, stable_seed
from s2squant.forecasters.baselines.sampling import PATHS_KEPT
from s2squant.forecasters.covariate_reader import CovariateReader, restore_reader, sizes_of
from s2squant.forecasters.features import network_inputs
from s2squant.forecasters.intraday_profile import Profiles
from s2squant.forecasters.session_inputs import session_beside, session_known, with_session
from s2squant.series.arrays import Floats, Ints
from s2squant.series.forecast import LEVELS, Forecast, State
from s2squant.series.panel import Panel
from s2squant.series.tails import stretched_tails

if TYPE_CHECKING:  # torch takes a second that who has no network need not wait for
    from torch import Tensor

    from s2squant.nets.covariates import CovariateSizes, KnownAhead, KnownTogether
    from s2squant.nets.seq2seq import Outlook, Seq2Seq


def levels_Q() -> Tensor:
    """The levels of every forecast, as the nets take them."""
    import torch

    return torch.tensor(LEVELS, dtype=torch.float32)


@dataclass(frozen=True)
class Prepared:
    """Inputs, deviations and units of a panel's rows, which windows are ranges of."""

    inputs_RF: Floats
    deviation_NH: Floats
    """For the rows asked for only."""
    unit_R: Floats
    sd_R: Floats
    """The anchor's standard deviation of the next log return."""

    def of_rows(self, rows: Ints) -> Prepared:
        """The same for fewer rows, where it was prepared for all."""
        return Prepared(self.inputs_RF, self.deviation_NH[rows], self.unit_R, self.sd_R)


def prepare(
    anchor: FittedAnchor,
    spec: Seq2SeqSpec,
    panel: Panel,
    rows: Ints,
    *,
    ranges: bool,
    reach: int = 0,
    asked: Ints | None = None,
) -> Prepared:
    """Filter the panel once; inputs are meaningful for the rows `asked` (increasing, `rows` among them), or for all of
    the tickers of `rows`.

    Deviations are those of the anchor's steps, or of `reach` where that is more; inputs do not depend on it.
    """
    if asked is None:
        asked = np.flatnonzero(np.isin(panel.ticker_of, np.unique(panel.ticker_of[rows])))
    view = anchor.view(panel, asked)
    step_sd_A, path_sd_A = anchor.even_sd(panel, view, asked, (1, anchor.horizon)).T
    inputs_AF = network_inputs(
        panel,
        view.returns,
        step_sd_A,
        path_sd_A,
        horizon=anchor.horizon,
        market=spec.market,
        ranges=ranges,
        asked=asked,
    )
    inputs_RF, unit_R = np.zeros((len(panel.log_price), inputs_AF.shape[1])), view.returns.unit_M[panel.ticker_of]
    inputs_RF[asked], sd_R = inputs_AF, unit_R.copy()
    sd_R[asked] *= step_sd_A
    return Prepared(inputs_RF, anchor.beyond(reach).sd(panel, view, rows), unit_R, sd_R)


class Seen(NamedTuple):
    """A panel as a network reads it, with its covariates and, within the day, its time."""

    inputs_RF: Floats
    known: KnownAhead | KnownTogether | None


def seen_of(panel: Panel, data: Prepared, reader: CovariateReader | None, profiles: Profiles | None) -> Seen:
    """What a network reads of a panel: inputs of the bars, and what is known of the steps after them."""
    beside, known = [data.inputs_RF], []
    if reader is not None:
        beside.append(reader.beside(panel, data.sd_R))
        known.append(reader.known(panel))
    if profiles is not None:
        beside.append(session_beside(panel, profiles))
        known.append(session_known(panel, profiles))
    if not known:
        return Seen(data.inputs_RF, None)
    from s2squant.nets.covariates import KnownTogether

    return Seen(np.concatenate(beside, axis=1), known[0] if len(known) == 1 else KnownTogether(tuple(known)))


def sizes_read(reader: CovariateReader | None, profiles: Profiles | None) -> CovariateSizes:
    """What a network has to be built for that reads these."""
    return sizes_of(reader) if profiles is None else with_session(sizes_of(reader))


@dataclass(frozen=True)
class FittedSeq2Seq:
    """Nets by ticker (or one entry "*" for all), several seeds each; a forecast averages their quantiles."""

    name: str
    spec: Seq2SeqSpec
    anchor: FittedAnchor
    ranges: bool
    nets: Mapping[str, Sequence[Seq2Seq]]
    losses: Mapping[str, Sequence[Sequence[float]]] = field(default_factory=dict)
    covariates: CovariateReader | None = None
    reach: int = 0
    """Steps ahead that are forecast, where they are more than the anchor's."""

    @property
    def trained_steps(self) -> int:
        """The steps that its nets were trained on."""
        return self.spec.training.horizon or self.anchor.horizon

    def beyond(self, horizon: int) -> FittedSeq2Seq:
        """The same nets for so many steps, free running beyond those trained on; ValueError where they cannot."""
        if horizon > self.anchor.horizon and not self.spec.runs_free:
            raise ValueError(f"{self.name} was fitted for {self.anchor.horizon} steps, not {horizon}: {FREE_REMEDY}")
        return replace(self, reach=horizon)

    def of(self, ticker: str) -> FittedSeq2Seq:
        """The fit of one ticker, where each has nets of its own."""
        return replace(self, nets={ticker: self.nets[ticker]}, losses={ticker: self.losses[ticker]})

    def predict(self, panel: Panel, rows: Ints, prepared: Prepared | None = None) -> Forecast:
        """Forecast ticker by ticker, so that no row's result depends on another ticker's rows.

        `prepared` is the panel as `prepare` sees it from all its rows, where the caller has it at hand.
        """
        data, anchor = self._prepared(panel, rows, prepared), self.anchor.beyond(self.reach)
        seen = seen_of(panel, data, self.covariates, self.anchor.profiles)
        quantiles, drift = np.empty((len(rows), anchor.horizon, len(LEVELS))), anchor.drift(panel, rows)
        attention: list[tuple[Ints, Floats]] = []
        paths: list[tuple[Ints, Floats]] = []
        for m in np.unique(panel.ticker_of[rows]):
            mine = np.flatnonzero(panel.ticker_of[rows] == m)
            outlooks = self._outlooks(panel, data, seen, rows, mine)
            units = sum(np.asarray(outlook.quantiles_NHQ) for outlook in outlooks) / len(outlooks)
            quantiles[mine] = units * data.unit_R[rows[mine]][:, None, None] + drift[mine][:, :, None]
            weights = [np.asarray(outlook.weights_NHW) for outlook in outlooks if outlook.weights_NHW is not None]
            if weights:
                attention.append((mine, np.mean(weights, axis=0)))
            drawn = [o.paths_NSH[:, : PATHS_KEPT // len(outlooks)] for o in outlooks if o.paths_NSH is not None]
            if drawn:
                scaled = np.concatenate([np.asarray(x) for x in drawn], axis=1)
                moved = scaled * data.unit_R[rows[mine]][:, None, None] + drift[mine][:, None]
                paths.append((mine, moved.astype(np.float32)))
        mean = quantiles.mean(axis=2)
        table_NHQ = anchor.table_GHQ[anchor.group_of(panel, rows)]
        tails = stretched_tails(quantiles, table_NHQ, anchor.tails(panel, rows))
        free = self.trained_steps if self.trained_steps < anchor.horizon else None
        return Forecast(self.name, rows, quantiles, mean, _gathered(paths), _gathered(attention), tails, free)

    def simulate(self, panel: Panel, rows: Ints) -> Floats:
        """Sample paths (N, S, H) of the cumulative return from `rows`, those of all seeds side by side.

        Raises ValueError for a head that has none (quantile and point heads speak of each step by itself).
        """
        if self.spec.head.kind not in PATH_HEADS:
            raise ValueError(
                f"a {self.spec.head.kind} head has no paths; set forecasters.seq2seq.head.kind: {', '.join(PATH_HEADS)}"
            )
        data = self._prepared(panel, rows)
        seen = seen_of(panel, data, self.covariates, self.anchor.profiles)
        parts, drift = [], self.anchor.beyond(self.reach).drift(panel, rows)
        for m in np.unique(panel.ticker_of[rows]):
            mine = np.flatnonzero(panel.ticker_of[rows] == m)
            paths = [np.asarray(o.paths_NSH, np.float64) for o in self._outlooks(panel, data, seen, rows, mine)]
            scaled = np.concatenate(paths, axis=1)
            parts.append((mine, scaled * data.unit_R[rows[mine]][:, None, None] + drift[mine][:, None]))
        return np.asarray(_gathered(parts))

    def _prepared(self, panel: Panel, rows: Ints, prepared: Prepared | None = None) -> Prepared:
        if prepared and self.reach <= self.anchor.horizon:
            return prepared.of_rows(rows)
        read = np.zeros(len(panel.log_price), bool)
        read[self._window(panel, rows)] = True
        asked = np.flatnonzero(read)
        return prepare(self.anchor, self.spec, panel, rows, ranges=self.ranges, reach=self.reach, asked=asked)

    def _outlooks(self, panel: Panel, data: Prepared, seen: Seen, rows: Ints, mine: Ints) -> list[Outlook]:
        """One outlook a net for the rows of one ticker, in scaled units."""
        import torch

        ticker, nets = self._nets_of(panel, rows[mine])
        past_NLF = self._past(panel, seen, rows[mine])
        deviation_NH = torch.from_numpy(data.deviation_NH[mine])
        seeds = [stable_seed(0, "paths", ticker, str(s)) for s in range(len(nets))]
        ahead = None if seen.known is None else seen.known.of(torch.from_numpy(rows[mine]), deviation_NH.shape[1])
        return [net.forecast(past_NLF, deviation_NH, ahead, seed=s) for net, s in zip(nets, seeds, strict=True)]

    def fed_the_truth(self, panel: Panel, rows: Ints) -> Iterator[tuple[Ints, list[Tensor], Tensor]]:
        """Head outputs (H, N, Z) of each net, each step given the true ones before it, ticker by ticker.

        With the places of a ticker's rows among `rows`, and the deviation (N, H) of each step's own log return there.
        """
        import torch

        from s2squant.nets.path_heads import step_deviation
        from s2squant.nets.seq2seq import Feeding

        data = prepare(self.anchor, self.spec, panel, rows, ranges=self.ranges)
        seen, horizon = seen_of(panel, data, self.covariates, self.anchor.profiles), self.trained_steps
        for m in np.unique(panel.ticker_of[rows]):
            mine = np.flatnonzero(panel.ticker_of[rows] == m)
            _, nets = self._nets_of(panel, rows[mine])
            unit_N1 = torch.from_numpy(data.unit_R[rows[mine]])[:, None]
            step_NH = step_deviation(torch.from_numpy(data.deviation_NH[mine]))[:, :horizon] * unit_N1
            moved_NH = panel.targets(rows[mine], horizon) - self.anchor.drift(panel, rows[mine])[:, :horizon]
            truth_NH = torch.from_numpy(np.diff(moved_NH, axis=1, prepend=0.0)) / step_NH
            past_NLF, ends_P = self._past(panel, seen, rows[mine]), torch.tensor([self.spec.training.chunk - 1])
            ahead = None if seen.known is None else seen.known.of(torch.from_numpy(rows[mine]), horizon)
            feeding = Feeding(1.0, torch.Generator())
            with torch.no_grad():
                memories = [net.encode(past_NLF, ends_P, ahead) for net in nets]
                parts = [n.decode(c, truth_NH.T.float(), feeding) for n, c in zip(nets, memories, strict=True)]
            yield mine, parts, step_NH

    def _nets_of(self, panel: Panel, rows: Ints) -> tuple[str, Sequence[Seq2Seq]]:
        """The ticker that some rows belong to, and its nets; raises ValueError for one that was not fitted."""
        ticker = panel.tickers[int(panel.ticker_of[rows[0]])]
        nets = self.nets.get(ticker, self.nets.get(POOLED))
        if nets is None:
            raise ValueError(f"{self.name} was not fitted for {ticker}; fitted: {', '.join(self.nets)}")
        return ticker, nets

    def _window(self, panel: Panel, rows: Ints) -> Ints:
        """The chunk's rows (N, L) that end at each row; before its ticker's or segment's first bar, that bar."""
        back = np.arange(1 - self.spec.training.chunk, 1)
        window: Ints = np.maximum(rows[:, None] + back, panel.first_of(rows)[:, None])
        return window

    def _past(self, panel: Panel, seen: Seen, rows: Ints) -> Tensor:
        """Inputs (N, L, F) of the window of each row."""
        import torch

        return torch.from_numpy(seen.inputs_RF[self._window(panel, rows)].astype(np.float32))

    def state(self) -> State:
        anchor = self.anchor.state()
        arrays = {f"anchor/{key}": value for key, value in anchor.arrays.items()}
        keys = list(self.nets)
        for k, key in enumerate(keys):
            for s, net in enumerate(self.nets[key]):
                arrays |= {f"net/{k}/{s}/{name}": value.numpy() for name, value in net.state_dict().items()}
        first = next(iter(self.nets.values()))
        meta: dict[str, Any] = {
            "kind": "seq2seq",
            "name": self.name,
            "spec": self.spec.model_dump(mode="json"),
            "anchor": dict(anchor.meta),
            "ranges": self.ranges,
            "inputs": first[0].inputs,
            "tickers": keys,
            "seeds": [len(self.nets[key]) for key in keys],
        }
        if self.covariates is not None:
            arrays |= {f"covariates/{key}": value for key, value in self.covariates.arrays().items()}
            meta["covariates"] = self.covariates.meta()
        return State(arrays, meta)


def restore_seq2seq(state: State) -> FittedSeq2Seq:
    """Rebuild a fitted network from its stored state; the training curves are not part of it."""
    import torch

    from s2squant.nets.seq2seq import Seq2Seq

    meta = state.meta
    if meta.get("kind") != "seq2seq":
        raise CheckpointError(f"a stored {meta.get('kind')!r} is not a seq2seq")
    spec = Seq2SeqSpec.model_validate(meta["spec"])
    parts = {k.removeprefix("anchor/"): v for k, v in state.arrays.items() if k.startswith("anchor/")}
    anchor = restore_anchor(State(parts, meta["anchor"]))
    scales = {k.removeprefix("covariates/"): v for k, v in state.arrays.items() if k.startswith("covariates/")}
    reader = restore_reader(scales, meta["covariates"]) if scales else None
    sizes = sizes_read(reader, anchor.profiles)
    nets: dict[str, list[Seq2Seq]] = {}
    for k, (key, count) in enumerate(zip(meta["tickers"], meta["seeds"], strict=True)):
        for s in range(count):
            prefix = f"net/{k}/{s}/"
            weights = {n.removeprefix(prefix): torch.tensor(v) for n, v in state.arrays.items() if n.startswith(prefix)}
            with torch.random.fork_rng(devices=[]):  # what it is drawn with first is of no account
                table_HQ = torch.zeros(spec.training.horizon or anchor.horizon, len(LEVELS))
                net = Seq2Seq(spec, meta["inputs"], table_HQ, levels_Q(), sizes)
            try:
                net.load_state_dict(weights)
            except RuntimeError as error:
                raise CheckpointError(f"stored weights do not fit their specification: {error}") from None
            nets.setdefault(key, []).append(net.eval())
    return FittedSeq2Seq(meta["name"], spec, anchor, meta["ranges"], nets, covariates=reader)


def _gathered(parts: Sequence[tuple[Ints, Floats]]) -> Floats | None:
    """Arrays of some rows each, put where their rows are; None when there are none."""
    if not parts:
        return None
    rows, values = np.concatenate([mine for mine, _ in parts]), np.concatenate([part for _, part in parts])
    whole = np.empty_like(values)
    whole[rows] = values
    return whole
