"""The examples in the docstrings of the public face, run as they stand."""

from __future__ import annotations

import doctest
from types import ModuleType

import pytest

from s2squant.config import files
from s2squant.estimator import forecaster, split, stored, walked
from s2squant.prices import port
from s2squant.series import forecast

FACE = {
    forecaster: ("PriceForecaster", "fit", "predict", "make_future", "plot", "simulate"),
    walked: ("WalkedForecaster", "cross_validation", "predict_insample", "score"),
    split: ("DateSplit",),
    stored: ("StoredForecaster", "save", "load"),
    files: ("make_experiment",),
    port: ("Source", "check", "history"),
    forecast: ("Forecast", "fit", "predict"),
}
"""What has an example, at least, in each module."""


@pytest.mark.parametrize("module", FACE, ids=lambda module: module.__name__)
def test_the_examples_say_what_happens(module: ModuleType, monkeypatch, tmp_path) -> None:
    """The examples of a module run in one namespace, from its first line to its last."""
    monkeypatch.chdir(tmp_path)
    tests = sorted(doctest.DocTestFinder().find(module), key=lambda test: test.lineno or 0)
    examples = [test for test in tests if test.examples]
    assert {test.name.rpartition(".")[2] for test in examples} >= set(FACE[module])
    runner, names, wrong = doctest.DocTestRunner(), dict(vars(module)), list[str]()
    for test in examples:
        test.globs = names
        runner.run(test, out=wrong.append, clear_globs=False)
    assert "".join(wrong) == ""
