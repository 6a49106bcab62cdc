"""Declarations of covariates that cannot be meant are refused in one line, with the name of the covariate."""

import pytest

from s2squant.config.files import make_experiment
from s2squant.errors import ConfigError

FUTURE = {"kind": "future", "file": "csv:f.csv"}


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({}, "x has no origin; give ticker, file, column"),
        ({"ticker": "^VIX", "calendar": "weekday"}, "x has two origins, ticker and calendar; keep one"),
        (FUTURE | {"known": "Published"}, "x: known is for a past one; a future one is known beforehand"),
        (FUTURE | {"lag": 1}, "x: lag is for a past one; a future one is known beforehand"),
        ({"kind": "future", "ticker": "^VIX"}, "x: the bars of a ticker are not known beforehand"),
        ({"kind": "past", "calendar": "weekday"}, "x: a calendar is known beforehand"),
        ({"kind": "past", "file": "csv:f.csv", "event": True}, "x: an event is known beforehand"),
        ({"kind": "past", "values": {"A": 1.0}}, "x: values are one a ticker"),
        ({"values": {"A": 1.0}, "transform": "log"}, "x: transform is for values of the past or a future column"),
        ({"column": "mood", "source": "csv:elsewhere"}, "x: source belongs to ticker, which is not given"),
        ({"file": "f.csv"}, "x: file is 'f.csv'; write csv:FILE or parquet:FILE"),
    ],
)
def test_what_cannot_be_meant_is_one_line(told, said):
    with pytest.raises(ConfigError) as caught:
        make_experiment({"covariates": [{"name": "x", **told}]})
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_covariate_is_of_the_kind_that_its_origin_has_and_is_named_once():
    told = [{"name": "a", "calendar": "weekday"}, {"name": "b", "values": {"A": 1.0}}, {"name": "c", "column": "mood"}]
    assert [spec.kind for spec in make_experiment({"covariates": told}).covariates] == ["future", "static", "past"]
    with pytest.raises(ConfigError, match="two covariates are called a; rename one"):
        make_experiment({"covariates": [told[0], told[0]]})
