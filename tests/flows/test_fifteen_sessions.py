"""Fifteen sessions of a nightly on a real local Prefect server and a local Yahoo, with everything that goes wrong."""

from __future__ import annotations

from collections import Counter
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from flows.forecast import forecast, simulated
from s2squant.config.models import RECALIBRATED
from s2squant.nightly.ledger.ledger import Ledger
from s2squant.nightly.replay import replay
from tests.local_yahoo import LocalYahoo
from tests.worlds.nightly_sim import HASTY, Clock, at_close, sessions, tiny, weekdays

TICKERS = ("AAA", "BBB", "CCC", "DELIST")
LATE, STORM, REVISED, SPLIT, GONE = "2025-11-20", "2025-11-19", "2025-11-21", "2025-11-24", "2025-11-26"
DAYS = [str(day) for day in weekdays("2025-11-17", 16)]  # Thanksgiving is one of them
HOLIDAY = "2025-11-27"


def day_of(text: str) -> date:
    return date.fromisoformat(text)


@pytest.mark.slow
@pytest.mark.prefect
def test_fifteen_sessions(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("S2SQUANT_LEDGER", f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    spec = tiny(tmp_path, *TICKERS)
    states: dict[str, str] = {}
    with LocalYahoo(today=DAYS[0], years=4) as yahoo:
        monkeypatch.setenv("S2SQUANT_YAHOO_URL", yahoo.url)
        for day in DAYS:
            yahoo.fixed_today, yahoo.limited_share = day, 0.4 if day == STORM else 0.0
            scheduled, clock = at_close(day), Clock(at_close(day))
            if day == LATE:  # it comes the next morning at eleven, an hour and a half after the opening
                clock = Clock(at_close("2025-11-21", -5))
            if day == REVISED:
                stock = yahoo.stock("AAA")
                stock.close = np.where(stock.days == np.datetime64("2025-11-18"), stock.close * 1.015, stock.close)
            if day == SPLIT:
                stock = yahoo.stock("BBB")
                stock.splits[np.datetime64(SPLIT)] = 4.0
                stock.close = np.where(stock.days >= np.datetime64(SPLIT), stock.close / 4, stock.close)
            if day == GONE:
                yahoo.gone.add("DELIST")
            with simulated(clock, HASTY):
                states[day] = str(forecast(spec, scheduled, 0, return_state=True).name)
        ledger = Ledger()
        rows, gaps = ledger.record(spec.name, live=False), ledger.gaps(spec.name)
        traded = {t: yahoo.stock(t) for t in TICKERS}
        closes = {t: dict(zip(traded[t].days.astype(str), traded[t].close, strict=True)) for t in TICKERS}

    assert states[HOLIDAY] == "Skipped"
    assert states[LATE] == "Late"
    assert states["2025-11-28"] == "PartiallyFailed", "a half day is a session; the delisted ticker is missing"
    assert Counter(states.values())["PartiallyFailed"] >= len([d for d in DAYS if d >= GONE and d != HOLIDAY])
    assert not {"Failed", "Crashed"} & set(states.values())

    # each forecast once, or a gap: no session of any ticker is without the one or the other
    due = [str(day) for day in sessions(DAYS[0], 15)]
    models = {*spec.experiment.forecasters.models, spec.experiment.verdict.recommended + RECALIBRATED}
    live = rows[rows["reissue"] == 0]
    assert not live.duplicated(["model", "unique_id", "cutoff", "step"]).any()
    issued = {(t, str(c)[:10]) for t, c in zip(live["unique_id"], live["cutoff"], strict=True)}
    lost = {(t, str(c)): kind for t, c, kind in zip(gaps["ticker"], gaps["cutoff"], gaps["kind"], strict=True)}
    assert not issued & set(lost)
    assert issued | set(lost) == {(t, day) for t in TICKERS for day in due}
    assert len(live) == len(issued) * len(models) * 5
    assert {day for (_, day), kind in lost.items() if kind == "late"} == {LATE}
    assert {(t, day) for (t, day), kind in lost.items() if kind == "stale"} >= {
        ("DELIST", day) for day in due if day >= GONE
    }
    assert all(t == "DELIST" or day in (LATE, STORM) for t, day in lost), "nothing else was lost"

    # scored rightly, on the basis at issue
    scored = live[live["y"].notna()]
    at = {day: k for k, day in enumerate(due)}
    for row in scored[scored["model"] == "anchor"].itertuples():
        ticker, cutoff, target = row.unique_id, str(row.cutoff)[:10], str(row.ds)[:10]
        grown = 4.0 if ticker == "BBB" and cutoff < SPLIT <= target else 1.0
        told = {day: closes[ticker][day] for day in (cutoff, target)}
        if (ticker, cutoff) == ("AAA", "2025-11-18"):  # issued before it was corrected; as a target it counts anew
            told[cutoff] /= 1.015
        assert row.y == pytest.approx(np.log(told[target] * grown / told[cutoff]), abs=2e-6), (ticker, cutoff)
        assert target == due[at[cutoff] + row.step]
    ripe = live[live["ds"].astype(str).str[:10] <= due[-1]]
    unscored = ripe[ripe["y"].isna()]
    assert set(unscored["unique_id"]) <= {"DELIST"}, "only what has no price any more has no outcome"
    assert len(scored) > 0.8 * len(ripe)

    # and every night can be recomputed
    runs = [run for run in ledger.runs(spec.name) if run.status in ("done", "partial")]
    for run in (runs[0], runs[-1], runs[len(runs) // 2]):
        assert replay(run.run_id, ledger).identical
    for run in ledger.runs(spec.name):
        if run.folder:
            assert (Path(run.folder) / "manifest.json").exists()
            assert (Path(run.folder) / "index.html").exists()
    assert not list(tmp_path.rglob("*.tmp")), "no file is left half written"
