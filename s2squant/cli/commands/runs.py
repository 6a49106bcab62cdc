"""s2squant runs, s2squant open [RUN]: the runs below reports/, and one's page in the browser."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from s2squant.cli.options import AsJson
from s2squant.cli.tables import page_at, plain_console, plain_table
from s2squant.errors import RunError

WIDTH = 100
"""Characters of the table, also where a terminal has fewer: names of runs are to be copied."""


def runs(
    many: Annotated[int, typer.Option("--last", metavar="N", min=1, help="How many, the newest.")] = 20,
    as_json: AsJson = False,
) -> int:
    """List the runs below reports/, the newest first: verdict, skill, tickers, status.

    Example: s2squant runs --last 5

    Exit status: 0.
    """
    from s2squant.runs.folder import REPORTS  # pandas: half a second that --help need not wait for
    from s2squant.runs.run_list import list_runs

    entries = list_runs()[:many]
    if as_json:
        print(json.dumps([asdict(entry) for entry in entries], indent=1))
        return 0
    if not entries:
        print("no run yet: s2squant backtest makes one")
        return 0
    table = plain_table("run", "verdict", ">skill, %", ">tickers", "status")
    for e in entries:
        skill = "" if e.skill is None else f"{100 * e.skill:+.2f}"
        if e.skill is not None and e.low is not None and e.high is not None:
            skill += f" [{100 * e.low:+.2f}, {100 * e.high:+.2f}]"
        table.add_row(e.place, e.word, skill, str(len(e.tickers) or ""), e.status)
    plain_console(least=WIDTH).print(table)
    if (REPORTS / "index.html").is_file():
        print(f"all of them: {page_at(REPORTS / 'index.html')}")
    return 0


def open_page(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A folder, a run's name or its beginning. Left out: the latest.")
    ] = "latest",
) -> int:
    """Open a run's report in the browser, and say where it is.

    Example: s2squant open

    Exit status: 0; 2 where there is no such run, or it has no page.
    """
    import webbrowser

    from s2squant.runs.folder import RunFolder
    from s2squant.runs.run_list import find_run

    folder = RunFolder(find_run(run))
    page = folder.path / "index.html"
    if not page.is_file():
        raise RunError(f"{page}: not there; the run has not finished, or `s2squant report` writes its pages again")
    folder.check(page.name)
    print(page_at(page), flush=True)
    webbrowser.open(page_at(page))
    return 0
