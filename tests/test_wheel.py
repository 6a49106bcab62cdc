"""The wheel holds the packages whole: modules, pages' templates, sample prices, weights, the mark of types."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_a_wheel_holds_every_file_of_the_packages_and_the_sample(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, ROOT]
    subprocess.run(command, check=True, timeout=300)
    (wheel,) = tmp_path.glob("s2squant-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        (entry_points,) = [archive.read(name) for name in archive.namelist() if name.endswith("entry_points.txt")]
    files = [path for folder in ("s2squant", "flows") for path in (ROOT / folder).rglob("*") if path.is_file()]
    sources = {str(path.relative_to(ROOT)) for path in files if "__pycache__" not in path.parts}
    data = {
        f"s2squant/{path.relative_to(ROOT / 'data')}"
        for folder in ("sample", "weights")
        for path in (ROOT / "data" / folder).rglob("*")
        if path.is_file()
    }
    assert names == sources | data
    assert {"s2squant/py.typed", "s2squant/report/assets/report.js", "s2squant/sample/AAPL.parquet"} <= names
    assert {f"s2squant/weights/{c}{j}.safetensors" for c in ("stocks", "currencies") for j in ("", "-judged")} <= names
    assert "s2squant/nightly/ledger/migrations/__init__.py" in names
    assert b"s2squant = s2squant.cli:main" in entry_points
