"""What the pages name is there: files of the repository, in Markdown and in docstrings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from s2squant.config.files import make_experiment, override

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "data/**/*.md", "s2squant/**/*.py", "flows/**/*.py", "benchmarks/*.py")
    for path in ROOT.glob(pattern)
    if path.name != "CHANGELOG.md"
)
OURS = re.compile(r"(?<![\w./-])(?:s2squant|flows|tests|docs|benchmarks)/[\w./-]*\w\.(?:py|md|yaml|toml)\b")
SETTING = re.compile(r"--set (?:'([^']+)'|([\w.]+=[^\s`\\]+))")
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")
FUNCTION = re.compile(r"`([\w/]+\.py)` `(\w+)`")
MODULE = re.compile(r"(?<![\w/])[a-z_]+\.py\b")


def missing(text: str) -> set[str]:
    """The paths from the root that a text names and nobody finds."""
    return {name for name in OURS.findall(text) if not (ROOT / name).is_file()}


def broken_links(text: str, folder: Path) -> set[str]:
    """The links of a page in this folder that lead nowhere."""
    return {name for name in LINK.findall(text) if not (folder / name).exists()}


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.suffix == ".md"], ids=lambda p: str(p.relative_to(ROOT))
)
def test_a_page_names_files_that_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert missing(text) | broken_links(text, page.parent) == set()


@pytest.mark.parametrize("page", ["README.md", "docs/prices.md", "docs/statistics.md", "docs/scaling.md"])
def test_settings_in_a_page_are_read(page: str) -> None:
    commands = (ROOT / page).read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    found = [settings for line in commands if (settings := ["".join(parts) for parts in SETTING.findall(line)])]
    for settings in found:
        make_experiment(override({}, settings))
    assert found or page != "README.md"


def test_the_architecture_names_functions_that_are_there() -> None:
    named = FUNCTION.findall((ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"))
    assert len(named) > 20
    assert [
        (file, name) for file, name in named if f"def {name}(" not in (ROOT / file).read_text(encoding="utf-8")
    ] == []


def test_docstrings_name_files_that_are_there() -> None:
    names = {path.name for path in ROOT.glob("*/**/*.py") if ".venv" not in path.parts}
    sources = {page: page.read_text(encoding="utf-8") for page in PAGES if page.suffix == ".py"}
    gone = {(page.name, name) for page, text in sources.items() for name in MODULE.findall(text) if name not in names}
    gone |= {(page.name, name) for page, text in sources.items() for name in missing(text)}
    assert gone == set()


def test_a_name_that_is_gone_is_seen() -> None:
    text = "see s2squant/records.py, [here](no/page.md), [there](README.md) and s2squant/study.py"
    assert missing(text) == {"s2squant/records.py"}
    assert broken_links(text, ROOT) == {"no/page.md"}
