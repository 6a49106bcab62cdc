"""The rules of the house, read from the source by `ast`: who imports whom, who touches files, how long a file is."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LONGEST = 400

GROUND = {"findings", "errors", "config", "network_specs", "baseline_specs", "records", "exhibits", "evidence"}
GROUND |= {"nightly_specs", "night_records", "by_hand"}
FORECASTING = {"forecasters", "baselines", "neural", "anchor", "blend"}
JUDGING = {"scores", "losses", "diebold_mariano", "comparisons", "wording", "significance"}
JUDGING |= {"readings", "conformal", "step_groups", "calibrated_null", "calibration", "sharpness", "exceedances"}
JUDGING |= {"scorecard", "max_t", "giacomini_white", "clark_west", "fluctuation", "direction", "shrinkage"}
JUDGING |= {"multiplicity", "further_tests", "paths", "assessment", "monitor", "track_record"}
JUDGING |= {"revisions", "live_outcomes", "live_calibration"}
JUDGING |= {"pairs", "energy", "misses", "groups", "cross_section"}
RIM = {"store", "ledger", "plan", "work", "pool", "manifest", "archive", "changes", "study", "screen"}
RIM |= {"cli", "commands", "experiments", "trials", "trading", "audit", "leaks", "plugins", "options"}
RIM |= {"ledger_tables", "migrations", "nightly", "night_work", "night_plan", "night_state", "night_end", "night_view"}
RIM |= {"night_issue", "night_scoring", "night_screen", "model_store", "replay", "retention"}
RIM |= {"ledger_database", "ledger_entries", "ledger_outcomes", "operation", "prefect_api", "nightly_file"}
RIM |= {"night_rescoring"}
RIM |= {"fits", "estimator", "estimator_files", "frame_keys", "parameters"}
RIM |= {"errand", "handover", "engines", "dask_pool", "ray_pool", "unguarded"}
RIM |= {"tuning", "tuning_space", "tuning_split", "tuning_work", "tuning_records", "tuning_page", "tuning_end"}
TRADING = {"strategy", "performance", "overfitting"}
ARROWS: dict[str, set[str]] = {
    "findings": set(),
    "errors": {"findings"},
    "network_specs": set(),
    "baseline_specs": {"network_specs"},
    "by_hand": set(),
    "config": {"by_hand", "errors", "network_specs", "baseline_specs"},
    "nightly_specs": {"config", "network_specs"},
    "night_records": {"nightly_specs", "records"},
    "tuning_specs": {"network_specs"},
    "exhibits": set(),
    "evidence": set(),
    "records": {"errors", "config", "exhibits", "findings", "evidence"},
    "atomic": set(),
    "frames": GROUND,
    "long_frame": GROUND | {"frames"},
    "nets": {"config", "network_specs"},
    "scenarios": GROUND | {"features", "nets"},
    **dict.fromkeys(("windows", "features", "strategy", "report"), GROUND),
    **dict.fromkeys(("performance", "overfitting"), GROUND | TRADING | {"diebold_mariano"}),
    "prices": GROUND | {"atomic"},
    **dict.fromkeys(FORECASTING, GROUND | FORECASTING | {"windows", "features", "frames", "nets"}),
    **dict.fromkeys(JUDGING, GROUND | JUDGING | {"frames"}),
}
"""A part of the house, and the parts it may import. The rim may import any; circles are found apart."""

HOLDERS = {
    "prefect": "flows",
    "yfinance": "s2squant.prices.yahoo",
    "plotly": "s2squant.report",
    "jinja2": "s2squant.report",
    "dask": "s2squant.dask_pool",
    "distributed": "s2squant.dask_pool",
    "ray": "s2squant.ray_pool",
    "optuna": "s2squant.tuning",
}
"""Who alone imports a package."""
FILES = {"pathlib", "os", "shutil", "tempfile", "glob", "fcntl", "sqlite3"}
TOUCH_FILES = {"atomic", "store", "ledger", "trials", "options", "cli", "commands", "prices", "model_store"}
TOUCH_FILES |= {"prefect_api", "nightly_file", "retention", "migrations", "ledger_database"}
TOUCH_FILES |= {"tuning_work"}
HANDLE_PATHS = {"study": {"pathlib", "os"}, "screen": {"pathlib"}, "pool": {"os"}, "archive": {"pathlib"}}
HANDLE_PATHS |= {"trading": {"pathlib"}, "experiments": {"pathlib", "os"}, "operation": {"pathlib"}}
HANDLE_PATHS |= {"errand": {"pathlib"}, "handover": {"pathlib"}, "dask_pool": {"os"}, "ray_pool": {"os", "tempfile"}}
HANDLE_PATHS |= {"unguarded": {"os", "pathlib"}, "tuning": {"pathlib", "os"}, "estimator": {"pathlib", "tempfile"}}
HANDLE_PATHS |= {"nightly": {"pathlib", "os"}, "replay": {"pathlib"}, "night_screen": {"pathlib"}}
HANDLE_PATHS |= {"night_plan": {"pathlib"}, "night_work": {"pathlib"}, "night_view": {"pathlib"}}
"""They hand paths on, count cores and watch processes, but open nothing."""
IMPORT_LATE = {"s2squant.cli", "s2squant.prices"}


def violations(sources: Mapping[str, str]) -> list[str]:
    """What breaks a rule, one line each; `sources` maps "s2squant.scores" or "flows.backtest" to its text."""
    trees = {name: ast.parse(text) for name, text in sources.items()}
    known = set(sources)
    rules = (_arrows, _packages, _file_touching, _late_imports, _open_arguments)
    found = [f"{name}: {what}" for name, tree in trees.items() for rule in rules for what in rule(name, tree, known)]
    found += [f"{n}: longer than {LONGEST} lines" for n, text in sources.items() if len(text.splitlines()) > LONGEST]
    try:
        TopologicalSorter({name: _inner(tree, known) - {name} for name, tree in trees.items()}).prepare()
    except CycleError as error:
        found.append("circle: " + " -> ".join(error.args[1]))
    return found


def _part(name: str) -> str:
    """The room a module belongs to: "prices" of s2squant.prices.yahoo; empty for s2squant itself."""
    return [*name.split("."), ""][1]


def _arrows(name: str, tree: ast.Module, known: set[str]) -> Iterator[str]:
    if name.startswith("flows"):
        return
    part = _part(name)
    if part and part not in RIM | set(ARROWS):
        yield f"{part} has no place in the house; give it one in {Path(__file__).name}"
    for target in _inner(tree, known):
        if target.startswith("flows"):
            yield f"imports {target}; only flows may"
        elif part in ARROWS and _part(target) not in ARROWS[part] | {part, ""}:
            yield f"imports {target}; {part} may import {', '.join(sorted(ARROWS[part])) or 'nothing of the house'}"


def _packages(name: str, tree: ast.Module, known: set[str]) -> Iterator[str]:
    for top in {module.partition(".")[0] for module, _ in _imported(tree)}:
        if top in HOLDERS and not f"{name}.".startswith(f"{HOLDERS[top]}."):
            yield f"imports {top}; only {HOLDERS[top]} may"
        if _part(name) == "nets" and top not in sys.stdlib_module_names | {"torch", "s2squant"}:
            yield f"imports {top}; the wing knows torch only"


def _file_touching(name: str, tree: ast.Module, known: set[str]) -> Iterator[str]:
    part = _part(name)
    if name.startswith("flows") or part in TOUCH_FILES:
        return
    for top in {module.partition(".")[0] for module, _ in _imported(tree)} & FILES - HANDLE_PATHS.get(part, set()):
        yield f"imports {top}; only {', '.join(sorted(TOUCH_FILES))} touch files"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "open":
            yield f"calls open(); only {', '.join(sorted(TOUCH_FILES))} touch files"


def _late_imports(name: str, tree: ast.Module, known: set[str]) -> Iterator[str]:
    if name in IMPORT_LATE or name.startswith(("flows", "s2squant.commands.")):
        return
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from (f"imports {module} inside {function.name}()" for module in _inner(function, known))


def _open_arguments(name: str, tree: ast.Module, known: set[str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and node.args.kwarg:
            yield f"takes **{node.args.kwarg.arg} in line {node.lineno}; name the arguments"


def _imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Every import below a node as (module, name), those under TYPE_CHECKING too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            yield from ((node.module or "", alias.name) for alias in node.names)


def _inner(tree: ast.AST, known: set[str]) -> set[str]:
    """The modules of the house that a node imports; `from s2squant import windows` is s2squant.windows."""
    ours = [(m, f"{m}.{name}") for m, name in _imported(tree) if m.partition(".")[0] in ("s2squant", "flows")]
    return {full if full in known else module for module, full in ours}


def house() -> dict[str, str]:
    """Every source file of the packages under its dotted name."""
    files = [path for folder in ("s2squant", "flows") for path in sorted((ROOT / folder).rglob("*.py"))]
    names = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in files}
    return {names[path]: path.read_text(encoding="utf-8") for path in files}


def test_the_house_keeps_its_rules() -> None:
    assert violations(house()) == []


@pytest.mark.parametrize(
    ("module", "text", "complaint"),
    [
        ("s2squant.scores", "from s2squant.windows import x", "scores may import"),
        ("s2squant.scores", "from s2squant import windows", "scores may import"),
        (
            "s2squant.config",
            "import s2squant.records",
            "config may import baseline_specs, by_hand, errors, network_specs",
        ),
        ("s2squant.nets.heads", "import numpy", "the wing knows torch only"),
        ("s2squant.nets.heads", "from s2squant.records import x", "nets may import config, network_specs"),
        ("s2squant.study", "import prefect.states", "only flows may"),
        ("s2squant.prices.checks", "import yfinance", "only s2squant.prices.yahoo may"),
        ("s2squant.prices.yahoo_more", "import yfinance", "only s2squant.prices.yahoo may"),
        ("s2squant.strategy", "from plotly import x", "only s2squant.report may"),
        ("s2squant.strategy", "from pathlib import Path", "touch files"),
        ("s2squant.study", "import shutil", "touch files"),
        ("s2squant.strategy", "def f():\n    open('x')", "calls open()"),
        ("s2squant.study", "def f():\n    from s2squant.errors import x", "inside f()"),
        ("s2squant.study", "from flows.tasks import x", "only flows may"),
        ("s2squant.strategy", "def f(**options): ...", "takes **options"),
        ("s2squant.strategy", "\n" * (LONGEST + 1), "longer than"),
        ("s2squant.helpers", "", "no place in the house"),
    ],
)
def test_a_broken_rule_is_seen(module: str, text: str, complaint: str) -> None:
    known = dict.fromkeys(("s2squant.windows", "s2squant.records", "s2squant.errors", "flows.tasks"), "")
    found = violations({**known, module: text})
    assert len(found) == 1
    assert complaint in found[0]


def test_a_circle_is_seen() -> None:
    sources = {"s2squant.neural": "from s2squant.anchor import x", "s2squant.anchor": "import s2squant.neural"}
    assert [line.split(":")[0] for line in violations(sources)] == ["circle"]


def test_what_is_allowed_passes() -> None:
    sources = {
        "s2squant.report.pages": "import jinja2\nfrom s2squant.records import Study\nfrom s2squant.report import slugs",
        "s2squant.report.slugs": "import hashlib",
        "s2squant.records": "from s2squant.config import Experiment",
        "s2squant.config": "",
        "s2squant.prices.yahoo": "import os\nimport yfinance",
        "s2squant.cli": "def f():\n    from s2squant.study import backtest",
        "s2squant.study": "from s2squant import __version__",
        "s2squant": "__version__ = ''",
        "flows.backtest": "import os\nimport prefect\nfrom s2squant import cli",
    }
    assert violations(sources) == []
