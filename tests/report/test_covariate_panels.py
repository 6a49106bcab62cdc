"""The section on covariates: what stands out is named, what does not is said plainly, and who reads what."""

from dataclasses import replace
from functools import cache

import pandas as pd
import pytest

from s2squant.config.covariates import CovariateSpec
from s2squant.evaluation.importance import IDLE
from s2squant.report.covariate_panels import covariates, covariates_read, listed, read_in
from s2squant.report.formats import THIN
from s2squant.report.study_pages import render
from s2squant.report.study_view import arrange
from tests.report.factory import make_study

SPECS = (
    CovariateSpec(name="VIX", ticker="^VIX", transform="variance"),
    CovariateSpec(name="weekday", calendar="weekday"),
    CovariateSpec(name="<b>sector</b>", values={"ACME": "bank"}),
)


@cache
def plain():
    """A study without covariates."""
    return make_study()


def study(findings):
    """A study whose models lean on covariates as told: (model, covariate) -> (rise, finding)."""
    made = plain()
    rest = {"p": 0.01, "p_adjusted": 0.03, "n": 24, "n_eff": 12.0, "smallest_detectable": 0.01, "reason": ""}
    rows = [
        {"model": m, "covariate": name, "step": step, "rise": rise, "low": rise - 0.01, "high": rise + 0.01}
        | {"finding": finding}
        | rest
        for (m, name), (rise, finding) in findings.items()
        for step in ("all", "1", "2", "3")
    ]
    return replace(
        made, experiment=made.experiment.model_copy(update={"covariates": SPECS}), importance=pd.DataFrame(rows)
    )


def test_a_run_without_covariates_has_no_such_section():
    made = plain()
    assert covariates(arrange(made)) is None
    assert "What did the covariates add" not in dict(render(made))["index.html"].decode()


def test_what_does_not_help_is_said_plainly():
    nothing = {("seq2seq_pooled", name): (0.001, "no evidence") for name in ("VIX", "weekday")}
    panel = covariates(arrange(study(nothing)))
    assert panel.say == "No evidence that VIX or weekday help any model."
    some = nothing | {("anchor", "VIX"): (0.02, "leans on it"), ("seq2seq_pooled", "weekday"): (-0.02, "misled by it")}
    panel = covariates(arrange(study(some)))
    assert panel.say.replace(THIN, " ") == (
        "The anchor leans on VIX (+2.00 % [+1.00, +3.00]). "
        "The pooled network was misled by weekday (−2.00 % [−3.00, −1.00])."
    )
    told = study(nothing | {("seq2seq_pooled", "<b>sector</b>"): (0.0, "not tested")})
    alone = told.importance["covariate"] == "<b>sector</b>"
    left = replace(told, importance=told.importance.assign(reason=alone.map({True: IDLE, False: ""})))
    assert covariates(arrange(left)).say.endswith(
        "No forecast depends on <b>sector</b>, which no model was the better for in training."
    )
    untested = study(nothing)
    why = untested.importance.assign(finding="not tested", reason="4 cutoffs, 8 needed")
    assert covariates(arrange(replace(untested, importance=why))).say == "Not tested: 4 cutoffs, 8 needed."


def test_each_model_says_what_it_reads():
    made = study({})
    read = covariates_read(made.experiment)
    assert read["anchor"] == ("VIX",)
    assert read["seq2seq_pooled"] == ("VIX", "weekday", "<b>sector</b>")
    assert read["blend"] == read["seq2seq_pooled"]
    assert read["garch_t"] == ()
    page = dict(render(made))["index.html"].decode()
    assert "reads VIX, weekday, &lt;b&gt;sector&lt;/b&gt;</span>" in page
    assert "<b>sector</b>" not in page


def test_own_features_have_the_section_too_and_own_models_read_what_they_depend_on():
    made = study({("seq2seq_pooled", "mine:f sum 5"): (0.02, "leans on it"), ("mine:M", "VIX"): (0.01, "leans on it")})
    models = made.experiment.forecasters
    own = models.model_copy(update={"features": ("mine:f",), "models": (*models.models, "mine:M")})
    whole = replace(made, experiment=made.experiment.model_copy(update={"forecasters": own}))
    assert read_in(whole)["mine:M"] == ("VIX",)
    assert read_in(whole)["seq2seq_pooled"] == ("VIX", "weekday", "<b>sector</b>", "mine:f sum 5")
    alone = replace(whole, experiment=whole.experiment.model_copy(update={"covariates": ()}))
    panel = covariates(arrange(alone))
    assert panel.say.startswith("The pooled network leans on mine:f sum 5")
    assert "mine:f sum 5" in str(panel.grids)


@pytest.mark.parametrize(("names", "text"), [(["a"], "a"), (["a", "b"], "a or b"), (["a", "b", "c"], "a, b or c")])
def test_names_are_listed_as_people_do(names, text):
    assert listed(names) == text
