"""s2squant's per-ticker and pooled networks, on the anchor that they share, all as they ship."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np

import s2squant
from benchmarks.contenders.measured import Contender, Floats, Task, run
from s2squant.config.models import Forecasters, ModelName
from s2squant.config.networks import Scope
from s2squant.forecasters.anchor import FittedAnchor
from s2squant.forecasters.catalog import make
from s2squant.forecasters.fitting import fit_models
from s2squant.series.arrays import Ints
from s2squant.series.history import PriceHistory
from s2squant.series.panel import Panel

SHIPPED = Forecasters()
NET: ModelName = "seq2seq_per_ticker"


def panel_of(task: Task) -> Panel:
    """The tickers as prices on weekdays; bar `k` stands after `k` returns."""
    known_MT = np.cumsum(task.returns_MT, axis=1)
    closes = 100 * np.exp(np.concatenate([np.zeros((len(known_MT), 1)), known_MT], axis=1))
    days = np.busday_offset("2000-01-03", np.arange(closes.shape[1]), roll="forward")
    return Panel(tuple(PriceHistory(f"S{m:02}", "XNYS", days, close) for m, close in enumerate(closes)))


def rows_at(panel: Panel, cutoffs_C: Ints) -> Ints:
    """Rows of the cutoffs, ticker by ticker."""
    rows: Ints = (panel.starts[:-1, None] + cutoffs_C).ravel()
    return rows


class Ours(Contender):
    """Its parts, put together as a backtest does."""

    of_sums = True

    @property
    def version(self) -> str:
        return s2squant.__version__

    @cached_property
    def panel(self) -> Panel:
        return panel_of(self.task)

    def origins(self, past: Panel) -> Ints:
        """Training origins, as a backtest has them."""
        rows = np.arange(len(past.dates))
        return rows[(past.bar_number(rows) >= SHIPPED.anchor.warmup) & (past.bars_left(rows) >= self.task.horizon)]

    def past(self, fit: int) -> Panel:
        return self.panel.until(self.panel.dates[fit])

    @cached_property
    def anchor(self) -> FittedAnchor:
        """The anchor of the first fit, on which both networks are timed."""
        past = self.past(int(self.task.fits_F[0]))
        fitted = make("anchor", SHIPPED).fit(past, self.origins(past), horizon=self.task.horizon, seed=0)
        assert isinstance(fitted, FittedAnchor)
        return fitted

    def train(self, tickers: int, windows: int) -> int:
        scope: Scope = "per_ticker" if tickers == 1 else "pooled"
        spec = SHIPPED.seq2seq
        settings = spec.per_ticker if scope == "per_ticker" else spec.pooled
        each = settings.batch * spec.training.positions
        steps = round(windows / each) or 1
        changed = spec.model_copy(update={scope: settings.model_copy(update={"steps": steps, "seeds": 1})})
        past = self.past(int(self.task.fits_F[0]))
        past = past.only(*past.tickers[:tickers])
        maker = make(f"seq2seq_{scope}", SHIPPED.model_copy(update={"seq2seq": changed}), anchor=self.anchor)
        maker.fit(past, self.origins(past), horizon=self.task.horizon, seed=0)
        return steps * each

    def walk(self) -> Floats:
        task, panel = self.task, self.panel
        out = np.empty((len(panel.tickers), len(task.cutoffs_C), task.horizon, len(task.levels_Q)))
        for fit, mine in task.folds():
            past = self.past(fit)
            fitted = dict(
                fit_models(["anchor", NET], SHIPPED, past, self.origins(past), horizon=task.horizon, seed=0, market={})
            )
            quantiles = fitted[NET].predict(panel, rows_at(panel, task.cutoffs_C[mine])).quantiles_NHQ
            out[:, mine] = quantiles.reshape(len(out), len(mine), *quantiles.shape[1:])
        return out

    def loaded(self) -> Callable[[], object]:
        alone = Panel(self.panel.histories[:1])
        fitted = make(NET, SHIPPED).fit(alone, self.origins(alone), horizon=self.task.horizon, seed=0)
        return lambda: fitted.predict(alone, np.array([len(alone.dates) - 1]))


if __name__ == "__main__":
    run(Ours)
