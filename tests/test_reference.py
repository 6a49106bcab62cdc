"""The reference pages say what the code says; the site of docs/ can be built and loads nothing."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "docs" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["cli", "configuration"])
def test_a_reference_page_is_as_the_code_is(reference: ModuleType, page: str) -> None:
    said = {"cli": reference.cli_page, "configuration": reference.configuration_page}[page]()
    there = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    assert there == said, "run `python docs/reference.py`"


def test_settings_have_the_defaults_of_their_place(reference: ModuleType) -> None:
    page = reference.configuration_page()
    assert '| `forecasters.garch_shrunk.mean` | `"shrunk"` |' in page
    assert "| `walk.horizon` | `20` | steps ahead, H |" in page


@pytest.mark.slow
def test_the_site_is_built_and_asks_nobody(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="make setup brings it")
    site, quiet = tmp_path / "site", {"NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(site)]
    subprocess.run(command, cwd=ROOT, check=True, env=os.environ | quiet)
    pages = [path.read_text(encoding="utf-8") for path in site.glob("**/*.html")]
    assert len(pages) > 15
    for text in pages:
        assert not re.findall(r"""<(?:script|link|img|iframe)[^>]+(?:src|href)=["']?https?:""", text)
