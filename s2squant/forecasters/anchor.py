"""The anchor: a learned EWMA bank and a pooled quantile table, a forecaster in its own right and every network's start.

Shape legend: N origins, H steps, Q levels, T tail levels, K members, C asset classes, G groups that share parameters
(one when pooled, else one a ticker).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from s2squant.config.networks import AnchorSpec
from s2squant.errors import CheckpointError
from s2squant.forecasters.covariate_members import CovariateMembers, covariate_members, variance_names
from s2squant.forecasters.expected_return import Drifts, shrunk_drifts, training_drifts
from s2squant.forecasters.features import Returns, bank_members, has_ranges, scaled_returns
from s2squant.forecasters.intraday_profile import Profiles, profiles_of
from s2squant.forecasters.pareto_tails import EVERYTHING, pareto_tails
from s2squant.forecasters.pretrained import shrunk
from s2squant.series.arrays import Floats, Ints
from s2squant.series.forecast import Forecast, State
from s2squant.series.panel import Panel
from s2squant.series.tails import LEVELS, exponential_tails, stretched_tails

POOLED = "*"


def stable_seed(seed: int, *names: str) -> int:
    """A seed that depends on names, not on positions: a ticker's result is the same in any universe."""
    digest = hashlib.sha256("\x1f".join([str(seed), *names]).encode()).digest()
    return int.from_bytes(digest[:4], "little") % (2**31)


@dataclass(frozen=True)
class AnchorView:
    """Scaled returns and bank members of one panel: the inputs of the anchor."""

    returns: Returns
    members_RK: Floats
    covariates: CovariateMembers | None = None
    """Members of covariates, behind the others."""
    asked: Ints | None = None
    """The rows that the bank's members are of, increasing; None for all."""

    def members(self, rows: Ints) -> Floats:
        """The bank's members (N, K) of some rows, each among those asked for."""
        return self.members_RK[rows if self.asked is None else np.searchsorted(self.asked, rows)]


@dataclass(frozen=True)
class FittedAnchor:
    """Mixture weights (G, H, K), quantile table (G, H, Q) of standardised returns around the drift, drifts."""

    spec: AnchorSpec
    """As fitted: `ranges` is false where the market had none."""
    groups: tuple[str, ...]
    weights_GHK: Floats
    table_GHQ: Floats
    """Of mean zero at every step."""
    drifts: Drifts
    name: str = "anchor"
    covariates: tuple[str, ...] = ()
    """Variance covariates that are members, behind the others."""
    classes: tuple[str, ...] = ()
    """Asset classes that have tails of their own, after all together; empty where none were fitted."""
    tails_GCHT: Floats | None = None
    """The table's tails, by asset class."""
    profiles: Profiles | None = None
    """Of returns within the day; None for bars of a day or longer."""

    @property
    def horizon(self) -> int:
        return int(self.weights_GHK.shape[1])

    def beyond(self, horizon: int) -> FittedAnchor:
        """The anchor of so many steps: those after its own have the mean variance and the table of its last."""
        extra = horizon - self.horizon
        if extra <= 0:
            return self

        def longer(values: Floats, axis: int) -> Floats:
            last = np.take(values, [-1], axis=axis)
            return np.concatenate([values, np.repeat(last, extra, axis=axis)], axis=axis)

        tails = None if self.tails_GCHT is None else longer(self.tails_GCHT, 2)
        weights, table = longer(self.weights_GHK, 1), longer(self.table_GHQ, 1)
        return replace(self, weights_GHK=weights, table_GHQ=table, tails_GCHT=tails)

    def view(self, panel: Panel, asked: Ints | None = None) -> AnchorView:
        """Run the filters over a panel once; the bank is kept for the rows `asked`, increasing, or for all."""
        returns = scaled_returns(panel, self.spec.warmup, self.spec.bound, self.profiles)
        members = bank_members(panel, returns, market=self.spec.market, ranges=self.spec.ranges, asked=asked)
        return AnchorView(returns, members, covariate_members(panel, self.covariates, returns.bounded_R), asked)

    def group_of(self, panel: Panel, rows: Ints) -> Ints:
        """Group of parameters of each row (N,); raises ValueError for a ticker never fitted."""
        if self.groups == (POOLED,):
            return np.zeros(len(rows), np.intp)
        number = {ticker: g for g, ticker in enumerate(self.groups)}
        asked = np.unique(panel.ticker_of[rows])
        missing = [panel.tickers[m] for m in asked if panel.tickers[m] not in number]
        if missing:
            raise ValueError(f"the anchor was not fitted for {missing[0]}; fitted: {', '.join(self.groups)}")
        of_ticker = np.array([number.get(ticker, 0) for ticker in panel.tickers], np.intp)
        return of_ticker[panel.ticker_of[rows]]

    def sd(self, panel: Panel, view: AnchorView, rows: Ints) -> Floats:
        """Standard deviation (N, H) of the cumulative return from `rows`, in scaled units."""
        even_NH = self.even_sd(panel, view, rows)
        if self.profiles is None:
            return even_NH
        return even_NH * np.sqrt(self.profiles.clock(panel, rows, self.horizon) / np.arange(1, self.horizon + 1))

    def even_sd(self, panel: Panel, view: AnchorView, rows: Ints, steps: Sequence[int] | None = None) -> Floats:
        """The same at all steps or at `steps`, the daily profile left out.

        Summed member by member, so that a row's value does not depend on which other rows are asked for.
        """
        step = np.arange(1, self.horizon + 1) if steps is None else np.asarray(steps)
        weights_GHK = self.weights_GHK[:, step - 1]
        weights_NHK = weights_GHK[self.group_of(panel, rows)] if len(self.groups) > 1 else weights_GHK
        members_NK = view.members(rows)
        variance: Floats = np.zeros((len(rows), len(step)))
        for k in range(members_NK.shape[1]):
            variance += members_NK[:, k, None] * weights_NHK[:, :, k]
        if view.covariates is not None:
            beside_NHJ = view.covariates.of(rows, int(step.max()))[:, step - 1]
            variance = with_covariates(variance, weights_NHK, beside_NHJ)
        return np.sqrt(step * variance)

    def drift(self, panel: Panel, rows: Ints) -> Floats:
        """Expected cumulative log return (N, H) from each row."""
        return self.drifts.of(panel)[panel.ticker_of[rows]][:, None] * np.arange(1, self.horizon + 1)

    def predict(self, panel: Panel, rows: Ints) -> Forecast:
        """Scale the quantile table by the bank's standard deviation and the ticker's unit; move it by the drift."""
        view = self.view(panel, np.unique(rows))
        sd = self.sd(panel, view, rows) * view.returns.unit_M[panel.ticker_of[rows]][:, None]
        drift = self.drift(panel, rows)
        quantiles = sd[:, :, None] * self.table_GHQ[self.group_of(panel, rows)] + drift[:, :, None]
        tails = sd[:, :, None] * self.tails(panel, rows) + drift[:, :, None]
        return Forecast(self.name, rows, quantiles, drift, tails_NHT=tails)

    def tails(self, panel: Panel, rows: Ints) -> Floats:
        """Tails (N, H, T) of the standardised return of each row, those of its ticker's asset class."""
        group_N = self.group_of(panel, rows)
        if self.tails_GCHT is None:  # fitted before there were any
            return exponential_tails(self.table_GHQ)[group_N]
        number = {name: c for c, name in enumerate(self.classes)}
        class_M = np.array([number.get(h.asset_class, 0) for h in panel.histories], np.intp)
        return self.tails_GCHT[group_N, class_M[panel.ticker_of[rows]]]

    def state(self) -> State:
        drifts, spec = self.drifts.state(), self.spec.model_dump(mode="json")
        tails = {} if self.tails_GCHT is None else {"tails": self.tails_GCHT}
        meta = {
            "kind": "anchor",
            "groups": list(self.groups),
            "classes": list(self.classes),
            "spec": spec,
            **drifts.meta,
        }
        profiles = State({}, {}) if self.profiles is None else self.profiles.state()
        meta |= profiles.meta
        return State(
            arrays={
                "weights": self.weights_GHK,
                "table": self.table_GHQ,
                **tails,
                **drifts.arrays,
                **profiles.arrays,
            },
            meta=meta | ({"covariates": list(self.covariates)} if self.covariates else {}),
        )


def restore_anchor(state: State) -> FittedAnchor:
    """Rebuild a fitted anchor from its stored state."""
    if state.meta.get("kind") != "anchor":
        raise CheckpointError(f"a stored {state.meta.get('kind')!r} is not an anchor")
    return FittedAnchor(
        spec=AnchorSpec.model_validate({"bound": None} | state.meta["spec"]),  # what is older knew no bound
        groups=tuple(state.meta["groups"]),
        weights_GHK=state.arrays["weights"],
        table_GHQ=state.arrays["table"],
        drifts=Drifts.restored(state),
        covariates=tuple(state.meta.get("covariates", ())),
        classes=tuple(state.meta.get("classes", ())),
        tails_GCHT=state.arrays.get("tails"),
        profiles=Profiles.restored(state),
    )


def with_covariates(variance_NH: Floats, weights_NHK: Floats, beside_NHJ: Floats) -> Floats:
    """Variance with the members of covariates, whose weights are the last J; the others share those of unknown ones."""
    weights_NHJ, known = weights_NHK[:, :, -beside_NHJ.shape[2] :], np.isfinite(beside_NHJ)
    total = weights_NHK.sum(axis=2)
    shared = total / (total - np.where(known, 0.0, weights_NHJ).sum(axis=2))
    shared_NH: Floats = (variance_NH + (np.where(known, beside_NHJ, 0.0) * weights_NHJ).sum(axis=2)) * shared
    return shared_NH


@dataclass(frozen=True)
class Anchor:
    """Maximum-likelihood fit of the bank, then the empirical quantiles of the standardised returns.

    Each ticker's own mean over its training origins is taken out first, and what mean the quantiles have left: the only
    location is the drift, by one rule for all models. With a prior, both are averaged with the pretrained ones
    (`s2squant.forecasters.pretrained.shrunk`).
    """

    spec: AnchorSpec

    def fit(self, panel: Panel, rows: Ints, *, horizon: int, seed: int) -> FittedAnchor:
        """Fit on the training origins `rows`: one group when pooled, one a ticker otherwise."""
        import torch  # a second that a fitted anchor need not wait for

        from s2squant.nets.bank import fit_bank

        spec = self.spec.model_copy(update={"ranges": self.spec.ranges and has_ranges(panel)})
        profiles = profiles_of(panel)
        returns = scaled_returns(panel, spec.warmup, spec.bound, profiles)
        members = bank_members(panel, returns, market=spec.market, ranges=spec.ranges)
        names_J = variance_names(panel)
        beside = covariate_members(panel, names_J, returns.bounded_R)
        unit = returns.unit_M[panel.ticker_of]
        mean_M, steps = training_drifts(panel, rows), np.arange(1, horizon + 1)
        present = np.unique(panel.ticker_of[rows])
        pooled = self.spec.scope == "pooled"
        parts = [rows] if pooled else [rows[panel.ticker_of[rows] == m] for m in present]
        names = (POOLED,) if pooled else tuple(panel.tickers[m] for m in present)
        weights, tables, tails = [], [], []
        class_M = np.array([history.asset_class for history in panel.histories], dtype=object)
        classes = (EVERYTHING, *sorted(set(class_M[present].tolist())))
        for name, part in zip(names, parts, strict=True):
            moved = panel.targets(part, horizon) - mean_M[panel.ticker_of[part]][:, None] * steps
            y = moved / unit[part][:, None]
            if profiles is not None:  # as if every step ahead were a mean bar
                y *= np.sqrt(steps / profiles.clock(panel, part, horizon))
            strided = panel.bar_number(part) % self.spec.stride == 0
            some_NHJ = None if beside is None else torch.from_numpy(beside.of(part[strided], horizon))
            bank = fit_bank(
                torch.from_numpy(members[part[strided]]),
                torch.from_numpy(y[strided]),
                self.spec,
                batch=self.spec.dates * (len(present) if pooled else 1),
                seed=stable_seed(seed, "anchor", name),
                covariates_NHJ=some_NHJ,
            )
            weights_HK = bank.weights_HK().detach().numpy()
            variance_NH = members[part] @ weights_HK[:, : members.shape[1]].T
            if beside is not None:
                variance_NH = with_covariates(variance_NH, weights_HK[None], beside.of(part, horizon))
            standardised = y / np.sqrt(steps * variance_NH)
            table_HQ = np.quantile(standardised, LEVELS, axis=0).T
            centred_HQ = table_HQ - table_HQ.mean(axis=1, keepdims=True)
            of_class_CHT = pareto_tails(standardised, table_HQ, class_M[panel.ticker_of[part]], classes)
            of_class_CHT -= table_HQ.mean(axis=1, keepdims=True)
            if spec.prior != "none":
                judged, own_HQ = spec.prior == "judged", centred_HQ
                weights_HK, centred_HQ = shrunk(weights_HK, own_HQ, panel, part, market=spec.market, judged=judged)
                of_class_CHT = np.stack([stretched_tails(centred_HQ, own_HQ, tails_HT) for tails_HT in of_class_CHT])
            weights.append(weights_HK)
            tables.append(centred_HQ)
            tails.append(of_class_CHT)
        return FittedAnchor(
            spec,
            names,
            np.stack(weights),
            np.stack(tables),
            shrunk_drifts(panel),
            covariates=names_J,
            classes=classes,
            tails_GCHT=np.stack(tails),
            profiles=profiles,
        )

    def restore(self, state: State) -> FittedAnchor:
        """The fitted anchor that wrote `state`."""
        return restore_anchor(state)
