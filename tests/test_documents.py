"""What the pages name is there: files of the repository, in Markdown and in docstrings."""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import typer

from s2squant.cli.app import app
from s2squant.config.files import make_experiment, override

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "data/**/*.md", "s2squant/**/*.py", "flows/**/*.py", "benchmarks/*.py")
    for path in ROOT.glob(pattern)
    if path.name != "CHANGELOG.md"
)
MARKDOWN = [path.relative_to(ROOT) for path in PAGES if path.suffix == ".md"]
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


@pytest.mark.parametrize("page", MARKDOWN, ids=str)
def test_settings_in_a_page_are_read(page: Path) -> None:
    commands = (ROOT / page).read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    found = [settings for line in commands if (settings := ["".join(parts) for parts in SETTING.findall(line)])]
    for settings in found:
        data = override({}, settings)
        if not any("forecasters.own" in setting for setting in settings):  # an own model is known where it is
            make_experiment(data)
    assert found or page.name != "README.md" or page.parent != Path()


@pytest.mark.parametrize("page", MARKDOWN, ids=str)
def test_commands_in_a_page_are_understood(page: Path) -> None:
    """Each has its command, and each of its options is one; none of them is run here."""
    group = typer.main.get_group(app)
    for line in commands(ROOT / page):
        words, command = (
            [*itertools.takewhile(lambda word: word not in (">", "|"), shlex.split(line, comments=True))],
            group,
        )
        words = words[1:]
        while words and words[0] in getattr(command, "commands", {}):
            command, words = command.commands[words[0]], words[1:]
        if command is group:
            assert set(words) <= {"--help", "--version"}, f"{page}: {line}"
            continue
        with command.make_context("s2squant", [*words], resilient_parsing=False):
            pass


@pytest.mark.slow
def test_the_quick_commands_of_the_readme_run(tmp_path: Path) -> None:
    """All but those that train for minutes, go on for ever or ask Yahoo; those have tests of their own."""
    (tmp_path / "my_prices").mkdir()
    for ticker in ("AAPL", "IBM"):
        bars = pd.read_parquet(ROOT / "data" / "sample" / f"{ticker}.parquet").reset_index()
        bars.to_csv(tmp_path / "my_prices" / f"{ticker}.csv", index=False)
    ran = [line for line in commands(ROOT / "README.md") if re.search(r"s2squant (predict|prices|config)", line)]
    for line in ran:
        start = f"{sys.executable} -c 'import sys; from s2squant.cli import main; sys.exit(main(sys.argv[1:]))'"
        call = line.replace(".venv/bin/s2squant", start, 1)
        done = subprocess.run(
            call, shell=True, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, check=False
        )
        assert done.returncode == 0, f"{line}: {done.stderr.decode()}"
    assert len(ran) >= 4
    assert (tmp_path / "experiment.json").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["first_forecast", "own_prices_and_covariates"])
def test_a_notebook_says_what_it_shows(name: str) -> None:
    """Its cells run in order in the repository's folder, and print what stands beneath them."""
    cells = json.loads((ROOT / "docs" / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert all(cell["outputs"] for cell in code), "executed"
    last = "".join(code[-1]["outputs"][0]["text"])
    source = "\n".join("".join(cell["source"]) for cell in code)
    done = subprocess.run(
        [sys.executable, "-c", source],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == last.strip()


def commands(page: Path) -> list[str]:
    """The lines of a page's indented code that call s2squant, long ones put together."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.startswith("    ")]
    return [line for line in lines if re.match(r"(?:\S*/)?s2squant ", line) and "..." not in line]


def test_the_readme_is_short_and_its_commands_are_seen() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.split()) <= 1100
    assert len(commands(ROOT / "README.md")) >= 8
    assert "make test " in text, "the test command that .ci/run calls"
    assert "make test\n" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_every_page_of_docs_is_in_the_readme_and_on_the_site() -> None:
    pages = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").glob("**/*.md")}
    readme, site = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "mkdocs.yml"))
    linked = {f"{name}/README.md" if "." not in name else name for name in re.findall(r"\]\(docs/([^)#]+)\)", readme)}
    assert pages <= linked
    assert pages == set(re.findall(r"[\w/-]+\.md", site))


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
