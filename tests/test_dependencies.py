"""Dependencies in pyproject.toml: those of the package are what it imports, no more and no less."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[1]
OF_PREFECT = {"fastapi"}
"""Pinned beside Prefect, which does not pin it, and imported by it alone."""


def name(requirement: str) -> str:
    """The distribution's normalised name."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", requirement, maxsplit=1)[0]).lower()


def imported() -> set[str]:
    """Third-party distributions that the package or the flows import, at any depth."""
    tops = set()
    for path in (path for folder in ("s2squant", "flows") for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            tops |= {module.partition(".")[0] for module in modules}
    known = packages_distributions()
    ours = tops - sys.stdlib_module_names - {"s2squant", "flows"}
    return {min(name(one) for one in known.get(top, [top])) for top in ours}


def test_what_is_imported_is_required_and_what_is_required_is_imported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    further = extras["dask"] + extras["plot"] + extras["ray"]
    needed, optional = ({name(line) for line in lines} for lines in (project["dependencies"], further))
    assert needed - imported() == OF_PREFECT
    assert imported() - needed - optional == {"dask"}, "comes with distributed, which pins it"
