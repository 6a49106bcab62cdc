"""s2squant predict: a forecast in prices from pretrained weights, in seconds and without a fit."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import typer

from s2squant.cli.options import AsJson, BarInterval, SourceSpec
from s2squant.cli.tables import page_at, plain_console, plain_table, ticker_cell
from s2squant.errors import ConfigError, SourceError, first_of

if TYPE_CHECKING:
    from rich.table import Table

    from s2squant.config.asset_classes import AssetClass
    from s2squant.config.intervals import Interval
    from s2squant.predict import Held, Prediction

IN_PART = 3
"""Exit status where some tickers have no forecast."""
FANS = 3
"""Tickers whose fan is drawn."""
ROWS = 10
"""With more tickers only the last step of each is listed."""
WIDTH = 128
STALE = 7
"""Days after which the last bar is worth a word."""
HORIZON = 20
DRAWS = 10_000


def predict(
    tickers: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TICKERS]...", help="As in AAPL MSFT, or AAPL,MSFT. Left out: the sample's, or all of --source."
        ),
    ] = None,
    source: SourceSpec = None,
    horizon: Annotated[
        int, typer.Option(metavar="N", min=1, help="Sessions, or bars of the interval, ahead.")
    ] = HORIZON,
    interval: BarInterval = None,
    classes: Annotated[
        list[str] | None,
        typer.Option("--class", metavar="TICKER=CLASS", help="Asset class where the guess is wrong. Repeatable."),
    ] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page that opens with the fan.")] = None,
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write every step and quantile in prices; - is standard output.")
    ] = None,
    paths: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write joint paths of all tickers, a parquet file; docs/risk.md."),
    ] = None,
    draws: Annotated[int, typer.Option(metavar="N", min=1, max=1_000_000, help="How many joint paths.")] = DRAWS,
    portfolio: Annotated[
        str | None,
        typer.Option(
            metavar="RULE|FILE", help="Risk of a portfolio: equal, risk_parity, ..., or a CSV of ticker and weight."
        ),
    ] = None,
    currency: Annotated[str, typer.Option(metavar="CODE", help="Its base currency, as USD.")] = "",
    as_json: AsJson = False,
) -> int:
    """Forecast prices now, without fitting: pretrained weights, any daily series of 60 bars or more.

    For a first look, or for many tickers in seconds. Nothing is recorded and nothing is judged here: `backtest` says
    what such a forecast is worth, `forecast` issues one every night and keeps the record.

    Example: s2squant predict AAPL MSFT --horizon 20

    Exit status: 0; 3 some tickers have no forecast (named, with the reason); 2 a mistake in what was asked.
    """
    from s2squant.predict import predict as outlook_of

    named = [name for given in tickers or () for part in given.split(",") if (name := part.strip())]
    made = outlook_of(tuple(dict.fromkeys(named)), source, horizon, _classes(classes), _interval(interval))
    to_stdout = csv is not None and str(csv) == "-"
    whole = None if portfolio is None else _held(made, portfolio, currency, draws)
    if as_json:
        from s2squant.cli.prediction_files import as_plain

        print(json.dumps(as_plain(made, whole), indent=1))
    elif not to_stdout:
        _show(made)
    _write(made, html, csv)
    if paths is not None:
        _draw(made, paths, draws)
    if whole is not None:
        for ticker, why in whole.refused.items():
            print(f"not in the portfolio: {ticker}: {why}", file=sys.stderr)
        if not (as_json or to_stdout):
            _show_held(whole)
    for ticker, why in made.refused.items():
        print(f"no forecast of {ticker}: {why}", file=sys.stderr)
    return IN_PART if made.refused else 0


def _interval(given: str | None) -> Interval | Literal[""]:
    """The interval asked for; raises ConfigError for what is none."""
    from s2squant.config.intervals import Interval

    known: tuple[Interval, ...] = get_args(Interval)
    found: list[Interval] = [one for one in known if one == given]
    if given is not None and not found:
        raise ConfigError(f"--interval {given} is none of {', '.join(known)}")
    return found[0] if found else ""


def _classes(given: list[str] | None) -> dict[str, AssetClass]:
    """Asset classes by ticker; raises ConfigError for what is none."""
    from s2squant.config.asset_classes import AssetClass

    known: tuple[AssetClass, ...] = get_args(AssetClass)
    classes: dict[str, AssetClass] = {}
    for text in given or ():
        ticker, equals, name = text.rpartition("=")
        found = [one for one in known if one == name]
        if not (equals and ticker and found):
            raise ConfigError(f"--class {text}: write it as TICKER=CLASS; classes are {', '.join(known)}")
        classes[ticker] = found[0]
    return classes


def _write(made: Prediction, html: Path | None, csv: Path | None) -> None:
    """Write the files that were asked for."""
    if csv is not None:
        from s2squant.cli.prediction_files import as_csv

        text = as_csv(made)
        if str(csv) == "-":
            print(text, end="")
        else:
            _put(csv, text)
            print(f"table: {csv.absolute()}", file=sys.stderr)
    if html is not None:
        from s2squant.report.prediction_page import prediction_page

        _put(html, prediction_page(made.outlooks, made.source))
        print(f"page: {page_at(html)}", file=sys.stderr)


def _draw(made: Prediction, file: Path, draws: int) -> None:
    """Write joint paths, and say who is not among them."""
    from s2squant.cli.prediction_files import as_parquet
    from s2squant.predict import joined

    drawn = joined(made, draws)
    _put(file, as_parquet(drawn))
    for ticker, why in drawn.refused.items():
        print(f"no joint paths of {ticker}: {why}", file=sys.stderr)
    print(f"joint paths: {file.absolute()}", file=sys.stderr)


def _held(made: Prediction, rule: str, currency: str, draws: int) -> Held:
    """The portfolio that is asked for; raises ConfigError, one line, for what is none."""
    from pydantic import ValidationError

    from s2squant.config.portfolio import RULES, PortfolioSpec
    from s2squant.predict import held

    known = rule in RULES and rule != "file"
    named = {"weights": rule} if known else {"weights": "file", "file": rule}
    if not known and not Path(rule).is_file():
        rules = ", ".join(name for name in RULES if name != "file")
        raise ConfigError(f"--portfolio {rule}: neither a file nor one of {rules}")
    try:
        spec = PortfolioSpec.model_validate(named | {"currency": currency, "draws": min(max(draws, 100), 100_000)})
    except ValidationError as error:
        raise ConfigError(f"--currency {currency}: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None
    return held(made, spec)


def _show_held(told: Held) -> None:
    """What is to be expected of a portfolio, and who adds its risk."""
    names = (">mean", ">80 % range", ">fall", ">VaR 95 %", ">ES 95 %", ">VaR 99 %", ">ES 99 %", ">drawdown")
    table = plain_table("portfolio, step", *names, ">1 in 20", ">diversified")
    for row in told.outlook.to_dict("records"):
        figures = [_percent(row[name]) for name in ("var_95", "es_95", "var_99", "es_99")]
        figures += [_percent(row[name]) for name in ("drawdown_median", "drawdown_95", "diversification")]
        spread = f"{_percent(row['low_80'])} to {_percent(row['high_80'])}"
        table.add_row(str(int(row["step"])), _percent(row["mean"]), spread, _percent(row["fall"]), *figures)
    parts = plain_table("ticker", ">weight", ">ES 95 % alone", ">adds", ">share")
    for row in told.parts.to_dict("records"):
        cells = [_percent(row[name]) for name in ("weight", "es_alone", "contribution", "share")]
        parts.add_row(str(row["unique_id"]), *cells)
    console = plain_console(least=WIDTH)
    console.print(table)
    console.print(parts)


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _put(path: Path, content: str | bytes) -> None:
    from s2squant.files import write_atomic

    try:
        write_atomic(path, content)
    except OSError as error:
        raise SourceError(f"{path}: cannot be written ({error.strerror}); choose another place") from None


def _show(made: Prediction) -> None:
    """Fans of the first tickers, the table in prices, and what must be known of it."""
    from s2squant.cli.fan_plot import days_old, fan_lines, key
    from s2squant.prices.calendars.grid import clock_name, clock_text
    from s2squant.series.outlook import short_history

    for line in (*made.remarks, *_cautions(made)):
        print(line, file=sys.stderr)
    drawn = made.outlooks[:FANS]
    for o in drawn:
        history = o.history
        unit = "bars" if history.is_intraday else "sessions"
        when = clock_text(history.calendar, history.dates[-1:])[0]
        print(f"{history.ticker}, {len(o.dates_H)} {unit} ahead of {when} {clock_name(history.calendar)}".rstrip())
        past, ahead = (clock_text(history.calendar, days) for days in (history.dates, o.dates_H))
        print("\n".join(fan_lines(history.adj_close, past, o.prices_HQ, ahead)), end="\n\n")
    print(key())
    plain_console(least=WIDTH).print(_table(made))
    print("fall: probability of a close below the last one; VaR: loss that is exceeded with a probability of 5 or 1 %")
    classes: dict[str, list[str]] = {}
    for o in made.outlooks:
        word = "declared" if o.history.declared_class else "guessed"
        classes.setdefault(f"{o.history.asset_class} ({word})", []).append(o.history.ticker)
    for name, members in classes.items():
        print(f"{name}: {first_of(members, ROWS)}")
    for o in made.outlooks:
        if said := short_history(o):
            print(f"note: {said}")
    ends: dict[str, list[str]] = {}
    for o in made.outlooks:
        if days_old(o.history.dates[-1]) > STALE:
            ends.setdefault(clock_text(o.history.calendar, o.history.dates[-1:])[0], []).append(o.history.ticker)
    for day, members in ends.items():
        print(f"note: prices of {first_of(members, ROWS)} end on {day}: forecasts are of that day")
    print("not judged: s2squant backtest says what such forecasts are worth on these prices")


def _cautions(made: Prediction) -> list[str]:
    """What the source and the checks of its prices say that a reader must know."""
    lines = [f"note: {o.history.ticker}: {note}" for o in made.outlooks for note in o.history.notes]
    return lines + [
        f"warning: {o.history.ticker}: {finding.name}: {finding.text}"
        for o in made.outlooks
        for finding in o.history.findings
        if finding.severity == "warning"
    ]


def _table(made: Prediction) -> Table:
    from s2squant.prices.calendars.grid import clock_text
    from s2squant.report.formats import price
    from s2squant.series.outlook import RANGES

    names = ("ticker", ">close", ">step", "date", ">median", *(f">{p} % range" for p in RANGES))
    table = plain_table(*names, ">fall", ">VaR 95 %", ">VaR 99 %")
    for o in made.outlooks:
        horizon = len(o.dates_H)
        for step in sorted({1, horizon}) if len(made.outlooks) <= ROWS else (horizon,):
            ranges = (" to ".join(price(edge, o.close) for edge in o.range(step, percent)) for percent in RANGES)
            losses = (f"{100 * o.value_at_risk(step, level):.1f} %" for level in (0.05, 0.01))
            risk = f"{100 * o.fall(step):.0f} %", *losses
            cells = (
                ticker_cell(o.history.ticker),
                price(o.close),
                str(step),
                clock_text(o.history.calendar, o.dates_H[step - 1 : step])[0],
            )
            table.add_row(*cells, price(o.price(step, 0.5), o.close), *ranges, *risk)
    return table
