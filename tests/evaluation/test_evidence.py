"""The evidence of a whole small run: its columns, its reasons, and that it agrees with the verdict beside it."""

import re

import numpy as np
import pandas as pd
import pytest
import scoringrules

from s2squant.config.experiment import RecalibrationSpec, VerdictSpec
from s2squant.evaluation.energy import energy_score, energy_scores
from s2squant.evaluation.evidence import assess
from s2squant.evaluation.losses import score
from s2squant.evaluation.results import Evidence
from s2squant.evaluation.verdict import judge
from s2squant.forecasters.recalibration import recalibrated
from tests.worlds.forecast_tables import known_scale, table_of, walks
from tests.worlds.synthetic import history

H, EVERY = 6, 2
SPEC = VerdictSpec()
KINDS = {"historical_simulation": "reference", "gjr_t": "baseline", "anchor": "anchor", "blend": "blend"}


def evidence_of(table, *, markets=None, spec=SPEC, histories=None, energies=None):
    losses = score(table)
    kinds = {m: KINDS.get(m, "recalibrated") for m in losses.models}
    markets = markets or dict.fromkeys(losses.tickers, "XNYS")
    judged = judge(losses, every=EVERY, horizon=H, spec=spec, kinds=kinds, markets=markets)
    found = assess(
        table,
        losses,
        judged.verdicts,
        every=EVERY,
        horizon=H,
        spec=spec,
        kinds=kinds,
        markets=markets,
        histories=histories or {},
        energies=energies if energies is not None else energy_scores([]),
    )
    return judged, found


@pytest.fixture(scope="module")
def case():
    drift = 0.1 * known_scale(H)
    models = {
        "historical_simulation": (0.0, known_scale(H, 1.8)),
        "gjr_t": (drift, known_scale(H)),
        "anchor": (drift, known_scale(H)),
        "blend": (0.0, known_scale(H)),
    }
    table = table_of(walks(3, cutoffs=120), models, every=EVERY)
    markets = {"T0": "A", "T1": "A", "T2": "B"}
    rows, _ = recalibrated(table, "blend", RecalibrationSpec(), markets)
    table = pd.concat([table, rows], ignore_index=True)
    past = {f"T{m}": history(0.01 * np.random.default_rng(m).standard_normal(9000), f"T{m}") for m in range(3)}
    origins = table[(table["step"] == H) & table["model"].isin(["historical_simulation", "blend"])]
    drawn = origins[["model", "unique_id", "cutoff"]].assign(energy=1.0, paths=64)
    drawn["energy"] -= 0.1 * (drawn["model"] == "blend")
    return evidence_of(table, markets=markets, histories=past, energies=drawn)


def test_columns_are_those_that_are_documented(case):
    doc = re.sub(r"\([^()]*\)", "", Evidence.__doc__)
    listed = dict(re.findall(r"- `(\w+)`: ([^-]+?)(?=\n    - |\n    $|\Z)", doc, re.DOTALL))
    assert set(listed) == set(vars(case[1]))
    for name, table in vars(case[1]).items():
        columns = [c.strip() for c in listed[name].replace("\n", " ").split(",")]
        assert list(table.columns) == columns, name
        assert (len(table) > 0) is (name != "importance"), name  # which is of covariates, and here are none


def test_every_test_states_its_size_and_what_it_could_have_seen(case):
    for table in (case[1].tests, case[1].coverage, case[1].calibration_tests, case[1].shrinkage):
        done = table[table["reason"] == ""] if "reason" in table else table
        assert np.isfinite(done[["n", "n_eff", "smallest_detectable"]].to_numpy(float)).all()
        assert (done["n_eff"] <= done["n"] + 1e-9).all()
    tests = case[1].tests
    refused = tests[tests["reason"] != ""]
    assert (refused["p"] == 1).all()
    assert (refused["finding"] == "not tested").all()
    assert ((tests["p"] > 0) & (tests["p"] <= 1)).all()
    assert set(tests["pool"]) == {"all", "A", "B"}


def test_equal_models_are_told_as_such(case):
    tests, board = case[1].tests, case[1].confidence_set
    row = tests[(tests["test"] == "Clark-West") & (tests["challenger"] == "blend+aci") & (tests["pool"] == "all")]
    assert row["reason"].tolist() == ["the two means are the same"]
    still = tests[(tests["test"] == "Pesaran-Timmermann") & (tests["challenger"] == "blend") & (tests["pool"] == "all")]
    assert still["reason"].tolist() == ["its median never changes sign"]
    twins = board[board["same_as"] != ""]
    assert set(twins["model"]) == {"anchor"}
    assert set(twins["same_as"]) == {"gjr_t"}
    assert set(board["step"]) == {"all", "1", "2", "3", "4", "5", "6"}


def test_the_evidence_agrees_with_the_verdict(case):
    judged, found = case
    assert (
        judged.verdicts.query("challenger == 'blend' and pool == 'all' and step == 'all'")["word"].tolist()[0]
        == "better"
    )
    overall = found.confidence_set[found.confidence_set["step"] == "all"].set_index("model")
    assert not overall.loc["historical_simulation", "inside"]
    assert overall["inside"].any()
    spa = found.tests[(found.tests["test"] == "SPA") & (found.tests["pool"] == "all")].iloc[0]
    assert spa["p"] < 0.05
    repair = judged.verdicts.query("challenger == 'blend+aci' and benchmark == 'blend' and pool == 'all'")
    assert len(repair) == 7
    card = found.scorecard[found.scorecard["group"] == "all"].set_index("model")
    losses = judged.leaderboard.set_index("model")
    np.testing.assert_allclose(card["crps"].reindex(losses.index), losses["crps"])
    np.testing.assert_allclose(card["skill"].reindex(losses.index), losses["skill"], atol=1e-12)
    assert card.loc["blend", "log_score"] < card.loc["historical_simulation", "log_score"]
    assert card.loc["blend", "qlike"] < card.loc["historical_simulation", "qlike"]
    assert card.loc["blend", "rmsse"] == pytest.approx(1.0, abs=0.15)
    assert card.loc["blend", "r2"] == 0.0
    raw = found.shrinkage[found.shrinkage["model"] == "blend"].set_index("unique_id")
    by_ticker = judged.by_ticker[judged.by_ticker["model"] == "blend"].set_index("unique_id")
    np.testing.assert_allclose(raw["skill"], by_ticker["skill"].reindex(raw.index))
    np.testing.assert_allclose(raw["q_bh"], by_ticker["q"].reindex(raw.index))
    assert (raw["q_by"] >= raw["q_bh"]).all()
    path = found.fluctuation[found.fluctuation["challenger"] == "blend"]
    assert (path["cutoff"] > path["first"]).all()


def test_a_short_run_refuses_with_reasons():
    models = {m: (0.0, known_scale(H, w)) for m, w in (("historical_simulation", 1.2), ("blend", 1.0))}
    _, found = evidence_of(table_of(walks(4, cutoffs=5), models, every=EVERY))
    assert (found.tests["reason"] != "").all()
    assert (found.tests["p"] == 1).all()
    refused = found.confidence_set["reason"] != ""
    assert refused[found.confidence_set["step"] == "all"].all()
    assert found.confidence_set.loc[refused, "p"].isna().all()
    assert not found.confidence_set.loc[refused, "inside"].any(), "what was not tested is no finding"
    assert (found.exceedances["reason"] != "").all()


def test_one_model_alone():
    _, found = evidence_of(
        table_of(walks(4, cutoffs=60), {"historical_simulation": (0.0, known_scale(H))}, every=EVERY)
    )
    assert found.tests.query("test == 'SPA'")["reason"].tolist() == ["there is no rival"]
    assert len(found.fluctuation) == 0
    assert (found.confidence_set["p"] == 1.0).all()


def test_the_energy_score_is_that_of_scoringrules():
    rng = np.random.default_rng(0)
    paths, y = np.cumsum(rng.standard_normal((4, 60, 5)), axis=2), rng.standard_normal((4, 5))
    ours = energy_score(paths, y, np.ones(5))
    np.testing.assert_allclose(ours, scoringrules.es_ensemble(y, paths, estimator="fair"), rtol=1e-8)
    assert energy_score(paths, y).shape == (4,)
    with pytest.raises(ValueError, match="two or more paths"):
        energy_score(paths[:, :1], y)


def test_the_energy_score_sees_how_steps_hang_together():
    rng = np.random.default_rng(1)
    truth = np.cumsum(rng.standard_normal((400, 8)), axis=1)
    right = np.cumsum(rng.standard_normal((400, 100, 8)), axis=2)
    torn = np.sqrt(np.arange(1, 9)) * rng.standard_normal((400, 100, 8))
    scale = np.sqrt(np.arange(1, 9))
    assert energy_score(right, truth, scale).mean() < energy_score(torn, truth, scale).mean()
