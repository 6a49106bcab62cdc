"""The command line: every command, and who carries it out.

`python flows/backtest.py` is the same command as `s2squant backtest` with another runner.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from s2squant import __version__
from s2squant.cli import options
from s2squant.cli.commands.ablate import ablate
from s2squant.cli.commands.audit import audit
from s2squant.cli.commands.backtest import Runner, backtest
from s2squant.cli.commands.compare import compare
from s2squant.cli.commands.doctor import doctor
from s2squant.cli.commands.fetch import fetch
from s2squant.cli.commands.forecast import NightRunner, forecast
from s2squant.cli.commands.ledger import app as ledger
from s2squant.cli.commands.maintain import maintain
from s2squant.cli.commands.predict import predict
from s2squant.cli.commands.pretrain import pretrain
from s2squant.cli.commands.prices import app as prices
from s2squant.cli.commands.replay import replay
from s2squant.cli.commands.report import report
from s2squant.cli.commands.reproduce import reproduce
from s2squant.cli.commands.runs import open_page, runs
from s2squant.cli.commands.status import status
from s2squant.cli.commands.tune import tune
from s2squant.cli.commands.up import up
from s2squant.cli.exits import exit_status_of
from s2squant.errors import CallerError
from s2squant.files import is_utf8

if TYPE_CHECKING:
    from s2squant.prices.fetch import FetchRunner


@dataclass(frozen=True)
class Front:
    """How the command line read, and who carries a backtest, a fetch, a night out; None: this process."""

    command: str
    runner: Runner | None = None
    fetching: FetchRunner | None = None
    nights: NightRunner | None = None


EPILOG = "First: s2squant predict AAPL MSFT. Then: s2squant backtest. What is missing here: s2squant doctor."

app = typer.Typer(add_completion=True, rich_markup_mode="rich", epilog=EPILOG)


@app.callback(invoke_without_command=True)
def _front(
    ctx: typer.Context, version: Annotated[bool, typer.Option("--version", help="Say the version and stop.")] = False
) -> None:
    """Price forecasts with their uncertainty, backtested walk-forward, with an honest verdict."""
    if version:
        print(f"s2squant {__version__}")
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        print(ctx.get_help())
        raise typer.Exit


def config(experiment: options.ExperimentFile = None, settings: options.Settings = None) -> None:
    """Print the whole experiment as JSON, checked; itself an input to backtest.

    Example: s2squant config --set walk.horizon=10
    """
    from s2squant.config.experiment import Universe
    from s2squant.config.files import build_experiment

    checked = build_experiment(experiment, settings or ())
    if checked.universe != Universe():  # its names too, which takes pandas: whatever is printed here, backtest takes
        from s2squant.prices.universe import open_universe

        open_universe(checked.universe)
    if checked.forecasters.own_models or checked.forecasters.features:
        from s2squant.forecasters.own_check import check_own

        check_own(checked.forecasters)
    print(checked.to_json(), end="")


FORECAST, BACKTEST, PRICES, OPERATE = "Forecast", "Backtest", "Prices", "Operate"
GROUPS = {
    FORECAST: (predict, forecast, replay),
    BACKTEST: (backtest, config, runs, compare, report, tune, ablate, audit, reproduce, pretrain),
    PRICES: (fetch,),
    OPERATE: (up, status, maintain, doctor),
}
for _group, _commands in GROUPS.items():
    for _command in _commands:
        app.command(rich_help_panel=_group)(_command)
app.command("open", rich_help_panel=BACKTEST)(open_page)
app.add_typer(prices, name="prices", rich_help_panel=PRICES)
app.add_typer(ledger, name="ledger", rich_help_panel=OPERATE)


def main(argv: Sequence[str] | None = None, *, runner: Runner | None = None) -> int:
    """The `s2squant` command; `argv` without the program's name."""
    return _run(None, argv, "s2squant", runner=runner)


def backtest_main(argv: Sequence[str] | None = None, *, runner: Runner, program: str) -> int:
    """The backtest command alone, under another program's name."""
    return _run("backtest", argv, program, runner=runner)


def fetch_main(argv: Sequence[str] | None = None, *, fetching: FetchRunner, program: str) -> int:
    """The fetch command alone, under another program's name."""
    return _run("fetch", argv, program, fetching=fetching)


def forecast_main(argv: Sequence[str] | None = None, *, nights: NightRunner, program: str) -> int:
    """The forecast command alone, under another program's name."""
    return _run("forecast", argv, program, nights=nights)


def _run(
    name: str | None,
    argv: Sequence[str] | None,
    program: str,
    *,
    runner: Runner | None = None,
    fetching: FetchRunner | None = None,
    nights: NightRunner | None = None,
) -> int:
    """Carry out a command line, of all commands or of the one named; its exit status."""
    given = list(sys.argv[1:] if argv is None else argv)
    front = Front(shlex.join([*program.split(), *given]), runner, fetching, nights)

    def carried_out() -> Any:
        if odd := next((text for text in given if not is_utf8(text)), None):
            raise CallerError(f"{odd!a} is not UTF-8; rename the folder or file, or start inside it (cd)")
        return command.main(given, prog_name=program, standalone_mode=False, obj=front)

    command: Any = typer.main.get_command(app) if name is None else typer.main.get_group(app).commands[name]
    return exit_status_of(carried_out, program)
