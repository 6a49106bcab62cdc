"""The one rule of imports, read from the source by `ast`: a package imports only packages to its left in LINE.

Inside a package the order is free, but there is one: its modules and sub-packages import each other in no circle.

`python -m tests.test_architecture` prints the picture: floors, arrows, circles, lengths.
"""

from __future__ import annotations

import ast
import re
import statistics
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]

LINE = (
    ("errors", "files"),
    ("config",),
    ("series", "nets"),
    ("prices", "forecasters", "evaluation"),
    ("report", "runs"),
    ("study", "nightly", "tuning", "experiments", "estimator", "predict"),
    ("cli",),
    ("flows",),
)
"""The packages in order, one floor a line: those of a floor do not see each other."""

HOLDERS = {
    "torch": ("s2squant.nets", "s2squant.forecasters", "s2squant.experiments", "s2squant.runs.engines"),
    "prefect": ("flows",),
    "yfinance": ("s2squant.prices.sources.yahoo",),
    "exchange_calendars": ("s2squant.prices.calendars.exchanges",),
    "pyarrow": ("s2squant.prices", "s2squant.runs.folder", "s2squant.runs.memory"),
    "jinja2": ("s2squant.report",),
    "plotly": ("s2squant.report.figure_objects",),
    "sqlalchemy": ("s2squant.nightly.ledger", "s2squant.evaluation.strategy.trial_ledger", "s2squant.tuning"),
    "alembic": ("s2squant.nightly.ledger.migrations",),
    "optuna": ("s2squant.tuning",),
    "dask": ("s2squant.runs.engines.on_dask",),
    "distributed": ("s2squant.runs.engines.on_dask",),
    "ray": ("s2squant.runs.engines.on_ray",),
    "fcntl": ("s2squant.files",),
    "typer": ("s2squant.cli",),
    "rich": ("s2squant.cli",),
}
"""Who alone imports a library."""

FORWARDS = ("s2squant.estimator.keywords",)
"""Who alone takes any keyword: it hands them on, and says which one is not known."""

LONGEST, MEDIAN, ROOMS = 400, 180, 17
"""Lines of the longest file and of the median one; entries of the package's root beside __init__.py and py.typed."""


def violations(sources: Mapping[str, str]) -> list[str]:
    """What breaks a rule, one line each; `sources` maps dotted names ("flows.backtest") to their text."""
    arrows = {name: imports_of(text, set(sources)) - {name} for name, text in sources.items()}
    broken = [f"{name}: {what}" for name, targets in arrows.items() for what in _upward(name, targets)]
    broken += [f"{name}: {what}" for name, text in sources.items() for what in _held(name, text)]
    closed = {name: text for name, text in sources.items() if name not in FORWARDS}
    broken += [f"{name}: {what}" for name, text in closed.items() for what in _read(text).open_arguments]
    broken += [f"{n}: longer than {LONGEST} lines" for n, text in sources.items() if len(text.splitlines()) > LONGEST]
    return broken + [f"circle: {' -> '.join(circle)}" for circle in circles(arrows)]


def room(name: str) -> str:
    """The package a module belongs to: "prices" of s2squant.prices.sources.yahoo; empty for s2squant itself."""
    top, *rest = name.split(".")
    return "flows" if top == "flows" else [*rest, ""][0]


def floor(package: str) -> int:
    """The place of a package in LINE; -1 where it has none."""
    return next((at for at, packages in enumerate(LINE) if package in packages), -1)


def imports_of(text: str, known: set[str]) -> set[str]:
    """The modules of ours that a source imports, at any depth; `from s2squant import study` is s2squant.study."""
    ours = [(m, f"{m}.{name}") for m, name in _read(text).imports if m.partition(".")[0] in ("s2squant", "flows")]
    return {full if full in known else module for module, full in ours}


def circles(arrows: Mapping[str, set[str]]) -> list[list[str]]:
    """A circle of each package whose modules and sub-packages, each of these as one, import each other in one."""
    circles = []
    parts = [name.split(".") for name in arrows]
    for package in sorted({".".join(names[:depth]) for names in parts for depth in range(len(names))}):
        inside: dict[str, set[str]] = {}
        for name, targets in arrows.items():
            if own := _part(package, name):
                inside.setdefault(own, set()).update(_part(package, target) for target in targets)
                inside[own] -= {own, ""}
        try:
            TopologicalSorter(inside).prepare()
        except CycleError as error:
            circles.append(error.args[1])
    return circles


def _part(package: str, name: str) -> str:
    """The module or sub-package of a package that a module is or lies in; itself for the package's own __init__."""
    if name == package:
        return name
    prefix = f"{package}." if package else ""
    return prefix + name.removeprefix(prefix).partition(".")[0] if name.startswith(prefix) else ""


def _upward(name: str, targets: set[str]) -> Iterator[str]:
    own = room(name)
    if own and floor(own) < 0:
        yield f"{own} has no place in the line; give it one in {Path(__file__).name}"
    for target in sorted(targets):
        other = room(target)
        if other and other != own and floor(other) >= floor(own):
            yield f"imports {target}; {own or 's2squant'} may import only packages to its left"


def _held(name: str, text: str) -> Iterator[str]:
    for top in sorted({module.partition(".")[0] for module, _ in _read(text).imports}):
        if top in HOLDERS and not f"{name}.".startswith(tuple(f"{holder}." for holder in HOLDERS[top])):
            yield f"imports {top}; only {', '.join(HOLDERS[top])} may"
        if room(name) == "nets" and top not in sys.stdlib_module_names | {"torch", "s2squant"}:
            yield f"imports {top}; nets know torch only"


class Read(NamedTuple):
    """What the rules ask of a source: its imports as (module, name), and where a function takes any keyword."""

    imports: list[tuple[str, str]]
    open_arguments: list[str]


@cache
def _read(text: str) -> Read:
    """One walk over a source; imports count at any depth, those under TYPE_CHECKING too."""
    read = Read([], [])
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Import():
                read.imports.extend((alias.name, "") for alias in node.names)
            case ast.ImportFrom():
                assert node.level == 0, "imports are absolute here"
                read.imports.extend((node.module or "", alias.name) for alias in node.names)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda() if node.args.kwarg:
                told = f"takes **{node.args.kwarg.arg} in line {node.lineno}; name the arguments"
                read.open_arguments.append(told)
    return read


def house() -> dict[str, str]:
    """Every source file of the packages under its dotted name."""
    files = [path for folder in ("s2squant", "flows") for path in sorted((ROOT / folder).rglob("*.py"))]
    names = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in files}
    return {names[path]: path.read_text(encoding="utf-8") for path in files}


def rooms() -> list[str]:
    """What lies at the package's root, beside what makes it a typed package."""
    beside = {"__init__.py", "__pycache__", "py.typed"}
    return sorted(path.name for path in (ROOT / "s2squant").iterdir() if path.name not in beside)


def picture(sources: Mapping[str, str]) -> str:
    """The packages and what they import, then floors, circles and lengths, as text."""
    arrows = {name: imports_of(text, set(sources)) - {name} for name, text in sources.items()}
    between = {(room(a), room(b)) for a, targets in arrows.items() for b in targets if room(a) and room(b)}
    lines = []
    for at, packages in enumerate(LINE):
        for package in packages:
            below = sorted({b for a, b in between if a == package and b != package}, key=lambda p: (floor(p), p))
            lines.append(f"{at + 1}  {package:<12} {', '.join(below)}".rstrip())
    upward = [f"{a} -> {b}" for a, b in sorted(between) if a != b and floor(b) >= floor(a)]
    sizes = sorted(len(text.splitlines()) for name, text in sources.items() if name.startswith("s2squant"))
    lines.append(f"{len(LINE)} floors, {len(upward)} upward arrows, {len(circles(arrows))} circles")
    lines.append(
        f"{len(rooms())} rooms; {len(sizes)} files, median {statistics.median(sizes):g} lines, longest {sizes[-1]}"
    )
    return "\n".join(lines)


def test_the_house_keeps_its_rules() -> None:
    print(picture(house()))
    assert violations(house()) == []


def test_the_page_draws_the_line_as_it_is() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    drawn = re.findall(r"^(?:(\d)  |   )([a-z]+)  ", page.split("```")[1], flags=re.MULTILINE)
    assert [package for _, package in drawn] == [package for packages in LINE for package in packages]
    assert [package for number, package in drawn if number] == [packages[0] for packages in LINE]


def test_the_house_has_few_rooms_and_short_files() -> None:
    assert set(rooms()) == {r if (ROOT / "s2squant" / r).is_dir() else f"{r}.py" for line in LINE[:-1] for r in line}
    assert len(rooms()) <= ROOMS
    sizes = [len(text.splitlines()) for name, text in house().items() if name.startswith("s2squant")]
    assert statistics.median(sizes) <= MEDIAN


@pytest.mark.parametrize(
    ("module", "text", "complaint"),
    [
        ("s2squant.evaluation.losses", "from s2squant.forecasters.blend import x", "only packages to its left"),
        ("s2squant.evaluation.losses", "from s2squant import forecasters", "only packages to its left"),
        ("s2squant.config.models", "import s2squant.series.panel", "only packages to its left"),
        ("s2squant.series.panel", "import s2squant.nets.heads", "only packages to its left"),
        ("s2squant.nets.heads", "import numpy", "nets know torch only"),
        ("s2squant.study", "import prefect.states", "only flows may"),
        ("s2squant.study", "def f():\n    from s2squant.nightly.night import x", "only packages to its left"),
        ("s2squant.study", "from flows.tasks import x", "only packages to its left"),
        ("s2squant.prices.checks.every", "import yfinance", "only s2squant.prices.sources.yahoo may"),
        ("s2squant.prices.sources.yahoo_more", "import yfinance", "only s2squant.prices.sources.yahoo may"),
        ("s2squant.evaluation.losses", "import torch", "may"),
        ("s2squant.study", "def f(**options): ...", "takes **options"),
        ("s2squant.study", "\n" * (LONGEST + 1), "longer than"),
        ("s2squant.helpers", "", "no place in the line"),
    ],
)
def test_a_broken_rule_is_seen(module: str, text: str, complaint: str) -> None:
    known = ("s2squant.forecasters", "s2squant.forecasters.blend", "s2squant.series.panel", "s2squant.nets.heads")
    known += ("s2squant.nightly.night", "flows.tasks")
    broken = violations({**dict.fromkeys(known, ""), module: text})
    assert len(broken) == 1
    assert complaint in broken[0]


@pytest.mark.parametrize(
    "sources",
    [
        {"s2squant.nets.heads": "from s2squant.nets.bank import x", "s2squant.nets.bank": "import s2squant.nets.heads"},
        {"s2squant.nets": "import s2squant.nets.bank", "s2squant.nets.bank": "from s2squant.nets import x"},
        {
            "s2squant.prices.store.bars": "from s2squant.prices.sources.table import x",
            "s2squant.prices.store.refresh": "",
            "s2squant.prices.sources.table": "",
            "s2squant.prices.sources.yahoo": "import s2squant.prices.store.refresh",
        },
    ],
    ids=["of modules", "with the package itself", "of sub-packages"],
)
def test_a_circle_is_seen(sources: dict[str, str]) -> None:
    assert [line.split(":")[0] for line in violations(sources)] == ["circle"]


def test_what_is_allowed_passes() -> None:
    sources = {
        "s2squant.report.study_pages": "import jinja2\nfrom s2squant.evaluation.results import Study",
        "s2squant.evaluation.results": "from s2squant.config.experiment import Experiment\nfrom s2squant import series",
        "s2squant.config.experiment": "",
        "s2squant.series": "",
        "s2squant.prices.sources.yahoo": "import os\nimport yfinance",
        "s2squant.cli.app": "def f():\n    from s2squant.study import backtest",
        "s2squant.study": "from s2squant import __version__",
        "s2squant": "__version__ = ''",
        "flows.backtest": "import os\nimport prefect\nfrom s2squant import cli",
    }
    assert violations(sources) == []


if __name__ == "__main__":
    print(picture(house()))
