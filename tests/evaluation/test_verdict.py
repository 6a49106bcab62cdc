import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from s2squant.config.experiment import VerdictSpec
from s2squant.errors import CallerError
from s2squant.evaluation.comparisons import VERDICT_COLUMNS, compare
from s2squant.evaluation.losses import Losses, score
from s2squant.evaluation.pools import pools
from s2squant.evaluation.statistics import diebold_mariano as dm
from s2squant.evaluation.statistics.false_discovery import benjamini_hochberg
from s2squant.evaluation.verdict import judge
from s2squant.evaluation.wording import after_audit
from s2squant.series.forecast import QUANTILE_COLUMNS, quantile_crps
from tests.worlds.forecast_tables import known_scale, table_of, walks

SPEC = VerdictSpec()
KINDS = {
    "historical_simulation": "reference",
    "gjr_t": "baseline",
    "anchor": "anchor",
    "seq2seq_pooled": "network",
    "blend": "blend",
}


def losses_of(gains, *, tickers=4, cutoffs=100, horizon=4, every=10, seed=0, start="2010-01-04", noise=0.1):
    """CRPS of each model: a loss all share, times 1 - gain + noise; units as `score` sorts them."""
    rng = np.random.default_rng(seed)
    names = tuple(f"T{i}" for i in range(tickers))
    dates = pd.bdate_range(start, periods=every * cutoffs)[::every].to_numpy()
    ticker, cutoff, step = (a.ravel() for a in np.indices((tickers, cutoffs, horizon)))
    scale = 1.0 + np.arange(tickers)[ticker]
    shared = scale * np.sqrt(step + 1.0) * rng.gamma(4.0, 0.25, len(ticker))
    crps = np.stack([shared * (1 - g + noise * rng.standard_normal(len(ticker))) for g in gains.values()], axis=1)
    centred = np.stack([shared * (1 - 0.4 * g + noise * rng.standard_normal(len(ticker))) for g in gains.values()], 1)
    covered = rng.random((len(ticker), len(gains), 3)) < [0.5, 0.8, 0.95]
    return Losses(
        models=tuple(gains),
        tickers=names,
        cutoffs=dates,
        ticker_U=ticker,
        cutoff_U=cutoff,
        step_U=step + 1,
        crps_UK=crps,
        centred_UK=centred,
        abs_error_UK=crps,
        covered_UKB=covered,
        coverage_KB=covered.mean(axis=0),
        dropped=0,
        missing=dict.fromkeys(gains, 0),
    )


def verdict_of(losses, *, every=10, horizon=4, spec=SPEC, markets=None):
    return judge(
        losses,
        every=every,
        horizon=horizon,
        spec=spec,
        kinds={m: KINDS[m] for m in losses.models},
        markets=markets or dict.fromkeys(losses.tickers, "XNYS"),
    )


def row(judgement, challenger, benchmark="historical_simulation", pool="all", step="all"):
    v = judgement.verdicts
    found = v[(v.challenger == challenger) & (v.benchmark == benchmark) & (v["pool"] == pool) & (v["step"] == step)]
    assert len(found) == 1
    return found.iloc[0]


def written_out(losses, model, reference, horizon, every):
    """CRPS, skill, share won, DM t and p from their definitions, in plain loops and float64."""
    frame = pd.DataFrame({"t": losses.ticker_U, "c": losses.cutoff_U, "m": losses.of(model), "r": losses.of(reference)})
    skills = [1 - g["m"].mean() / g["r"].mean() for _, g in frame.groupby("t")]
    frame["d"] = (frame["r"] - frame["m"]) / frame.groupby("t")["r"].transform("mean")
    d = frame.groupby("c")["d"].mean().to_numpy()
    n = len(d)
    overlap = max(1, int(np.ceil(horizon / every)))
    nu = max(1, int(min(0.4 * n ** (2 / 3), n / (2 * overlap))))
    total = 0.0
    for j in range(1, nu + 1):
        total += sum(np.sqrt(2 / n) * d[t] * np.cos(np.pi * j * (t + 0.5) / n) for t in range(n)) ** 2
    se = np.sqrt(total / nu / n)
    t_stat = d.mean() / se
    return (
        frame["m"].mean(),
        np.mean(skills),
        np.mean(np.array(skills) > 0),
        t_stat,
        2 * stats.t.sf(abs(t_stat), nu),
        se,
        nu,
    )


@pytest.mark.parametrize(("horizon", "every", "cutoffs"), [(4, 10, 100), (4, 2, 60), (20, 5, 37), (20, 10, 101)])
def test_the_leaderboard_follows_its_definitions(horizon, every, cutoffs):
    gains = {"historical_simulation": 0.0, "gjr_t": 0.005, "blend": 0.01}
    losses = losses_of(gains, horizon=horizon, every=every, cutoffs=cutoffs, seed=4)
    judgement = verdict_of(losses, every=every, horizon=horizon)
    board = judgement.leaderboard.set_index("model")
    for model in ("gjr_t", "blend"):
        crps, skill, won, t_stat, p, se, nu = written_out(losses, model, "historical_simulation", horizon, every)
        got = board.loc[model]
        np.testing.assert_allclose(
            [got["crps"], got["skill"], got["won"], got["dm_t"], got["dm_p"]], [crps, skill, won, t_stat, p], rtol=1e-10
        )
        half = stats.t.ppf(0.975, nu) * se
        effect = t_stat * se
        expected = [effect, effect - half, effect + half]
        np.testing.assert_allclose(got[["effect", "effect_low", "effect_high"]].astype(float), expected, atol=1e-12)
        assert (got["dm_p"] < 0.05) == (got["effect_low"] > 0 or got["effect_high"] < 0)
        assert got["n"] == cutoffs
        assert got["n_eff"] == pytest.approx(cutoffs * min(1, every / horizon))
        power = (stats.t.ppf(0.975, nu) + stats.t.ppf(0.8, nu)) * se
        assert row(judgement, model)["smallest_detectable"] == pytest.approx(power)
    assert board.loc["historical_simulation", "skill"] == 0.0
    assert board.loc["historical_simulation", ["dm_t", "dm_p"]].isna().all(), "nothing was tested"


@pytest.mark.parametrize("overlap", [1, 2, 4])
@pytest.mark.parametrize("n", [100, 250])
def test_size_of_the_pooled_test_under_overlap(n, overlap):
    """Two forecasts of equal accuracy, t5 shocks with a common factor, labels that overlap: 5 % means 5 %."""
    rng = np.random.default_rng(1000 * overlap + n)
    draws, tickers, bars = 3000, 3, n + overlap - 1
    common = rng.standard_t(5, (draws, 1, bars))
    path = np.cumsum(np.pad(common + rng.standard_t(5, (draws, tickers, bars)), ((0, 0), (0, 0), (1, 0))), axis=2)
    y = path[..., overlap:] - path[..., :-overlap]
    signal = np.cumsum(rng.standard_normal((draws, tickers, n)), axis=2)  # persistent, and unrelated to y
    signal *= 0.3 / np.abs(signal).mean(axis=2, keepdims=True)
    first, second = np.abs(y - signal), np.abs(y + signal)
    series = ((second - first) / second.mean(axis=2, keepdims=True)).mean(axis=1)
    mean, se, nu = dm.ewc(series, overlap)
    size = float((dm.p_value(dm.t_statistic(mean, se), np.full(draws, float(nu))) < 0.05).mean())
    assert 0.03 <= size <= 0.07


def test_placebo_seldom_finds_anything():
    words = []
    for seed in range(100):
        losses = losses_of({"historical_simulation": 0.0, "blend": 0.0}, cutoffs=60, horizon=2, seed=seed)
        made = pools(losses, every=10, horizon=2, markets=dict.fromkeys(losses.tickers, "XNYS"))[:1]
        words += compare(losses, made, [("blend", "historical_simulation")], SPEC)["word"].tolist()
    assert words.count("no evidence") >= 90


def test_a_planted_gain_of_three_per_cent_is_found():
    gains = {"historical_simulation": 0.0, "gjr_t": 0.005, "anchor": 0.02, "seq2seq_pooled": 0.02, "blend": 0.03}
    judgement = verdict_of(losses_of(gains, noise=0.05))
    found = row(judgement, "blend")
    assert found["word"] == judgement.word == "better"
    assert found["low"] < 0.03 < found["high"]
    assert found["low"] > 0
    assert found["smallest_detectable"] < 0.03
    assert row(judgement, "blend", "gjr_t")["word"] == "better"
    assert row(judgement, "blend", "anchor")["word"] == "better"
    assert row(judgement, "seq2seq_pooled", "anchor")["word"] == "no evidence"
    assert judgement.best_baseline == "gjr_t"
    assert judgement.leaderboard["model"].iloc[0] == "blend"
    assert (judgement.by_step.query("model == 'blend'")["low"] > 0).mean() > 0.5
    mirrored = verdict_of(losses_of({**gains, "blend": -0.03}, noise=0.05))
    assert mirrored.word == "worse"


def test_better_than_the_reference_but_not_than_the_best_baseline_is_no_evidence():
    judgement = verdict_of(losses_of({"historical_simulation": 0.0, "gjr_t": 0.03, "blend": 0.03}, noise=0.05))
    assert row(judgement, "blend")["word"] == "better"
    assert row(judgement, "blend", "gjr_t")["word"] == "no evidence"
    assert judgement.word == "no evidence"


def test_the_rival_has_to_be_beaten_too():
    gains = {"historical_simulation": 0.0, "gjr_t": 0.005, "har": 0.01, "blend": 0.03}
    kinds = KINDS | {"har": "baseline"}
    losses = losses_of(gains, noise=0.05)

    def judged(rival="gjr_t", **table):
        spec = VerdictSpec(rival=rival)
        markets = dict.fromkeys(losses.tickers, "XNYS")
        return judge(replace(losses, **table), every=10, horizon=4, spec=spec, kinds=kinds, markets=markets)

    assert judged().word == "better"
    assert judged().best_baseline == "har"
    assert "Against GJR-t, the rival named before the run: better, " in judged().sentence
    rng = np.random.default_rng(3)
    wild = losses.crps_UK.copy()  # the rival's losses swing from date to date, so that nothing can be said about it
    swing = rng.standard_normal(len(losses.cutoffs))
    wild[:, 1] += 4.0 * (swing - swing.mean())[losses.cutoff_U]
    swung = judged(crps_UK=wild)
    assert [row(swung, "blend", m)["word"] for m in gains if m != "blend"] == ["better", "no evidence", "better"]
    assert swung.word == "no evidence"
    assert judged(crps_UK=wild, rival="").word == judged(crps_UK=wild, rival="garch_t").word == "better"
    assert "rival" not in judged(rival="").sentence + judged(rival="").rule


def test_location_and_scale_are_told_apart():
    """Medians that know the drift, and a scale that is right, each alone and together; against plain loops."""
    drift = 0.002 * np.arange(1, 7)
    y = walks(3, cutoffs=200) + drift
    right, wide = known_scale(6), known_scale(6, 2.0)
    models = {
        "historical_simulation": (0.0, wide),
        "gjr_t": (drift, wide),
        "har": (0.0, right),
        "blend": (drift, right),
    }
    table = table_of(y, models, every=2)
    losses, kinds = score(table), KINDS | {"har": "baseline"}
    spec, markets = VerdictSpec(rival="gjr_t"), dict.fromkeys(losses.tickers, "XNYS")
    judgement = judge(losses, every=2, horizon=6, spec=spec, kinds=kinds, markets=markets)
    located, scaled, both = (row(judgement, m) for m in ("gjr_t", "har", "blend"))
    assert located["shape"] == pytest.approx(0, abs=1e-6)
    assert located["location_low"] > 0
    assert scaled["location"] == pytest.approx(0, abs=1e-6)
    assert scaled["shape_low"] > 0
    assert min(both["location_low"], both["shape_low"]) > 0
    rows = judgement.verdicts
    np.testing.assert_allclose(rows["location"] + rows["shape"], rows["effect"], atol=1e-12)
    quantiles, median = table[list(QUANTILE_COLUMNS)].to_numpy(float), table["q0.500"].to_numpy(float)[:, None]
    table["centred"] = 100 * quantile_crps(table["y"].to_numpy(), quantiles - median)
    table["crps"] = 100 * quantile_crps(table["y"].to_numpy(), quantiles)
    mine, base = (table[table["model"] == m].set_index(["unique_id", "cutoff", "step"]) for m in ("blend", "gjr_t"))
    scale = base.groupby("unique_id")["crps"].mean()
    gain = (base["centred"] - mine["centred"]) / scale.reindex(base.index, level="unique_id")
    by_date = gain.groupby("cutoff").mean()
    against = row(judgement, "blend", "gjr_t")
    assert against["shape"] == pytest.approx(by_date.mean(), rel=1e-6)
    series = dm.examine(by_date.to_numpy(), 3)
    assert (against["shape_low"], against["shape_high"]) == pytest.approx((series.low, series.high), rel=1e-6)


def test_identical_models_differ_in_nothing():
    losses = losses_of({"historical_simulation": 0.0, "gjr_t": 0.0, "blend": 0.0})
    for table in (losses.crps_UK, losses.centred_UK):
        table[:] = table[:, :1]
    judgement = verdict_of(losses)
    assert judgement.word == "no evidence"
    assert (judgement.verdicts[["effect", "location", "location_low", "shape", "shape_high"]] == 0).all(axis=None)
    assert (judgement.verdicts["p"] == 1).all()
    assert (judgement.verdicts["p_adjusted"] == 1).all()
    assert (judgement.leaderboard["won"] == 0).all()


def test_too_few_cutoffs_are_said_so():
    judgement = verdict_of(losses_of({"historical_simulation": 0.0, "blend": 0.2}, cutoffs=7))
    found = row(judgement, "blend")
    assert (found["p"], found["word"], found["n"]) == (1.0, "no evidence", 7)
    assert found["effect"] == pytest.approx(0.2, abs=0.05)
    assert np.isnan(found[["low", "high", "statistic", "smallest_detectable"]].to_numpy(float)).all()
    assert found["test"] == "not tested: 7 cutoffs, at least 8 needed"
    assert "no evidence of skill" in judgement.sentence
    assert "not tested: 7 cutoffs" in judgement.sentence
    overlapping = verdict_of(
        losses_of({"historical_simulation": 0.0, "blend": 0.2}, cutoffs=9, every=1), every=1, horizon=5
    )
    assert row(overlapping, "blend")["test"] == "not tested: 9 cutoffs, at least 10 needed"


def test_one_ticker_is_the_pool():
    gains = {"historical_simulation": 0.0, "blend": 0.04}
    judgement = verdict_of(losses_of(gains, tickers=1))
    pooled, single, market = (row(judgement, "blend", pool=p) for p in ("all", "T0", "XNYS"))
    columns = ["effect", "low", "high", "p", "word"]
    assert pooled[columns].equals(single[columns])
    assert pooled[columns].equals(market[columns])
    assert single["p_adjusted"] == single["p"]


def test_benjamini_hochberg_by_hand():
    np.testing.assert_allclose(
        benjamini_hochberg(np.array([0.01, 0.04, 0.03, np.nan])), [0.04, 4 * 0.04 / 3, 4 * 0.04 / 3, 1.0]
    )
    gains = {"historical_simulation": 0.0, "gjr_t": 0.0, "blend": 0.02}
    table = verdict_of(losses_of(gains, tickers=6)).by_ticker
    for _, part in table.groupby("model"):
        p = part["p"].to_numpy()
        order = np.argsort(p)
        stepped = np.minimum.accumulate((p[order] * len(p) / np.arange(1, len(p) + 1))[::-1])[::-1]
        np.testing.assert_allclose(part["q"].to_numpy()[order], np.minimum(stepped, 1))


def two_markets(shift_days):
    """Two tickers in each of two markets, whose cutoff dates lie `shift_days` apart."""
    gains = {"historical_simulation": 0.0, "gjr_t": 0.0, "blend": 0.03}
    one = losses_of(gains, tickers=4, cutoffs=50, horizon=4, every=2, noise=0.05)
    other = one.cutoffs + np.timedelta64(shift_days, "D")
    cutoffs = np.union1d(one.cutoffs, other)
    place = np.where(one.ticker_U < 2, np.searchsorted(cutoffs, one.cutoffs)[one.cutoff_U], 0)
    place = np.where(one.ticker_U < 2, place, np.searchsorted(cutoffs, other)[one.cutoff_U])
    fields = {**vars(one), "cutoffs": cutoffs, "cutoff_U": place}
    return Losses(**fields), {"T0": "XNYS", "T1": "XNYS", "T2": "FX", "T3": "FX"}


def test_markets_with_disjoint_dates_pool_and_stand_alone():
    losses, markets = two_markets(5000)
    judgement = verdict_of(losses, every=2, markets=markets)
    assert row(judgement, "blend")["n"] == 100
    assert row(judgement, "blend")["n_eff"] == 50
    assert [row(judgement, "blend", pool=m)["n"] for m in ("XNYS", "FX")] == [50, 50]
    assert row(judgement, "blend", pool="FX")["word"] == "better"
    fx = row(judgement, "blend", pool="FX")["effect"]
    tickers = [row(judgement, "blend", pool=t)["effect"] for t in ("T2", "T3")]
    assert fx == pytest.approx(np.mean(tickers))
    over_time = judgement.over_time.query("model == 'blend'")
    assert over_time.query("unique_id == 'all'")["cutoff"].is_monotonic_increasing
    assert set(over_time.groupby("unique_id", observed=True).size()) == {50, 100}


@pytest.mark.parametrize(("shift", "overlap", "n_eff"), [(5000, 2, 50), (0, 2, 25), (1, 4, 25)])
def test_interleaved_cutoffs_count_as_overlap(shift, overlap, n_eff):
    losses, markets = two_markets(shift)
    made = pools(losses, every=2, horizon=4, markets=markets)
    assert (made[0].overlap, made[0].n_eff) == (overlap, n_eff)
    assert {p.overlap for p in made if p.family in ("market", "ticker")} == {2}
    assert [p.overlap for p in made if p.family == "step" and p.step in ("1", "2")] == [1 + (shift == 1)] * 2


def test_missing_units_only_change_what_they_touch():
    losses = losses_of({"historical_simulation": 0.0, "gjr_t": 0.01, "blend": 0.03})
    keep = ~((losses.ticker_U == 1) & (losses.cutoff_U < 96)) & (losses.ticker_U != 2)
    part = {k: v[keep] for k, v in vars(losses).items() if k.endswith(("_U", "_UK", "_UKB"))}
    judgement = verdict_of(Losses(**{**vars(losses), **part, "dropped": 12, "missing": {"blend": 12}}))
    assert set(judgement.by_ticker["unique_id"]) == {"T0", "T1", "T3"}
    assert row(judgement, "blend", pool="T1")["test"].startswith("not tested: 4 cutoffs")
    assert row(judgement, "blend", pool="T0")["p"] == row(verdict_of(losses), "blend", pool="T0")["p"]
    assert "12 units (ticker, cutoff, step) that some model lacks are left out." in judgement.sentence


def test_a_ticker_that_never_moves_is_not_divided_by():
    losses = losses_of({"historical_simulation": 0.0, "gjr_t": 0.0, "blend": 0.03})
    losses.crps_UK[losses.ticker_U == 0] = 0.0
    judgement = verdict_of(losses)
    assert np.isfinite(row(judgement, "blend")["effect"])
    still = row(judgement, "blend", pool="T0")
    assert (still["p"], still["word"], still["test"]) == (1.0, "no evidence", "not tested: the benchmark lost nothing")


def test_tables_have_the_columns_of_study():
    judgement = verdict_of(losses_of({m: 0.01 * i for i, m in enumerate(KINDS)}))
    coverage = ["coverage_50", "coverage_80", "coverage_95"]
    inference = ["skill", "low", "high"]
    parts = [f"{part}{end}" for part in ("location", "shape") for end in ("", "_low", "_high")]
    assert list(judgement.verdicts.columns) == list(VERDICT_COLUMNS)
    assert list(judgement.leaderboard.columns) == (
        [
            "model",
            "kind",
            "crps",
            "skill",
            "effect",
            "effect_low",
            "effect_high",
            *parts,
            "won",
            *coverage,
            "dm_t",
            "dm_p",
            "n",
            "n_eff",
        ]
    )
    assert list(judgement.by_step.columns) == ["model", "step", "crps", *inference, *coverage]
    assert list(judgement.by_ticker.columns) == (
        [
            "model",
            "unique_id",
            "crps",
            *inference,
            "p",
            "q",
            "n",
            "n_eff",
            "smallest_detectable",
            "word",
            *coverage,
            "variance_share",
        ]
    )
    assert list(judgement.by_ticker_step.columns) == ["model", "unique_id", "step", "crps", "skill", "coverage_80"]
    assert list(judgement.over_time.columns) == ["model", "unique_id", "cutoff", "difference", "cumulative"]
    assert (len(judgement.by_step), len(judgement.by_ticker), len(judgement.by_ticker_step)) == (5 * 4, 5 * 4, 5 * 16)
    assert not judgement.verdicts.duplicated(["pool", "step", "benchmark", "challenger"]).any()
    assert (judgement.verdicts["challenger"] != judgement.verdicts["benchmark"]).all()
    for table in (judgement.by_step, judgement.by_ticker, judgement.by_ticker_step, judgement.leaderboard):
        assert not table.drop(columns=["dm_t", "dm_p"], errors="ignore").isna().any(axis=None)


def with_a_peg(losses, *, at=40, size=400.0):
    """One more ticker, a peg: next to no losses, but on one date a large one, and there the challenger's is larger."""
    units = np.flatnonzero(losses.ticker_U == 0)
    peg = np.full((len(units), len(losses.models)), 0.01)
    moved = losses.cutoff_U[units] == at
    peg[moved] = size * 0.01 * np.array([1.0 + 0.6 * (m == "blend") for m in losses.models])
    return replace(
        losses,
        tickers=(*losses.tickers, "PEG"),
        ticker_U=np.r_[losses.ticker_U, np.full(len(units), len(losses.tickers))],
        cutoff_U=np.r_[losses.cutoff_U, losses.cutoff_U[units]],
        step_U=np.r_[losses.step_U, losses.step_U[units]],
        crps_UK=np.r_[losses.crps_UK, peg],
        centred_UK=np.r_[losses.centred_UK, peg],
        abs_error_UK=np.r_[losses.abs_error_UK, peg],
        covered_UKB=np.r_[losses.covered_UKB, losses.covered_UKB[units]],
    )


def test_the_ticker_that_carries_the_pooled_variance_is_known():
    """Nine tickers are better; a peg that moved once widens the interval until nothing is seen, and is named."""
    nine = losses_of({"historical_simulation": 0.0, "gjr_t": 0.01, "blend": 0.034}, tickers=9, seed=11)
    plain, ten = verdict_of(nine), verdict_of(with_a_peg(nine))
    assert (row(plain, "blend")["word"], row(ten, "blend")["word"]) == ("better", "no evidence")

    def shares(judgement, model="blend"):
        return judgement.by_ticker.query("model == @model").set_index("unique_id")["variance_share"]

    assert shares(plain).sum() == pytest.approx(1)
    assert shares(plain).max() < 0.35
    assert shares(ten).sum() == pytest.approx(1)
    assert shares(ten)["PEG"] > 0.9
    assert shares(ten, "gjr_t")["PEG"] < 0.1, "both lost as much that day"
    assert (shares(ten, "historical_simulation") == 0).all()
    frame = pd.DataFrame({"t": nine.ticker_U, "c": nine.cutoff_U, "m": nine.of("blend"), "r": nine.of(nine.models[0])})
    frame["d"] = (frame["r"] - frame["m"]) / frame.groupby("t")["r"].transform("mean")
    by_date = frame.pivot_table(index="c", columns="t", values="d")
    expected = [np.cov(by_date[t] / 9, by_date.mean(axis=1))[0, 1] / by_date.mean(axis=1).var() for t in range(9)]
    np.testing.assert_allclose(shares(plain), expected)


def test_means_agree_across_tables():
    losses = losses_of({"historical_simulation": 0.0, "gjr_t": 0.01, "blend": 0.03}, seed=7)
    judgement = verdict_of(losses)
    board = judgement.leaderboard.set_index("model")
    for table in (judgement.by_step, judgement.by_ticker, judgement.by_ticker_step):
        np.testing.assert_allclose(table.groupby("model")["crps"].mean(), board["crps"].sort_index())
    np.testing.assert_allclose(judgement.by_ticker.groupby("model")["skill"].mean(), board["skill"].sort_index())
    wide = judgement.by_step.pivot(index="step", columns="model", values="crps")
    skill = judgement.by_step.pivot(index="step", columns="model", values="skill")
    np.testing.assert_allclose(skill["blend"], 1 - wide["blend"] / wide["historical_simulation"])
    last = judgement.over_time.query("model == 'blend' and unique_id == 'all'")["cumulative"].iloc[-1]
    assert last == pytest.approx(100 * (board["crps"]["historical_simulation"] - board["crps"]["blend"]))


def test_the_sentence_can_be_read_aloud():
    losses = losses_of({"historical_simulation": 0.0, "gjr_t": 0.02, "blend": 0.03}, noise=0.05)
    judgement = verdict_of(losses, spec=VerdictSpec(rival="gjr_t"))
    number = r"[+-]\d+\.\d\d"
    interval = rf"{number} \[{number}, {number}\]"
    parts = f"of which location {interval}, scale and shape {interval}"
    assert re.fullmatch(
        rf"The blend against historical simulation: better, CRPS skill {number} % \[{number}, {number}\] "
        rf"\({parts}; p < 0\.001; 100 cutoffs, n_eff 100, smallest detectable \d\.\d\d %\)\.\n"
        rf"Against GJR-t, the best baseline here and the rival named before the run: (better|no evidence of skill), "
        rf"{number} % \[{number}, {number}\] "
        rf"\({parts}; p [=<] 0\.\d+\)\.\n\d of 4 tickers better at FDR 10 %\.",
        judgement.sentence,
    )
    assert "p < 0.05" in judgement.rule
    assert "where it runs with GJR-t, named as the rival," in judgement.rule
    assert "rate of 10 %." in judgement.rule
    assert "{" not in judgement.rule


def test_the_recommended_model_may_be_missing_or_the_reference():
    losses = losses_of({"historical_simulation": 0.0, "gjr_t": 0.02})
    gone = verdict_of(losses)
    assert gone.word == "no evidence"
    assert gone.sentence == "The recommended model, the blend, has no scored forecasts: no verdict."
    itself = verdict_of(losses, spec=VerdictSpec(recommended="historical_simulation"))
    assert itself.sentence.startswith("The recommended model is the reference")
    baseline = verdict_of(losses, spec=VerdictSpec(recommended="gjr_t"))
    assert baseline.best_baseline == "historical_simulation"
    assert "which is also the best baseline here" in baseline.sentence
    with pytest.raises(CallerError, match="the reference ewma_t has no forecasts"):
        verdict_of(losses, spec=VerdictSpec(reference="ewma_t"))
    with pytest.raises(ValueError, match="no market given for T3"):
        verdict_of(losses, markets={"T0": "X", "T1": "X", "T2": "X"})


def test_a_failed_audit_takes_the_verdict_back():
    columns = ["check", "model", "outcome", "figure", "sentence"]
    sound = pd.DataFrame([("truncation", "har", "passed", 0.0, "har: no change.")], columns=columns)
    assert after_audit("The blend is better.", "better", sound) == ("The blend is better.", "better")
    leaky = pd.DataFrame(
        [("truncation", "har", "failed", 0.4, "har changed at AAPL, 2009-02-25."), *sound.itertuples(index=False)],
        columns=columns,
    )
    sentence, word = after_audit("The blend is better.", "better", leaky)
    assert word == "no evidence"
    assert sentence.startswith("Not to be believed: the leak audit failed (har changed at AAPL, 2009-02-25)")
    assert sentence.endswith("The blend is better.")
