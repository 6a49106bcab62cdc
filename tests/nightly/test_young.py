"""A nightly forecasts a listing of 60 bars the evening it joins the list, by the pretrained model alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from s2squant.config.files import make_experiment
from s2squant.nightly.replay import replay
from s2squant.series.forecast import QUANTILE_COLUMNS
from tests.worlds.nightly_sim import Desk, at_yahoo, tiny

MODELS = ["historical_simulation", "gjr_shrunk", "anchor", "pretrained", "blend"]


def listing(*tickers: str, folder: Path, **universe: object):
    spec = tiny(folder, *tickers)
    told = spec.experiment.model_dump(mode="json")
    told["forecasters"] |= {"models": MODELS}
    told["universe"] |= universe
    return spec.model_copy(update={"experiment": make_experiment(told)})


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with at_yahoo(tmp_path, monkeypatch) as yahoo:
        yield Desk(tmp_path, yahoo, listing("AAA", "BBB", folder=tmp_path))


def young(desk: Desk, ticker: str, bars: int, until: str) -> None:
    """A stock of so many bars by a day."""
    stock = desk.yahoo.stock(ticker)
    before = stock.days[stock.days <= np.datetime64(until)]
    stock.hidden |= set(before[:-bars])


def test_a_ticker_added_to_the_list_is_forecast_the_same_evening(desk: Desk) -> None:
    assert desk.night("2025-11-24").status == "done"
    young(desk, "CCC", 60, "2025-11-25")
    young(desk, "DDD", 40, "2025-11-25")
    desk.spec = listing("AAA", "BBB", "CCC", "DDD", folder=desk.root)
    night = desk.night("2025-11-25")
    of = {t.ticker: t for t in night.tickers}
    assert night.status == "partial"
    assert of["CCC"].status == "ok"
    assert (of["DDD"].status, of["DDD"].reason) == ("failed", "too short: 40 bars, 600 are needed")
    rows = desk.live()
    tonight = rows[rows["cutoff"].astype(str).str.startswith("2025-11-25")]
    new = tonight[tonight["unique_id"] == "CCC"]
    assert set(new["model"]) == {"pretrained", "blend", "blend+aci"}
    two = [new[new["model"] == m][list(QUANTILE_COLUMNS)].to_numpy() for m in ("pretrained", "blend")]
    assert (two[0] == two[1]).all()
    assert set(tonight.loc[tonight["unique_id"] == "AAA", "model"]) == {*MODELS, "blend+aci"}
    assert "CCC" in (desk.root / "reports" / "tiny" / night.run_id / "index.html").read_text()
    assert replay(night.run_id, desk.ledger).identical
    later = desk.night("2025-11-26")
    assert {t.ticker: t.status for t in later.tickers}["CCC"] == "ok"
    assert later.scored > 0


def test_a_market_of_young_tickers_alone_is_forecast_too(desk: Desk) -> None:
    young(desk, "CCC", 60, "2025-11-25")
    desk.spec = listing("CCC", folder=desk.root)
    night = desk.night("2025-11-25")
    assert night.status == "done"
    assert set(desk.live()["model"]) == {"pretrained", "blend", "blend+aci"}
    assert replay(night.run_id, desk.ledger).identical


def test_a_class_without_weights_is_forecast_by_the_others(desk: Desk) -> None:
    desk.spec = listing("AAA", "BBB", folder=desk.root, asset_classes={"BBB": "crypto"})
    assert desk.night("2025-11-25").status == "done"
    rows = desk.live()
    assert set(rows.loc[rows["unique_id"] == "BBB", "model"]) == {*MODELS, "blend+aci"} - {"pretrained"}
