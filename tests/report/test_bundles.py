"""Pages of tickers rendered elsewhere: the same bytes, from little more than their own tickers' rows."""

import pickle
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial

import pandas as pd
import pytest

from s2squant.report import bundles, study_pages
from s2squant.report.study_pages import render
from s2squant.report.study_view import arrange
from s2squant.runs.engines.local import worker_context
from s2squant.runs.engines.spread import spread_map
from tests.report.factory import TICKERS, make_study
from tests.report.factory_more import filled
from tests.report.test_study_pages import emptied


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """A handful of tickers is enough, three of them a bundle."""
    monkeypatch.setattr(study_pages, "ENOUGH", 2)
    monkeypatch.setattr(bundles, "SIZE", 3)


@pytest.fixture(scope="module")
def elsewhere():
    """`map` in another process; unlike `spread_map` it does nothing here, so that what fails there fails."""
    with ProcessPoolExecutor(1, mp_context=worker_context()) as pool:
        yield pool.map


def untrained(study):
    """Nets of a market, whose curves every page of it draws."""
    curves = study.training
    pooled = curves.assign(unique_id=curves["market"])
    return replace(study, training=pd.concat([curves, pooled], ignore_index=True))


@pytest.mark.parametrize("change", [lambda s: s, filled, emptied, untrained], ids=["plain", "whole", "empty", "pooled"])
def test_pages_from_bundles_are_those_of_the_whole_study(study, change, elsewhere):
    whole = change(study)
    assert sum(report.status == "ok" for report in whole.tickers) > bundles.SIZE
    here = list(render(whole, runs="../index.html"))
    there = list(render(whole, runs="../index.html", spread=elsewhere))
    assert sorted(there) == sorted(here)
    assert there[-1][0] == "index.html"


def test_pages_of_worker_processes_are_those_of_this_one(study, files):
    assert dict(render(study, spread=partial(spread_map, workers=2))) == files


def test_a_bundle_is_its_own_tickers_and_does_not_grow_with_the_others():
    sizes = []
    for count in (3, 12):
        names = [f"T{i:02d}" for i in range(count)]
        contents = arrange(filled(make_study(tickers=dict.fromkeys(names, "XNYS"), bars=700, cutoffs=6)))
        first, *others = bundles.bundles(contents)
        own = {report.ticker for report in first.reports}
        assert [name for b in (first, *others) for name in (r.ticker for r in b.reports)] == names
        assert (
            {t for parts in first.split.values() for t in parts} == set(first.histories) == set(first.attention) == own
        )
        shared = bundles.without_tickers(contents)
        sizes.append((len(pickle.dumps(first)), len(pickle.dumps(shared))))
    (few_own, few_shared), (many_own, many_shared) = sizes
    assert many_own < 1.1 * few_own
    assert many_shared < few_own / 2
    assert many_shared < 2 * few_shared


def test_few_pages_and_a_single_file_are_rendered_here(study, monkeypatch):
    def never(work, jobs):
        raise AssertionError("nothing is to be spread")

    assert dict(render(study, single_file=True, spread=never)).keys() == {"report.html"}
    monkeypatch.setattr(study_pages, "ENOUGH", len(TICKERS) + 1)
    assert len(dict(render(study, spread=never))) > len(TICKERS)
