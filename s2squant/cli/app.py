"""The command line: options in, one call into study, exit status out.

Exit status: 0 done; 2 the caller's mistake (one line, no traceback); 3 done, but some tickers have no result; 1 our own
fault; 130 interrupted. `python flows/backtest.py` is the same command with another Runner.
"""

from __future__ import annotations

import errno
import os
import shlex
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from s2squant import __version__
from s2squant.cli import options
from s2squant.cli.commands.audit import audit
from s2squant.cli.commands.fetch import fetch
from s2squant.cli.commands.forecast import NightRunner, forecast
from s2squant.cli.commands.ledger import app as ledger
from s2squant.cli.commands.maintain import maintain
from s2squant.cli.commands.prices import app as prices
from s2squant.cli.commands.replay import replay
from s2squant.cli.commands.report import report
from s2squant.cli.commands.reproduce import reproduce
from s2squant.cli.commands.status import status
from s2squant.cli.commands.tune import tune
from s2squant.cli.commands.up import up
from s2squant.cli.screen import Mode, Screen, Watcher, complain, exit_status
from s2squant.config.defaults import Engine
from s2squant.errors import CallerError, LedgerError

if TYPE_CHECKING:  # pydantic's models, pandas and torch take seconds that a help text need not wait for
    from s2squant.config.experiment import Experiment
    from s2squant.prices.store.fetch import FetchRunner

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""What goes wrong with a disk, not with us."""


@dataclass(frozen=True)
class Request:
    """One backtest as asked for."""

    experiment: Experiment
    out: Path | None
    workers: int | None
    command: str
    """The command line that asks for it again."""
    engine: Engine = "local"


Runner = Callable[[Request, Watcher], None]
"""Carries a request out and tells the watcher."""


@dataclass(frozen=True)
class Front:
    """Who carries requests out, and how the command line read."""

    runner: Runner
    command: str
    fetching: FetchRunner | None = None
    """Who fetches; None: this process, in threads."""
    nights: NightRunner | None = None
    """Who carries out a night; None: this process."""


def plain(request: Request, watcher: Watcher) -> None:
    """Run the stages one after the other, the jobs of each side by side, without Prefect."""
    from s2squant.study import open_run  # torch and pandas: seconds that --help need not wait for

    with open_run(
        request.experiment,
        request.out,
        workers=request.workers,
        engine=request.engine,
        flow="backtest",
        command=request.command,
    ) as run:
        watcher.opened(run)
        for result in run.execute_stages():
            watcher.finished(result)
        watcher.written(run.folder, run.finish())


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


@app.command()
def backtest(
    ctx: typer.Context,
    experiment: options.ExperimentFile = None,
    source: options.SourceSpec = None,
    tickers: options.TickerList = None,
    start: options.FirstDate = None,
    end: options.LastDate = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="The run's folder. A killed run's folder goes on. Left out: reports/backtest/RUN_ID."
        ),
    ] = None,
    settings: options.Settings = None,
    seed: options.Seed = None,
    workers: options.Workers = None,
    engine: options.EngineName = "local",
    quiet: Annotated[bool, typer.Option("--quiet", help="Say only the verdict and where the report is.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write a summary for programs to standard output.")] = False,
) -> int:
    """Forecast, compare with the baselines, and write a report that says what the evidence is worth.

    Exit status: 0 done; 3 done, but some tickers have no result;
    2 a mistake in what was asked (one line says which);
    1 a fault of s2squant itself; 130 interrupted.
    """
    wanted = options.experiment_of(
        experiment, settings, source=source, tickers=tickers, start=start, end=end, seed=seed
    )
    front: Front = ctx.obj
    mode: Mode = "json" if as_json else "quiet" if quiet else "text"
    with Screen(mode) as screen:
        try:
            front.runner(Request(wanted, out, workers, front.command, engine), screen)
        except KeyboardInterrupt:
            return _interrupted(screen.folder)
        except CallerError:
            raise
        except Exception:
            if screen.folder:
                print(f"the run's folder is {screen.folder}; --out {screen.folder} goes on from there", file=sys.stderr)
            raise
    if screen.study is None:
        raise AssertionError("the runner came back without a study")
    return exit_status(screen.study)


@app.command()
def config(experiment: options.ExperimentFile = None, settings: options.Settings = None) -> None:
    """Print the whole experiment as JSON, checked; itself an input to backtest."""
    from s2squant.config.files import build_experiment

    print(build_experiment(experiment, settings or ()).to_json(), end="")


app.command()(report)
app.command()(reproduce)
app.command()(audit)
app.command()(fetch)
app.command()(forecast)
app.command()(replay)
app.command()(tune)
app.command()(up)
app.command()(status)
app.command()(maintain)
app.add_typer(prices, name="prices")
app.add_typer(ledger, name="ledger")


def _interrupted(folder: Path | None) -> int:
    go_on = f"the same command with --out {folder} resumes" if folder else "nothing was written"
    print(f"interrupted; {go_on}", file=sys.stderr, flush=True)
    return 130


def main(argv: Sequence[str] | None = None, *, runner: Runner = plain) -> int:
    """The `s2squant` command; `argv` without the program's name."""
    return _run(typer.main.get_group(app), argv, runner, "s2squant")


def backtest_main(argv: Sequence[str] | None = None, *, runner: Runner, program: str) -> int:
    """The backtest command alone, under another program's name."""
    return _run(typer.main.get_group(app).commands["backtest"], argv, runner, program)


def fetch_main(argv: Sequence[str] | None = None, *, fetching: FetchRunner, program: str) -> int:
    """The fetch command alone, under another program's name."""
    return _run(typer.main.get_group(app).commands["fetch"], argv, plain, program, fetching)


def forecast_main(argv: Sequence[str] | None = None, *, nights: NightRunner, program: str) -> int:
    """The forecast command alone, under another program's name."""
    return _run(typer.main.get_group(app).commands["forecast"], argv, plain, program, nights=nights)


def _run(
    command: Any,
    argv: Sequence[str] | None,
    runner: Runner,
    program: str,
    fetching: FetchRunner | None = None,
    nights: NightRunner | None = None,
) -> int:
    given = list(sys.argv[1:] if argv is None else argv)
    front = Front(runner, shlex.join([*program.split(), *given]), fetching, nights)
    try:
        with _terminate_as_interrupt():
            return command.main(given, prog_name=program, standalone_mode=False, obj=front) or 0
    except typer.TyperException as error:  # an unknown option, a missing value
        complain(f"{error.format_message()} ({program} --help lists what there is)")
        return 2
    except CallerError as error:
        complain(str(error))
        return error.exit_status
    except KeyboardInterrupt:
        return _interrupted(None)
    except LedgerError as error:
        complain(str(error))
        return error.exit_status
    except Exception as error:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            complain(f"cannot be written ({error.strerror}); see to it and run again: what is finished is kept")
            return 1
        if isinstance(error, PermissionError) and error.filename is not None:
            complain(f"{os.fsdecode(error.filename)}: {error.strerror}; see to the permissions of it and its folders")
            return 2
        traceback.print_exc()
        complain(f"a fault of s2squant, not of what was asked; look at {_place(error)}")
        return 1


def _place(error: Exception) -> str:
    """File, line and function of the innermost frame of ours."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(Path(__file__).parents[1])]
    last = (ours or frames)[-1]
    return f"{last.filename}:{last.lineno} ({last.name})"


@contextmanager
def _terminate_as_interrupt() -> Iterator[None]:
    """SIGTERM unwinds like Ctrl-C, so that worker processes end with their parent."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
