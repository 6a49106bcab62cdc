"""The whole line on tiny runs: its files, held against the prices, and what one ticker can and cannot do to another."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from s2squant.cli.screen import exit_status
from s2squant.config.files import make_experiment
from s2squant.errors import ConfigError, S2squantError
from s2squant.evaluation.results import Verdict
from s2squant.prices.calendars.exchanges import exchange_sessions
from s2squant.report import formats, money_sentences
from s2squant.report.study_view import arrange
from s2squant.runs.engines import local
from s2squant.runs.study_files import load_study
from s2squant.study import backtest, open_run
from tests.worlds.runs import (
    BARS,
    BASELINES,
    LEVELS,
    QUANTILES,
    TINY,
    check_report,
    check_sound,
    every_day,
    experiment,
    few,
    files,
    forecasts_only,
    manifest,
    stock_days,
    write_prices,
)
from tests.worlds.synthetic import crps

ALL = [*BASELINES, "anchor", "seq2seq_per_ticker", "seq2seq_pooled", "blend", "blend+aci"]


def of_models(*models):
    """A run of these, the last recommended."""
    return {"forecasters": TINY["forecasters"] | {"models": models}, "verdict": {"recommended": models[-1]}}


ONE_NET = of_models("historical_simulation", "anchor", "seq2seq_per_ticker")
SHARED = of_models("historical_simulation", "anchor", "seq2seq_pooled")


@pytest.fixture(scope="module")
def prices(tmp_path_factory):
    """Stocks of New York, two coins that trade every day, a delisted one with a hostile name, one with too few bars."""
    folder = tmp_path_factory.mktemp("prices")
    write_prices(folder, "AAA", stock_days(), 1)
    write_prices(folder, "BBB", stock_days(), 2, np.r_[0:700, 712:BARS])
    write_prices(folder, "<b>", stock_days(), 3, np.s_[:850])
    write_prices(folder, "NEW", stock_days(), 4, np.s_[-200:])
    write_prices(folder, "BTC-USD", every_day(), 5)
    write_prices(folder, "ETH-USD", every_day(), 6)
    return folder


@pytest.fixture(scope="module")
def run(prices, tmp_path_factory):
    """Everything there is, once; its folder and the study."""
    return backtest(experiment(prices), tmp_path_factory.mktemp("out") / "run", workers=0, command="by hand")


def test_the_files_of_the_contract(run):
    folder, _ = run
    top = {"index.html", "forecast.csv", "tickers", "assets", "experiment.json", "manifest.json", "models"}
    top |= {"tables", "study.json", "prices.parquet"}  # what `s2squant report` lays the pages out from again
    top |= {f"{name}.parquet" for name in ("forecasts", "scores", "verdicts", "equity", "risk")}
    assert {path.name for path in folder.iterdir()} == top
    assert not [name for name in files(folder) if name.endswith(".tmp") or name.startswith("work")]
    check_report(folder)


def test_the_forecasts_are_what_the_prices_say(run, prices):
    folder, study = run
    table = check_sound(folder, prices)
    assert list(table["model"].unique()) == ALL
    assert set(table["unique_id"]) == {"AAA", "BBB", "<b>", "BTC-USD", "ETH-USD"}
    assert table["step"].max() == 5
    pd.testing.assert_frame_equal(
        table.drop(columns=["model", "unique_id"]),
        study.forecasts.drop(columns=["model", "unique_id"]),
        check_dtype=False,
        check_exact=True,
    )


def test_each_market_walks_its_own_calendar(run):
    folder, study = run
    table = pd.read_parquet(folder / "forecasts.parquet")
    known = table[table["y"].notna() & (table["model"] == "anchor")]
    expected = {"AAA": stock_days(), "BTC-USD": every_day()}
    for ticker, days in expected.items():
        cutoffs = known.loc[known["unique_id"] == ticker, "cutoff"].drop_duplicates()
        np.testing.assert_array_equal(cutoffs.to_numpy("datetime64[D]"), days[[834, 854, 874, 894]])
    assert {(f.market, f.number, len(f.cutoffs)) for f in study.folds} == {
        (m, n, 2) for m in ("XNYS", "24/7") for n in (0, 1)
    }
    assert set(study.training["market"]) == {"XNYS", "24/7"}
    assert set(study.weights["market"]) == {"XNYS", "24/7"}
    assert {p.name.split("_")[0] for p in (folder / "models").iterdir()} == {"anchor", "seq2seq"}
    assert len(list((folder / "models").glob("anchor_*"))) == 4  # two markets, two folds


def test_tomorrow_is_forecast_on_the_sessions_to_come(run):
    table = pd.read_parquet(run[0] / "forecasts.parquet")
    assert load_study(run[0]).rows["forecasts"] == len(table)
    coming = table[(table["model"] == "blend") & table["y"].isna()]
    assert set(coming["unique_id"]) == {"AAA", "BBB", "BTC-USD", "ETH-USD"}  # and nothing for the delisted one
    sessions, last = exchange_sessions("XNYS"), stock_days()[-1]
    mine = coming[coming["unique_id"] == "AAA"]
    assert set(mine["cutoff"].to_numpy("datetime64[D]")) == {last}
    np.testing.assert_array_equal(mine["ds"].to_numpy("datetime64[D]"), sessions[sessions > last][:5])
    coin = coming[coming["unique_id"] == "BTC-USD"]
    np.testing.assert_array_equal(coin["ds"].to_numpy("datetime64[D]"), every_day()[-1] + np.arange(1, 6))


def test_no_forecast_is_older_than_its_fit(run):
    table = pd.read_parquet(run[0] / "forecasts.parquet")
    first = {f.market: f.cutoffs[0] for f in reversed(run[1].folds)}
    cutoffs = table["cutoff"].to_numpy("datetime64[D]")
    stocks = table["unique_id"].isin(["AAA", "BBB", "<b>"]).to_numpy()
    assert cutoffs[stocks].min() == first["XNYS"]
    assert cutoffs[~stocks].min() == first["24/7"]
    delisted = table.loc[table["unique_id"] == "<b>", "cutoff"].drop_duplicates()
    np.testing.assert_array_equal(delisted.to_numpy("datetime64[D]"), stock_days()[[834]])


def test_the_scores_are_those_of_the_forecasts(run):
    folder, study = run
    table = pd.read_parquet(folder / "forecasts.parquet")
    table = table[table["y"].notna()]
    own = 100 * crps(table["y"].to_numpy(), table[QUANTILES].to_numpy(float))
    scores = pd.read_parquet(folder / "scores.parquet")
    keys = ["model", "unique_id", "cutoff", "step"]
    assert not scores.duplicated([*keys, "metric"]).any()
    joined = table[keys].assign(own=own).merge(scores[scores["metric"] == "crps"], on=keys, validate="1:1")
    assert len(joined) == len(table)  # common units: nothing was dropped here
    np.testing.assert_allclose(joined["value"], joined["own"], rtol=1e-5)
    mean = joined.groupby("model", observed=True)["own"].mean()
    board = study.leaderboard.set_index("model")["crps"]
    np.testing.assert_allclose(board.reindex(mean.index), mean, rtol=1e-5)
    low, high = (table[QUANTILES[LEVELS.index(level)]] for level in (0.1, 0.9))
    inside = ((table["y"] >= low) & (table["y"] <= high)).groupby(table["model"].astype(str)).mean()
    cover = study.leaderboard.set_index("model")["coverage_80"]
    np.testing.assert_allclose(cover.reindex(inside.index), inside, atol=1e-6)


def test_verdicts_and_equity_have_their_columns(run):
    folder, study = run
    verdicts = pd.read_parquet(folder / "verdicts.parquet")
    assert list(verdicts.columns) == [f.name for f in dataclasses.fields(Verdict)]
    assert set(verdicts["pool"]) >= {"all", "XNYS", "24/7"}
    assert study.word == "no evidence"  # four cutoffs cannot show anything
    equity = pd.read_parquet(folder / "equity.parquet")
    assert list(equity.columns) == ["model", "unique_id", "date", "position", "gross", "cost", "net", "equity_net"]
    np.testing.assert_allclose(equity["net"], equity["gross"] - equity["cost"], atol=1e-12)


def test_the_money_sentences_say_what_equity_parquet_says(run):
    folder, study = run
    equity, contents = pd.read_parquet(folder / "equity.parquet"), arrange(study)
    names = set(equity["unique_id"])
    assert names == {"AAA", "BBB", "<b>", "BTC-USD", "ETH-USD", "XNYS", "24/7"}, "no pool over two markets"
    for name in names:
        own = {str(m): part for m, part in equity[equity["unique_id"] == name].groupby("model", observed=True)}
        rule, held = own["blend"], own["buy_and_hold"]
        assert set(own) >= {"equal_volatility", "random_walk_sign"}
        years = (rule["date"].iloc[-1] - rule["date"].iloc[0]).days / 365.25
        difference = (rule["net"].to_numpy() - held["net"].to_numpy()).mean() * len(rule) / years
        said = money_sentences.money(contents, name)
        if len(rule) < 20:
            assert said == "", "too few bars to say anything"
            continue
        assert f"made {formats.percent(abs(difference), 1)} a year {'more' if difference >= 0 else 'less'} than" in said
        for model in ("blend", "buy_and_hold", "equal_volatility", "random_walk_sign"):
            yearly = own[model]["equity_net"].iloc[-1] ** (1 / years) - 1
            assert formats.percent(yearly, 1, True) in said
        if name in study.histories:
            assert f"long {formats.percent((rule['position'].iloc[1:] > 0).mean(), 0)} of the time" in said
        assert money_sentences.word(contents, name) != "better", "the forecasts have shown no skill"
        assert said in (folder / "index.html").read_text() or name in study.histories


def test_whole_paths_are_scored_and_models_without_any_are_named(run):
    _, study = run
    found = study.energy.set_index("model")
    simulated = {"historical_simulation", "ewma_t", "garch_t", "gjr_t"}
    assert set(found.index) == set(study.leaderboard["model"])
    assert set(found.index[found["paths"] == 128]) == simulated
    assert set(found["reason"][found["paths"] == 0]) == {"quantiles only"}
    known = study.forecasts[study.forecasts["model"] == "garch_t"].groupby(["unique_id", "cutoff"], observed=True)["y"]
    whole = known.apply(lambda y: y.notna().all())
    dates = whole[whole].index.get_level_values("cutoff").nunique()
    assert found.loc["garch_t", "n"] == dates
    assert 0.5 < found.loc["garch_t", "energy"] < 5, "in standard deviations"
    assert set(study.misses["scope"]) == {"all", *study.histories}
    assert (study.misses["price"] > 0).all()


def test_the_manifest_is_written_last_and_names_every_ticker(run, prices):
    folder, study = run
    found = manifest(folder)
    assert found["status"] == study.status == "partial"
    assert exit_status(study) == 3
    status = {ticker: entry["status"] for ticker, entry in found["tickers"].items()}
    assert status == dict.fromkeys(["AAA", "BBB", "<b>", "BTC-USD", "ETH-USD"], "ok") | {"NEW": "skipped"}
    assert found["tickers"]["NEW"]["reason"].startswith("too short: 135 of 200 bars by the first cutoff")
    assert found["tickers"]["<b>"]["bars"] == 850
    assert found["tickers"]["BTC-USD"]["market"] == "24/7"
    assert set(found["prices"]) == set(status)
    assert len(set(found["prices"].values())) == 6
    assert found["command"] == "by hand"
    assert (found["trained_on"], found["trained_in"]) == (["cpu"], ["float32"])
    assert {"torch", "numpy", "pandas", "python", "s2squant"} <= set(found["versions"])
    assert {"load", "judge", "write", "render", "anchor:XNYS", "ticker:<b>"} <= set(found["timings"])


def test_the_written_experiment_is_an_input(run):
    folder, study = run
    assert make_experiment(json.loads((folder / "experiment.json").read_text())) == study.experiment


def test_a_hostile_name_is_text_everywhere(run):
    folder, _ = run
    assert len(list((folder / "tickers").iterdir())) == 5
    index = (folder / "index.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;" in index
    pages = [path.read_text(encoding="utf-8") for path in (folder / "tickers").iterdir()]
    mine = [page for page in pages if "<title>" in page and "&lt;b&gt;" in page.partition("</title>")[0]]
    assert len(mine) == 1
    for page in (index, *pages):
        assert "<b>" not in page


def test_a_ticker_that_cannot_be_trained_is_named_and_the_others_finish(tmp_path):
    """S was halted for long: enough bars in all, too few inside the sliding window."""
    write_prices(tmp_path / "prices", "AAA", stock_days(), 0)
    write_prices(tmp_path / "prices", "BBB", stock_days(), 1)
    write_prices(tmp_path / "prices", "S", stock_days(), 9, np.r_[0:700, 815:BARS])
    walk = TINY["walk"] | {"window": "sliding", "train_bars": 150}
    universe = {"source": f"csv:{tmp_path / 'prices'}", "calendars": {"S": "XNYS"}}  # its dates alone do not tell
    wanted = experiment("", walk=walk, universe=universe, **ONE_NET)
    folder, study = backtest(wanted, tmp_path / "run", workers=0)
    assert study.status == manifest(folder)["status"] == "partial"
    assert exit_status(study) == 3
    status = {r.ticker: (r.status, r.reason) for r in study.tickers}
    assert [status[t] for t in ("AAA", "BBB")] == [("ok", "")] * 2
    assert status["S"][0] == "failed"
    assert "no training chunk of 65 bars for S; lower forecasters.seq2seq.training.chunk" in status["S"][1]
    table = check_sound(folder, tmp_path / "prices")
    assert set(table["unique_id"]) == {"AAA", "BBB"}
    assert set(study.histories) == {"AAA", "BBB"}
    for name in ("scores", "equity"):
        assert "S" not in set(pd.read_parquet(folder / f"{name}.parquet")["unique_id"].astype(str))
    assert len(list((folder / "tickers").iterdir())) == 2
    assert "no training chunk of 65 bars for S" in (folder / "index.html").read_text(encoding="utf-8")


@pytest.fixture
def failing(monkeypatch):
    """A pool in which the named jobs fail."""

    def of(*keys):
        class Failing(local.InlinePool):
            def perform(self, job):
                return "ValueError: planted" if job.key in keys else super().perform(job)

        monkeypatch.setattr(local, "InlinePool", Failing)

    return of


def outcome(study):
    return {r.ticker: (r.status, r.reason) for r in study.tickers}


@pytest.mark.parametrize("job", ["anchor:24/7", "pooled:24/7:1"])
def test_a_market_whose_shared_model_fails_takes_no_other_with_it(job, prices, tmp_path, failing):
    failing(job)
    wanted = experiment(prices, "AAA", "BTC-USD", "ETH-USD", "BBB", **SHARED)
    folder, study = backtest(wanted, tmp_path / "run", workers=0)
    label = "anchor of 24/7" if job.startswith("anchor") else "pooled net of 24/7, fold 1"
    reason = ("failed", f"{label} failed: ValueError: planted")
    assert outcome(study) == {"AAA": ("ok", ""), "BBB": ("ok", ""), "BTC-USD": reason, "ETH-USD": reason}
    assert list(outcome(study)) == ["AAA", "BTC-USD", "ETH-USD", "BBB"]  # in the order asked for
    assert set(check_sound(folder, prices)["unique_id"]) == {"AAA", "BBB"}


def test_a_failed_ticker_named_like_its_market_fails_alone(prices, tmp_path, failing):
    write_prices(tmp_path / "prices", "XNYS", stock_days(), 1)
    write_prices(tmp_path / "prices", "ZZZ", stock_days(), 2)
    failing("ticker:XNYS")
    folder, study = backtest(few(tmp_path / "prices"), tmp_path / "run", workers=0)
    assert outcome(study) == {"XNYS": ("failed", "ValueError: planted"), "ZZZ": ("ok", "")}
    assert set(check_sound(folder, tmp_path / "prices")["unique_id"]) == {"ZZZ"}


def test_when_all_fail_there_is_no_manifest_and_the_run_can_go_on(prices, tmp_path, failing, monkeypatch):
    failing("ticker:AAA", "ticker:BBB")
    wanted = few(prices, "AAA", "BBB")
    with pytest.raises(S2squantError, match="every ticker failed; the first reason: ValueError: planted"):
        backtest(wanted, tmp_path / "run", workers=0)
    assert not (tmp_path / "run" / "manifest.json").exists()
    monkeypatch.undo()
    folder, study = backtest(wanted, tmp_path / "run", workers=0)
    assert study.status == "done"
    check_sound(folder, prices)


@pytest.mark.slow
def test_the_number_of_workers_changes_no_bit(prices, tmp_path):
    models = [*ALL[:-2], "seq2seq_adapted", "blend"]
    forecasters = TINY["forecasters"] | {"models": models}
    wanted = experiment(prices, "AAA", "BBB", "<b>", forecasters=forecasters)
    tables = [
        (backtest(wanted, tmp_path / f"run{n}", workers=n)[0] / "forecasts.parquet").read_bytes() for n in (0, 1, 2)
    ]
    assert tables[1] == tables[2]
    assert tables[0] == tables[1]
    assert "seq2seq_adapted" in set(check_sound(tmp_path / "run2", prices)["model"])


def alone_and_among(make, tmp_path):
    """The forecasts of AAA in a run of its own, and among others."""
    tables = []
    for name, tickers in (("alone", ["AAA"]), ("among", ["BBB", "AAA", "BTC-USD"])):
        table = forecasts_only(make(*tickers), tmp_path / name)
        mine = table[table["unique_id"] == "AAA"].drop(columns="unique_id")
        tables.append(mine.astype({"model": str}).set_index(["model", "cutoff", "step"]).sort_index())
    return tables


def test_a_tickers_own_models_do_not_depend_on_the_others(prices, tmp_path):
    """The baselines as they are; apart from the drift the networks too, where anchor and inputs read no market."""
    own = {"anchor": {"steps": 5, "scope": "per_ticker", "market": False}, "blend": {"members": ["seq2seq_per_ticker"]}}
    own |= {"models": [*BASELINES, "anchor", "seq2seq_per_ticker"]}
    own |= {"seq2seq": TINY["forecasters"]["seq2seq"] | {"market": False}}
    verdict = {"recommended": "seq2seq_per_ticker"}
    alone, among = alone_and_among(
        lambda *t: experiment(prices, *t, forecasters=TINY["forecasters"] | own, verdict=verdict), tmp_path
    )
    assert set(alone.index.get_level_values("model")) == {*BASELINES, "anchor", "seq2seq_per_ticker"}
    pd.testing.assert_frame_equal(alone.loc[BASELINES], among.loc[BASELINES], check_exact=True)
    around = [table.loc[["anchor", "seq2seq_per_ticker"], QUANTILES] for table in (alone, among)]
    around = [table.sub(table.mean(axis=1), axis=0) for table in around]
    grid = 2.0**-11 * (around[0]["q0.975"] - around[0]["q0.025"]).max()  # of what is stored
    pd.testing.assert_frame_equal(*around, check_exact=False, rtol=0, atol=2 * grid)


@pytest.mark.slow
def test_the_baselines_beside_pooled_models_do_not_depend_on_the_others_either(prices, tmp_path):
    alone, among = alone_and_among(lambda *t: experiment(prices, *t), tmp_path)
    pd.testing.assert_frame_equal(alone.loc[BASELINES], among.loc[BASELINES], check_exact=True)
    assert not alone.loc[["anchor"]].equals(among.loc[["anchor"]])  # it is pooled and reads the market


def test_the_seed_decides(prices, tmp_path):
    first, again, other = (
        forecasts_only(experiment(prices, "AAA", seed=seed, **of_models(*BASELINES)), tmp_path / str(n))
        for n, seed in enumerate((1, 1, 2))
    )
    pd.testing.assert_frame_equal(first, again, check_exact=True)
    assert not first[QUANTILES].equals(other[QUANTILES])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"walk": {"horizon": 250, "min_train": 300}}, "walk.min_train 300 leaves 0 training origins"),
        ({"walk": {"horizon": 20, "min_train": 300}}, "150 are needed"),
        ({"walk": {"window": "sliding", "train_bars": 100}}, "walk.train_bars 100 leaves 80 training origins"),
    ],
)
def test_a_plan_no_model_can_be_fitted_in_is_refused_before_prices_are_read(changes, says, tmp_path):
    wanted = make_experiment({"universe": {"source": "csv:absent"}} | changes)
    with pytest.raises(ConfigError, match=says):
        open_run(wanted, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_peg_beside_a_stock(tmp_path):
    """A price that never moves has no skill to measure, and harms nobody."""
    write_prices(tmp_path / "prices", "AAA", stock_days(), 1)
    flat = pd.DataFrame({"Date": stock_days(), "Close": 7.75})
    flat.to_csv(tmp_path / "prices" / "PEG.csv", index=False)
    folder, study = backtest(experiment(tmp_path / "prices"), tmp_path / "run", workers=0)
    assert outcome(study)["AAA"] == ("ok", "")
    table = check_sound(folder, tmp_path / "prices")
    assert "AAA" in set(table["unique_id"])
    alone = study.leaderboard.set_index("model")["skill"]
    assert np.isfinite(alone).all()


def test_the_results_are_those_of_the_folder_it_is_given(prices, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder, _ = backtest(few(prices, "AAA"), workers=0)
    assert folder.parent == Path("reports/backtest")
    assert {path.name for path in tmp_path.iterdir()} == {"reports"}
    runs = [path for path in (tmp_path / "reports" / "backtest").iterdir() if path.is_dir()]
    assert runs == [folder.absolute()]
