"""Sources beside files: frames in memory, and those of other packages."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest

from s2squant.config.experiment import Universe
from s2squant.errors import SourceError
from s2squant.prices.sources.memory import FrameSource
from s2squant.prices.universe import load_from, open_source

DAYS = pd.bdate_range("2023-01-02", periods=300)
PRICES = 100 * np.exp(np.cumsum(np.random.default_rng(0).normal(0, 0.01, 300)))
FRAME = pd.DataFrame({"Date": DAYS, "Close": PRICES})


def test_frames_in_memory():
    source = FrameSource({"A": FRAME, "B": FRAME.set_index("Date")})
    loaded = load_from(source, Universe())
    assert [h.ticker for h in loaded.histories] == ["A", "B"]
    assert loaded.histories[0].sha256 == loaded.histories[1].sha256
    assert loaded.histories[0].source == "memory"
    with pytest.raises(SourceError, match="memory has no ticker 'C'"):
        load_from(source, Universe(tickers=("C",)))
    with pytest.raises(SourceError, match="no frame was given"):
        FrameSource({})


def test_the_long_frame_of_the_forecasting_libraries():
    long = pd.concat([FRAME.assign(unique_id=t).rename(columns={"Date": "ds", "Close": "y"}) for t in ("B", "A")])
    source = FrameSource.from_long(long)
    assert source.tickers() == ("B", "A")
    np.testing.assert_array_equal(source.history("A").adj_close, PRICES)
    with pytest.raises(SourceError, match="no column 'symbol' among ds, y, unique_id"):
        FrameSource.from_long(long, ticker="symbol")


@pytest.fixture
def offer(tmp_path, monkeypatch):
    """Install a package that offers price sources."""

    def install(module, dist="tickbarn", names=("barn",)):
        info = tmp_path / f"{dist}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: 1.0\n")
        lines = "".join(f"{name} = {dist}_source:open_it\n" for name in names)
        (info / "entry_points.txt").write_text(f"[s2squant.price_sources]\n{lines}")
        (tmp_path / f"{dist}_source.py").write_text(module)
        monkeypatch.delitem(sys.modules, f"{dist}_source", raising=False)

    monkeypatch.syspath_prepend(str(tmp_path))
    return install


GOOD = """
import pandas as pd
from s2squant.prices.sources.memory import FrameSource
def open_it(place):
    days = pd.bdate_range("2023-01-02", periods=300)
    return FrameSource({place or "X": pd.DataFrame({"Date": days, "Close": range(100, 400)})}, name="barn:" + place)
"""


def test_a_source_of_another_package(offer):
    offer(GOOD)
    assert open_source("barn:OATS").tickers() == ("OATS",)
    assert open_source("barn").tickers() == ("X",)
    assert load_from(open_source("barn:OATS"), Universe(source="barn:OATS")).histories[0].source == "barn:OATS"
    with pytest.raises(SourceError, match="did you mean barn"):
        open_source("bran:OATS")


@pytest.mark.parametrize(
    ("module", "says"),
    [
        ("import no_such_sdk\n", "source 'barn' of tickbarn needs the package no_such_sdk; pip install no_such_sdk"),
        ("def open_it(place):\n    import no_such_sdk\n", "needs the package no_such_sdk"),
        (
            "from s2squant.errors import SourceError\n"
            "def open_it(place):\n    raise SourceError('barn needs a key; set BARN_KEY')\n",
            "barn needs a key; set BARN_KEY",
        ),
        ("def open_it(place):\n    raise KeyError('BARN\\nKEY')\n", "cannot be opened (KeyError: 'BARN\\nKEY')"),
        ("def open_it(place):\n    return object()\n", "is no price source: it has no name"),
        ("x = 1\n", "cannot be opened (AttributeError"),
    ],
)
def test_a_source_that_cannot_be_opened_says_why_in_one_line(module, says, offer):
    offer(module)
    with pytest.raises(SourceError) as caught:
        open_source("barn")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_packages_with_one_name(offer):
    offer(GOOD)
    offer(GOOD, dist="otherbarn")
    with pytest.raises(SourceError, match=r"offered by several packages \(otherbarn, tickbarn\)"):
        open_source("barn")
