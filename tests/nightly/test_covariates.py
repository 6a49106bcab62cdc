"""Covariates in nights: read as of the session, told and masked when late or missing, replayed to the bit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from s2squant.config.files import make_experiment
from s2squant.errors import SourceError
from s2squant.nightly.night import open_night
from s2squant.nightly.replay import replay
from s2squant.prices.store.price_store import PriceStore
from tests.worlds.nightly_sim import HASTY, TINY, Clock, Desk, at_close, at_yahoo, cheap, tiny

VIX = "^VIX"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with at_yahoo(tmp_path, monkeypatch) as yahoo:
        spec = tiny(tmp_path, "AAA", "B")
        told = spec.experiment.model_dump(mode="json")
        told["forecasters"] |= {"models": ["historical_simulation", "ridge", "anchor", "seq2seq_pooled"]}
        told["forecasters"]["seq2seq"] = TINY
        told["verdict"] |= {"recommended": "ridge"}
        told["covariates"] = [
            {"name": "fear", "ticker": VIX, "transform": "variance", "carry": 1},
            {"name": "earnings", "file": "csv:earnings.csv", "event": True},
            {"name": "sector", "file": "csv:sectors.csv", "kind": "static"},
        ]
        days = np.arange("2023-01-15", "2026-12-01", 91, dtype="datetime64[D]")
        rows = [f"{ticker},{day}" for ticker in ("AAA", "B") for day in days]
        (tmp_path / "earnings.csv").write_text("\n".join(["Ticker,Date", *rows]) + "\n")
        (tmp_path / "sectors.csv").write_text("Ticker,Sector\nAAA,tech\nB,banks\n")
        yield Desk(tmp_path, yahoo, spec.model_copy(update={"experiment": make_experiment(told)}))


@pytest.mark.slow
def test_what_is_late_or_gone_is_told_and_masked_and_every_night_is_replayed(desk: Desk) -> None:
    first = desk.night("2025-11-24")
    assert (first.status, first.message) == ("done", "2 of 2 tickers forecast")
    vix = desk.yahoo.stock(VIX)
    vix.hidden |= {np.datetime64(day) for day in ("2025-11-25", "2025-11-26")}
    late = desk.night("2025-11-25")
    assert late.message == "2 of 2 tickers forecast; covariate fear: 1 session old for AAA, B"
    (desk.root / "earnings.csv").unlink()
    (desk.root / "sectors.csv").write_text("Ticker,Sector\nAAA,tech\nB,shops\n")  # a sector that no net has seen
    gone = desk.night("2025-11-26")
    lines = (
        "covariate earnings: csv:earnings.csv is no file; name one, as csv:earnings.csv",
        "covariate fear: missing",
    )
    assert gone.status == "done"
    assert all(line in gone.message for line in lines)
    assert "covariate fear: missing for AAA, B" in (desk.root / "reports/tiny" / gone.run_id / "index.html").read_text()
    assert {t.how for t in gone.tickers} == {"trained"}  # each night anew: ridge; its market's net stays
    models = desk.ledger.models("tiny")
    assert list(models.loc[models["kind"] == "market", "how"]) == ["trained", "kept", "kept"]
    assert set(desk.ledger.events("tiny").query("kind == 'covariate'")["session"].astype(str)) == {
        "2025-11-25",
        "2025-11-26",
    }
    (desk.root / "sectors.csv").unlink()
    for night in (first, late, gone):
        assert replay(night.run_id, desk.ledger).identical


def test_a_killed_night_goes_on_with_the_covariates_it_had_drawn(desk: Desk) -> None:
    desk.spec = cheap(desk.spec, ("historical_simulation", "ridge"))
    desk.yahoo.fixed_today = "2025-11-24"
    clock = Clock(at_close("2025-11-24"))
    with open_night(desk.spec, scheduled=at_close("2025-11-24"), clock=clock, workers=0, fetching=HASTY):
        pass  # left before its first job
    (desk.root / "earnings.csv").unlink()
    night = desk.night("2025-11-24")
    assert (night.status, night.message) == ("done", "2 of 2 tickers forecast")


def test_a_file_that_is_not_there_is_refused_on_the_first_night_only(desk: Desk) -> None:
    (desk.root / "earnings.csv").unlink()
    with pytest.raises(SourceError, match=r"covariate earnings: csv:earnings\.csv is no file"):
        desk.night("2025-11-24")
    assert not desk.ledger.runs("tiny")
    assert not PriceStore(desk.root / "prices").tickers()
