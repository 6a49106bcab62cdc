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

if TYPE_CHECKING:
    from s2squant.prices.fetch import FetchRunner


@dataclass(frozen=True)
class Front:
    """How the command line read, and who carries a backtest, a fetch, a night out; None: this process."""

    command: str
    runner: Runner | None = None
    fetching: FetchRunner | None = None
    nights: NightRunner | None = None


app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@app.callback(invoke_without_command=True)
def _front(
    ctx: typer.Context, version: Annotated[bool, typer.Option("--version", help="Say the version and stop.")] = False
) -> None:
    """Sequence-to-sequence price forecasts per ticker, backtested walk-forward, with an honest verdict."""
    if version:
        print(f"s2squant {__version__}")
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        print(ctx.get_help())
        raise typer.Exit


def config(experiment: options.ExperimentFile = None, settings: options.Settings = None) -> None:
    """Print the whole experiment as JSON, checked; itself an input to backtest."""
    from s2squant.config.experiment import Universe
    from s2squant.config.files import build_experiment

    checked = build_experiment(experiment, settings or ())
    if checked.universe != Universe():  # its names too, which takes pandas: whatever is printed here, backtest takes
        from s2squant.prices.universe import open_universe

        open_universe(checked.universe)
    print(checked.to_json(), end="")


COMMANDS = (
    predict,
    backtest,
    config,
    report,
    runs,
    compare,
    reproduce,
    audit,
    fetch,
    forecast,
    replay,
    tune,
    ablate,
    up,
    status,
    maintain,
    pretrain,
)
app.command("open")(open_page)
for _command in COMMANDS:
    app.command()(_command)
app.add_typer(prices, name="prices")
app.add_typer(ledger, name="ledger")


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
    group = typer.main.get_group(app)
    command: Any = group if name is None else group.commands[name]
    return exit_status_of(lambda: command.main(given, prog_name=program, standalone_mode=False, obj=front), program)
