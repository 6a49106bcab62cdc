"""Zoo: its conclusion counts what is significant, and its page is laid out from the ranking."""

import numpy as np
import pandas as pd
import pytest

from s2squant.config.experiment import Experiment
from s2squant.experiments.members import BASE
from s2squant.experiments.result import experiment_page
from s2squant.experiments.zoo_result import zoo_result
from s2squant.report.experiment_page import render_experiment


@pytest.fixture
def ranking():
    names = ["Bahdanau", BASE, "GRU", "anchor"]
    table = pd.DataFrame({"model": names, "crps": 1.0, "coverage_80": 0.8})
    for reference in ("historical", "garch", "anchor", "base"):
        table[f"skill_{reference}"] = [0.02, 0.01, -0.01, 0.005]
        table[f"se_{reference}"] = 0.004
        table[f"p_{reference}"] = [0.01, 0.2, 0.03, np.nan]
    table["seconds"], table["forecast_seconds"], table["parameters"] = [5.0, 1.0, 4.0, np.nan], 0.5, 100.0
    table["group"] = ["attention", "base", "cell", "reference"]
    return table


def test_the_conclusion_counts_what_is_significant(ranking):
    by_step = pd.DataFrame([[0.1, 0.2]], index=["anchor"], columns=[1, 2])
    result = zoo_result(ranking, by_step, Experiment(), quick=True)
    assert "on top of it the 3 members add between -1.00% and +2.00%" in result.conclusion
    assert "1 significantly more than nothing, 1 significantly less" in result.conclusion
    assert result.sections[0].table.columns[:3].tolist() == ["model", "group", "coverage_80"]
    assert result.sections[1].takeaway == "0 of 2 tie with the base; better: Bahdanau; worse: GRU."
    assert result.sections[1].table["model"].tolist() == ["Bahdanau", "GRU"]
    assert result.figures["conclusion"] == result.conclusion
    assert [row["model"] for row in result.figures["table"]] == ranking["model"].tolist()
    text = dict(render_experiment(experiment_page(result, command="", facts={})))["index.html"].decode()
    for wanted in ("quick version", "skill against GARCH-t", "GRU"):
        assert wanted in text
