"""Zoo: its conclusion counts what is significant, and its page is laid out from the ranking."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from s2squant.config.experiment import Experiment
from s2squant.config.networks import AnchorSpec, Seq2SeqSpec
from s2squant.experiments.members import BASE
from s2squant.experiments.result import experiment_page
from s2squant.experiments.zoo_likelihood import (
    STUDENT,
    UNTRAINED,
    likelihood_table,
    student_likelihood,
    true_likelihood,
    words_of,
)
from s2squant.experiments.zoo_result import zoo_result
from s2squant.forecasters.network_training import Seq2SeqForecaster
from s2squant.forecasters.scenarios import known_units
from s2squant.report.experiment_page import render_experiment
from tests.worlds.synthetic import garch_panel


@pytest.fixture
def ranking():
    names = ["Bahdanau", BASE, "GRU", "anchor", "returns as words, LSTM"]
    table = pd.DataFrame({"model": names, "crps": 1.0, "coverage_80": 0.8})
    for reference in ("historical", "garch", "anchor", "base"):
        table[f"skill_{reference}"] = [0.02, 0.01, -0.01, 0.005, -0.03]
        table[f"se_{reference}"] = 0.004
        table[f"p_{reference}"] = [0.01, 0.2, 0.03, np.nan, 0.5]
    table["seconds"], table["forecast_seconds"], table["parameters"] = [5.0, 1.0, 4.0, np.nan, 2.0], 0.5, 100.0
    table["group"] = ["attention", "base", "cell", "reference", "words"]
    return table


def test_the_conclusion_counts_what_is_significant(ranking):
    by_step = pd.DataFrame([[0.1, 0.2]], index=["anchor"], columns=[1, 2])
    dates = [f"2020-01-{d:02d}" for d in range(1, 31)]
    nats = {STUDENT: dict.fromkeys(dates, 3.0), UNTRAINED: dict.fromkeys(dates, 3.1)}
    nats["returns as words, LSTM"] = {date: 3.2 + 0.01 * (d % 2) for d, date in enumerate(dates)}
    likelihood = likelihood_table(nats, 2)
    assert likelihood["model"].tolist() == [STUDENT, UNTRAINED, "returns as words, LSTM"]
    result = zoo_result(ranking, by_step, likelihood, Experiment(), quick=True)
    assert "on top of it the 3 networks add between -1.00% and +2.00%" in result.conclusion
    assert "1 significantly more than nothing, 1 significantly less" in result.conclusion
    assert "Returns as words, LSTM: -3.00% (s.e. 0.40%) against the anchor." in result.conclusion
    assert "returns as words, LSTM: 3.2050 nats a step, +0.2050" in result.sections[2].takeaway
    assert result.sections[0].table.columns[:3].tolist() == ["model", "group", "coverage_80"]
    assert result.sections[1].takeaway == "1 of 3 tie with the base; better: Bahdanau; worse: GRU."
    assert result.sections[1].table["model"].tolist() == ["Bahdanau", "GRU", "returns as words, LSTM"]
    assert result.figures["conclusion"] == result.conclusion
    assert [row["model"] for row in result.figures["table"]] == ranking["model"].tolist()
    text = dict(render_experiment(experiment_page(result, command="", facts={})))["index.html"].decode()
    for wanted in ("quick version", "skill against GARCH-t", "GRU"):
        assert wanted in text


def test_the_likelihood_of_a_student_t_is_that_of_its_bins():
    """Against scipy's law, origin by origin; the seeds are mixed as whole sequences, and no other row has a part."""
    panel, horizon = garch_panel("A", 420), 2
    rows = np.arange(100, 380)
    spec = Seq2SeqSpec(
        encoder={"hidden": 4},
        decoder={"width": 4, "previous": True},
        head={"kind": "student_t"},
        training={"regime": "teacher", "chunk": 40, "warm": 20},
        pooled={"steps": 3, "batch": 2, "seeds": 2, "lr": 0.05},
    )
    fitted = Seq2SeqForecaster(spec, "pooled", AnchorSpec(steps=3, warmup=60)).fit(panel, rows, horizon=horizon, seed=0)
    words, asked = words_of(panel, rows, horizon), np.array([390, 400])
    total_N = true_likelihood(fitted, panel, asked, words)
    (_, nets, step_NH), drift = next(fitted.fed_the_truth(panel, asked)), fitted.anchor.drift(panel, asked)[0, 0]
    edges = np.concatenate([[-np.inf], words.edges, [np.inf]])
    for n, row in enumerate(asked):
        unit, whole = known_units(panel)[row], []
        for net in nets:
            each = []
            for h in range(horizon):
                k = np.searchsorted(words.edges, (panel.log_price[row + h + 1] - panel.log_price[row + h]) / unit)
                location, scale, degrees = net[h, n].tolist()
                law = stats.t(degrees, drift + location * float(step_NH[n, h]), scale * float(step_NH[n, h]))
                each.append(law.cdf(unit * edges[k + 1]) - law.cdf(unit * edges[k]))
            whole.append(np.prod(each))
        assert total_N[n] == pytest.approx(np.log(np.mean(whole)), abs=1e-5)
    assert true_likelihood(fitted, panel, asked[1:], words)[0] == pytest.approx(total_N[1], abs=1e-6)
    untrained_N = student_likelihood(fitted, panel, asked, words, untrained=True)
    assert abs(untrained_N - total_N).max() > 1e-4
