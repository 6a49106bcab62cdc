"""s2squant reproduce NAME: a classical experiment of the seq2seq literature, as a page and a file of figures."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich import box
from rich.table import Table

from s2squant import __version__
from s2squant.cli.exits import interrupted
from s2squant.cli.progress import Progress as Bars
from s2squant.cli.tables import page_at, plain_console
from s2squant.errors import RunError
from s2squant.files import json_values, sealed

if TYPE_CHECKING:  # an experiment brings torch, which a help text can do without
    from s2squant.experiments.result import Progress, Result

Name = Literal["copy", "sine", "waves", "latent", "zoo"]
PACKAGES = ("torch", "numpy", "pandas", "safetensors")
WIDEST = len("-1.234e-100")
"""Characters of a number that a table of figures shows."""
STAMP, RESULT = "reproduce.json", "result.json"
"""Which experiment a folder is of, written first; its figures, written last."""


def reproduce(
    ctx: typer.Context,
    name: Annotated[
        Name,
        typer.Argument(
            metavar="copy|sine|waves|latent|zoo",
            help="copy: tokens said again. sine, waves: signals. latent: autoencoders. zoo: the family on prices.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the page goes. Left out: reports/reproduce/NAME.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A small budget; its figures mean little.")] = False,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Seed of everything random.")] = 0,
) -> int:
    """Run an experiment of the literature and write its page and result.json.

    copy, sine and waves take minutes, zoo half an hour; a zoo that was stopped goes on in the same folder.

    Example: s2squant reproduce copy --quick

    Exit status: 0 done; 2 a mistake in what was asked (one line says which);
    1 a fault of s2squant itself; 130 interrupted.
    """
    from s2squant.experiments.result import experiment_page
    from s2squant.report.experiment_page import render_experiment
    from s2squant.report.runs_page import runs_page
    from s2squant.runs.folder import REPORTS, RunFolder
    from s2squant.runs.run_list import write_list

    folder = RunFolder(out or REPORTS / "reproduce" / name)
    began = time.perf_counter()
    with _writable(folder.path):
        before = _held(folder.path)
        _take(folder.path, name)
        folder.write_text(STAMP, _json({"experiment": name, "quick": quick, "seed": seed, "version": __version__}))
    try:
        with _progress() as progress:
            result = _run(name, progress, folder.path, quick=quick, seed=seed)
    except KeyboardInterrupt:
        rest = "the same command goes on from there" if name == "zoo" else "nothing of it is kept"
        return interrupted(rest)
    except RunError:  # refused: what is finished there stays
        for file, content in before.items():
            (folder.path / file).write_bytes(content)
        raise
    facts = _facts(name, quick=quick, seed=seed, seconds=time.perf_counter() - began)
    figures = json_values(result.figures)
    page = experiment_page(result, command=ctx.obj.command, facts=facts)
    with _writable(folder.path):
        folder.write_pages(render_experiment(page, runs=folder.runs_page))
        folder.write_text(RESULT, sealed({**facts, "command": ctx.obj.command, "figures": figures}, sort=False))
    write_list(folder, runs_page)
    plain_console().print(_table({name: value for name, value in figures.items() if value != result.conclusion}))
    print(result.conclusion)
    print(f"page: {page_at(folder.path / 'index.html')}", flush=True)
    return 0


def _run(name: Name, progress: Progress, out: Path, *, quick: bool, seed: int) -> Result:
    match name:
        case "copy":
            from s2squant.experiments import copy_task

            return copy_task.run(progress, quick=quick, seed=seed)
        case "sine":
            from s2squant.experiments import sine

            return sine.run(progress, quick=quick, seed=seed)
        case "waves":
            from s2squant.experiments import waves

            return waves.run(progress, quick=quick, seed=seed)
        case "latent":
            from s2squant.experiments import latent

            return latent.run(progress, quick=quick, seed=seed)
        case "zoo":
            from s2squant.experiments import zoo

            return zoo.run(progress, out=out, quick=quick, seed=seed)


def _held(path: Path) -> dict[str, bytes]:
    """What says of a folder which experiment is finished in it."""
    return {file: (path / file).read_bytes() for file in (STAMP, RESULT) if (path / file).is_file()}


def _take(path: Path, name: Name) -> None:
    """Make the folder this experiment's, unfinished; raises RunError where something else is in it."""
    if path.exists() and not path.is_dir():
        raise RunError(f"{path}: not a folder; choose another --out")
    if not path.is_dir() or not any(path.iterdir()):
        return
    try:
        of = json.loads((path / STAMP).read_text(encoding="utf-8"))["experiment"]
    except (OSError, ValueError, KeyError, TypeError):
        raise RunError(f"{path}: not empty and no experiment of ours; choose another --out") from None
    if of != name:
        raise RunError(f"{path}: holds the experiment {of}; choose another --out")
    (path / RESULT).unlink(missing_ok=True)


@contextmanager
def _writable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunError(f"{path}: cannot be written ({error.strerror}); choose another --out") from None


@contextmanager
def _progress() -> Iterator[Progress]:
    """A progress bar on a terminal, a line for each news elsewhere; standard error either way."""
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

    name = TextColumn("{task.description}", markup=False)
    with Bars(name, BarColumn(), TaskProgressColumn(), TimeElapsedColumn()) as shown:
        if not shown.on_terminal:
            yield lambda what, done: shown.say(f"[{100 * done:3.0f} %] {what}")
            return
        bar = shown.bars.add_task("starting", total=1.0)
        shown.start()
        yield lambda what, done: shown.bars.update(bar, description=what, completed=done)


def _facts(name: Name, *, quick: bool, seed: int, seconds: float) -> dict[str, Any]:
    from importlib import metadata

    versions = {package: metadata.version(package) for package in PACKAGES}
    return {
        "experiment": name,
        "quick": quick,
        "seed": seed,
        "seconds": round(seconds, 1),
        "finished_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "versions": {"s2squant": __version__, "python": platform.python_version(), **versions},
        "platform": platform.platform(),
    }


def _table(figures: Mapping[str, Any]) -> Table:
    """The figures that are one value, and those one level below them; numbers stay whole in a narrow terminal."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=False)
    table.add_column(overflow="fold")
    table.add_column(justify="right", min_width=WIDEST)
    for key, value in figures.items():
        label = str(key).replace("_", " ")
        if isinstance(value, Mapping):
            for inner, part in value.items():
                if _is_one(part):
                    table.add_row(f"{label}: {str(inner).replace('_', ' ')}", _shown(part))
        elif _is_one(value):
            table.add_row(label, _shown(value))
    return table


def _is_one(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def _shown(value: Any) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.4g}"
    return str(value)


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, indent=1, allow_nan=False) + "\n"
