"""s2squant report RUN_DIR: the pages of a finished run, written again from its files alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from s2squant.cli.tables import page_at
from s2squant.errors import RunError

OURS = "assets/report.js"
"""What a folder of pages must hold to be written over."""


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="The folder of a finished run.")],
    single_file: Annotated[
        bool, typer.Option("--single-file", help="Write one report.html that holds everything, to send or to keep.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the pages go. Left out: the run's own folder.")
    ] = None,
) -> None:
    """Write the report of a finished run again, from its files alone: no prices are fetched, nothing is computed.

    Example: s2squant report reports/latest --single-file --out to_send
    """
    from s2squant.report.runs_page import runs_page
    from s2squant.report.study_pages import render
    from s2squant.runs.folder import RunFolder
    from s2squant.runs.run_list import write_list
    from s2squant.runs.study_files import (
        load_experiment,  # pandas: seconds that --help need not wait for
        load_study,
    )

    chosen, target = load_experiment(run).verdict, RunFolder(out or run)
    if target.path != run:
        _refuse_foreign(target.path, single_file)
    models = {chosen.reference, chosen.recommended}
    study = load_study(run, models=models, without=("scores",))
    try:
        target.write_pages(render(study, single_file=single_file, runs=target.runs_page))
        write_list(target, runs_page, latest=False)
    except OSError as error:
        raise RunError(f"{target.path}: cannot be written ({error.strerror}); choose another --out") from None
    print(f"report: {page_at(target.path / ('report.html' if single_file else 'index.html'))}")


def _refuse_foreign(path: Path, single_file: bool) -> None:
    """Raise RunError where pages would go among files that are not a report's."""
    if path.exists() and not path.is_dir():
        raise RunError(f"{path}: not a folder; choose another --out")
    if not single_file and path.is_dir() and any(path.iterdir()) and not (path / OURS).exists():
        raise RunError(f"{path}: holds files that are no report; choose another --out")
