"""The command line."""

from s2squant.cli.app import backtest_main, fetch_main, forecast_main, main
from s2squant.cli.commands.backtest import Request, Runner

__all__ = ["Request", "Runner", "backtest_main", "fetch_main", "forecast_main", "main"]
