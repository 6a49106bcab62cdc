"""The command line."""

from s2squant.cli.app import Front, Request, Runner, backtest_main, fetch_main, forecast_main, main

__all__ = ["Front", "Request", "Runner", "backtest_main", "fetch_main", "forecast_main", "main"]
