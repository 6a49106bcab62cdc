"""The terminal screen of a night: progress to standard error, tonight's forecasts to standard output."""

from __future__ import annotations

import json
from math import exp, isnan, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from s2squant.cli.progress import JobProgress, Mode
from s2squant.cli.tables import page_at, plain_console, plain_table, ticker_cell

if TYPE_CHECKING:  # a night brings torch, which a help text can do without
    from s2squant.nightly.night import NightRun
    from s2squant.nightly.results import Night

EXIT_STATUS = {"done": 0, "skipped": 0, "partial": 3, "late": 3, "failed": 1}
"""By the status of a night."""


class NightScreen(JobProgress):
    """The Watcher of the command line: progress, then tonight's forecasts and where the report is."""

    def __init__(self, mode: Mode) -> None:
        super().__init__(mode)
        self.night: Night | None = None
        """The finished night; None while it goes on."""

    def opened(self, run: NightRun) -> None:
        """Lay out one bar a stage."""
        self.folder = None if run.skipped else run.folder
        count = len(run.stages)
        names = ["markets" if number == 1 < count else "tickers" for number in range(1, count + 1)]
        self.lay_out(run.stages, names, running=True)
        if run.stages:
            self.start()

    def written(self, folder: Path, night: Night) -> None:
        """Show tonight's forecasts, the tickers without one, and where the report is."""
        self.stop()
        self.night = night
        if self.mode == "json":
            print(json.dumps(summary(folder, night), indent=1))
            return
        if self.mode == "text" and len(night.today):
            plain_console().print(tonight(night))
        print(night.message)
        if self.mode == "text" and night.status != "skipped":
            print(night.track.sentence)
            if night.monitor.alarmed:
                print(night.monitor.sentence)
        if night.status != "skipped":
            print(f"report: {page_at(folder / 'index.html')}", flush=True)


def tonight(night: Night) -> Table:
    """Tonight's forecasts in prices: the recalibrated recommended model at steps 1 and H."""
    from s2squant.nightly.results import when as shown  # brings pandas

    table = plain_table("ticker", "from", ">close", ">step", ">1 %", ">5 %", ">median", ">95 %")
    rows = night.today[night.today["model"] == night.track.model]
    last = rows["step"].max() if len(rows) else 0
    for row in rows[rows["step"].isin([1, last])].to_dict("records"):
        close = row["close"]
        # as reports do, whose formats bring pandas
        digits = 2 if close >= 10 else 4 if close >= 0.1 else 6
        levels = (0.0, *(row.get(q, nan) for q in ("q0.010", "q0.050", "q0.500", "q0.950")))
        prices = ["–" if isnan(q) else f"{close * exp(q):,.{digits}f}" for q in levels]
        day = shown(str(row["market"]), row["cutoff"].isoformat())
        table.add_row(ticker_cell(row["unique_id"]), day, prices[0], str(row["step"]), *prices[1:])
    return table


def risk(night: Night) -> dict[str, Any]:
    """VaR and expected shortfall of the next session by ticker: prices, and shares of the close."""
    from dataclasses import asdict

    from s2squant.nightly.page.rows import losses_of

    rows = night.today[(night.today["model"] == night.track.model) & (night.today["step"] == 1)]
    parts = ((str(ticker), part) for ticker, part in rows.groupby("unique_id", observed=True))
    return {ticker: [asdict(one) for one in losses_of(part, float(part["close"].iloc[0]))] for ticker, part in parts}


def summary(folder: Path, night: Night) -> dict[str, Any]:
    """The night in plain JSON values."""
    return {
        "run_id": night.run_id,
        "status": night.status,
        "exit_status": EXIT_STATUS[night.status],
        "message": night.message,
        "folder": None if night.status == "skipped" else str(folder),
        "report": None if night.status == "skipped" else str(folder / "index.html"),
        "issued": night.issued,
        "reissued": night.reissued,
        "scored": night.scored,
        "sessions": {market.market: market.session for market in night.markets},
        "tickers": {t.ticker: {"status": t.status, "reason": t.reason, "how": t.how} for t in night.tickers},
        "risk": risk(night) if len(night.today) else {},
        "drift": night.monitor.alarmed,
        "record": night.track.sentence,
    }
