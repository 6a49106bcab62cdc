"""Benchmarks measure what ships: their settings follow from the defaults, and pages count as the defaults do."""

import sys
from math import ceil
from pathlib import Path

import numpy as np
import pytest

from benchmarks import engines, forecasts, peers, precision, regret, since, training, won
from benchmarks.contenders.measured import Task
from s2squant.config.experiment import Experiment
from s2squant.config.networks import AnchorSpec, Seq2SeqSpec
from s2squant.evaluation.losses import score
from s2squant.evaluation.statistics.diebold_mariano import degrees
from s2squant.forecasters.anchor import Anchor
from s2squant.forecasters.network import prepare
from tests.worlds.forecast_tables import known_scale, table_of, walks
from tests.worlds.synthetic import garch_panel

ROOT = Path(__file__).parents[1]
SHIPPED = Experiment()
NETWORK = SHIPPED.forecasters.seq2seq


def page(name):
    """A page as one line of text."""
    return " ".join((ROOT / name).read_text(encoding="utf-8").split())


def test_the_training_benchmark_trains_the_networks_that_ship():
    own, pooled = (training.shipped(name) for name in SHIPPED.forecasters.networks)
    assert own.spec == pooled.spec == NETWORK
    assert (own.batch, own.free_table) == (NETWORK.per_ticker.batch, NETWORK.per_ticker.free_table)
    assert (pooled.batch, pooled.free_table) == (NETWORK.pooled.batch, NETWORK.pooled.free_table)
    assert f"as shipped: batch {NETWORK.per_ticker.batch}, {NETWORK.training.positions} of" in own.name
    with pytest.raises(ValueError, match="gjr_t is no network"):
        training.shipped("gjr_t")


def test_its_labels_follow_the_settings(monkeypatch):
    other = NETWORK.model_copy(update={"pooled": NETWORK.pooled.model_copy(update={"batch": 17})})
    monkeypatch.setattr(training, "SHIPPED", SHIPPED.forecasters.model_copy(update={"seq2seq": other}))
    pooled = training.shipped("seq2seq_pooled")
    assert (pooled.batch, pooled.name.split(": ")[1]) == (
        17,
        f"batch 17, {NETWORK.training.positions} of {NETWORK.training.chunk}",
    )


def test_its_variants_are_others_and_possible():
    base = training.shipped("seq2seq_pooled")
    made = training.variants(base)
    for loop in made:
        assert loop.name.startswith("variant: ")
        assert loop.spec != base.spec
        assert Seq2SeqSpec.model_validate(loop.spec.model_dump()) == loop.spec
        assert loop.batch == base.batch or f"batch {loop.batch}" in loop.name
    assert len({(loop.spec.model_dump_json(), loop.batch) for loop in made}) == len(made)
    assert training.with_hidden(base, 64).spec.encoder.hidden == 64


def test_its_nets_read_as_many_inputs_as_a_backtests():
    panel = garch_panel("AB", 400, ohlcv=True)
    rows = np.arange(300, 380)
    anchor = Anchor(AnchorSpec(steps=1)).fit(panel, rows, horizon=5, seed=0)
    inputs = prepare(anchor, NETWORK, panel, rows, ranges=NETWORK.ranges).inputs_RF
    assert inputs.shape[1] == training.INPUTS


def test_the_benchmarks_of_skill_measure_the_models_and_the_walk_that_ship():
    walk = SHIPPED.walk
    assert SHIPPED.verdict.rival == forecasts.RIVAL
    assert ("anchor", *SHIPPED.forecasters.networks) == forecasts.OURS
    assert (walk.horizon, walk.every) == (forecasts.HORIZON, forecasts.EVERY)


def test_pages_count_as_the_defaults_do():
    walk, readme = SHIPPED.walk, page("docs/benchmarks.md")
    assert f"{len(SHIPPED.forecasters.models)} models and a recalibrated row, {walk.cutoffs} cutoffs" in readme
    for settings in (NETWORK.per_ticker, NETWORK.pooled):
        assert f"as shipped: batch {settings.batch}, {NETWORK.training.positions} positions" in readme
    overlap = ceil(walk.horizon / walk.every)
    said = f"{walk.cutoffs} cutoffs and an overlap of {overlap}, has {degrees(walk.cutoffs, overlap)})"
    assert said in page("docs/statistics.md")


def test_a_share_of_tickers_won_follows_from_gains_and_their_errors():
    assert won.share_won(0.5, np.array([0.5, 0.25])) == pytest.approx((0.841345 + 0.977250) / 2, abs=1e-6)
    assert won.needed(np.full(3, 0.5)) == pytest.approx(0.5 * 1.644854, abs=1e-6)


@pytest.mark.parametrize("true", [0.0, 1.0])
def test_the_spread_of_true_gains_is_told_from_that_of_errors(true):
    """What tickers share on a date moves their mean and not their spread; one lacks some dates."""
    rng = np.random.default_rng(0)
    gain_MC = 0.3 + true * rng.normal(size=(300, 1)) + 3 * rng.normal(size=200) + 6 * rng.normal(size=(300, 200))
    gain_MC[7, 150:] = np.nan
    assert won.spread_of_truth(gain_MC) == pytest.approx(true, abs=0.2)
    assert np.median(won.errors(gain_MC, 0)) == pytest.approx((3**2 + 6**2) ** 0.5 / 200**0.5, rel=0.1)
    assert won.errors(gain_MC, 50)[0] == pytest.approx(2 * won.errors(gain_MC, 0)[0])


def test_regret_reads_the_levels_that_a_run_scores():
    frame = table_of(walks(0), {"blend": (0.0, known_scale(6))}).assign(**{"q0.001": -9.0, "q0.999": 9.0})
    losses = score(frame)
    mean = [losses.of("blend")[losses.ticker_U == m].mean() for m in range(len(losses.tickers))]
    assert 100 * regret.lost(frame) == pytest.approx(mean)


def test_peers_are_trained_on_as_many_windows_as_the_network_that_ships(tmp_path):
    spec, task = NETWORK.per_ticker, peers.task_of(peers.windows_shipped(), 2)
    assert task.steps * task.batch == spec.steps * spec.batch * NETWORK.training.positions
    assert (task.hidden, task.horizon) == (NETWORK.encoder.hidden, SHIPPED.walk.horizon)
    task.save(tmp_path / "task.npz")
    read = Task.read(tmp_path / "task.npz")
    assert [(fit, cutoffs.tolist()) for fit, cutoffs in read.folds()] == [(f, c.tolist()) for f, c in task.folds()]
    assert (read.windows, read.returns_MT.shape) == (task.windows, (2, peers.LEARN + peers.WALKED + task.horizon))
    assert task.fits_F[0] == task.cutoffs_C[0]
    assert sum(len(cutoffs) for _, cutoffs in task.folds()) == 50


def test_a_table_of_peers_has_ratios_and_the_reason_of_who_failed():
    first = peers.Measured("ours", 5000.0, 9000.0, 50.0, 8.0, 2.0, 200.0, 400.0, 1.5)
    other = peers.Measured("theirs", 10000.0, 9000.0, 75.0, 2.0, 4.0, 300.0, 500.0, 1.6)
    told = peers.table([first, other, peers.Failed("darts", "not there")], {"historical simulation": 1.6}).splitlines()
    assert len({line.count("|") for line in told}) == 1
    assert "| ours | 5,000 windows/s | 9,000 windows/s | 50 s | 8.0 ms | 2.0 s |" in told[2]
    assert (
        "| theirs | 2.00 x (10,000 windows/s) | 1.00 x (9,000 windows/s) | 1.50 x (75 s) | 0.25 x (2.0 ms) |" in told[3]
    )
    assert told[2].endswith("| 1.500 (+6.2 %) |")
    assert told[4].startswith("| darts | not there |")


def test_the_reason_of_a_failed_step_is_the_line_that_says_it():
    pip = "WARNING: slow\nERROR: No matching distribution found for x|y\nERROR: more\n"
    assert peers.reason(pip) == "No matching distribution found for x/y"
    assert peers.reason("Traceback\n  File\nValueError: no\n\n") == "ValueError: no"
    with pytest.raises(peers.StepError, match="ValueError: no"):
        peers.step([sys.executable, "-c", "raise ValueError('no')"], 30)
    with pytest.raises(peers.StepError, match="not done after 0 s"):
        peers.step([sys.executable, "-c", "import time; time.sleep(9)"], 0.1)


def test_every_build_whose_precision_is_measured_is_possible():
    specs = [
        precision.with_hidden(parts, hidden) for parts in precision.BUILDS.values() for hidden, _ in precision.SIZES
    ]
    assert {spec.training.precision for spec in specs} == {"auto"}
    assert len({spec.model_dump_json() for spec in specs}) == len(precision.BUILDS) * len(
        {h for h, _ in precision.SIZES}
    )
    shipped = precision.with_hidden(precision.BUILDS["as shipped"], NETWORK.encoder.hidden)
    assert shipped.model_copy(update={"training": NETWORK.training}) == NETWORK


def test_a_printed_table_of_many_tickers_is_read_by_its_head():
    cell = engines.Cell("local", 2, 300, wall=50.0, cpu=80.0, peak=0.75, jobs=40.0, stored=30.0)
    [row] = since.rows_of("2 cores\n\n" + "\n".join((*engines.HEAD, engines.row(cell, cell))))
    assert (row["tickers"], row["wall s"], row["of it jobs"], row["peak GB"]) == ("300", "50", "40", "0.75")


def test_the_best_of_turns_is_the_least_of_each_figure():
    assert since.best([{"a": 2.0, "b": 1.0}, {"a": 1.5, "b": 3.0}]) == {"a": 1.5, "b": 1.0}
