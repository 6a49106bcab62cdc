"""Pretraining: what is learnt of an age is learnt from histories of that age, and known again on the same prices."""

from dataclasses import replace

import numpy as np
import pytest

from s2squant.cli import main
from s2squant.config.networks import AnchorSpec
from s2squant.errors import SourceError
from s2squant.forecasters.pretrained import AGES, LEAST_BARS, MEMBERS
from s2squant.forecasters.pretraining import about, is_of, longest, moving, pieces, pretrain, whole_histories
from s2squant.prices.calendars.exchanges import exchange_sessions
from s2squant.series.panel import Panel
from s2squant.series.states import save_state
from tests.worlds.synthetic import garch_panel

QUICK = AnchorSpec(steps=5, dates=8)


@pytest.fixture(scope="module")
def whole():
    return garch_panel("ABC", 1100)


def test_a_piece_is_seen_as_a_listing_of_its_age(whole):
    members_NK, y_NH = pieces(whole, 60, 5)
    first = whole.histories[0]
    alone = Panel((first.between(first.dates[0], first.dates[64]),))
    cut_NK, _ = whole_histories(alone, 60, 5)
    assert (members_NK[0, : MEMBERS["alone"]] == cut_NK[0, : MEMBERS["alone"]]).all()
    returns = np.diff(first.log_price)
    mean = (first.log_price[-1] - first.log_price[0]) / (len(first) - 1)
    unit = np.sqrt(np.mean(returns[: LEAST_BARS - 1] ** 2))
    assert y_NH[0] == pytest.approx((np.cumsum(returns[59:64]) - mean * np.arange(1, 6)) / unit)
    assert y_NH.shape == (3 * len(range(0, 1100 - 64, 25)), 5)


def test_labels_of_whole_histories_are_all_known(whole):
    members_NK, y_NH = whole_histories(whole, 1000, 5)
    assert len(members_NK) == len(y_NH) == 3 * (1100 - 999 - 5)
    assert np.isfinite(y_NH).all()


def test_weights_of_the_same_prices_are_known_again(whole, tmp_path):
    weights = pretrain("stocks", whole.histories, horizon=5, spec=QUICK)
    assert weights.alone.weights_AHK.shape == (len(AGES), 5, MEMBERS["alone"])
    assert weights.about.tickers == ("A", "B", "C")
    path = tmp_path / "weights"
    assert not is_of(path, weights.about)
    save_state(path, weights.state())
    assert is_of(path, about("stocks", whole.histories, judged=False))
    assert not is_of(path, about("stocks", whole.histories[:2], judged=False))
    assert not is_of(path, about("stocks", whole.histories, judged=True))
    path.write_bytes(path.read_bytes()[:-10])
    assert not is_of(path, weights.about)


def test_nothing_to_learn_from_is_told(whole):
    short = [h.between(None, h.dates[200]) for h in whole.histories]
    with pytest.raises(SourceError, match="no stocks of 255 bars to learn from"):
        pretrain("stocks", short, horizon=5, spec=QUICK)


def test_a_placeholder_before_the_listing_is_left_out(whole):
    history = whole.histories[0]
    flat = replace(history, adj_close=np.where(np.arange(1100) < 70, history.adj_close[70], history.adj_close))
    assert moving(flat).dates[0] == history.dates[70]
    assert len(moving(history)) == 1100


def test_the_longest_history_of_a_ticker_counts(whole):
    short = [h.between(None, h.dates[200]) for h in whole.histories[:2]]
    assert [len(h) for h in longest([*short, *whole.histories])] == [1100, 1100, 1100]


@pytest.mark.slow
def test_the_command_goes_on_where_it_was(tmp_path, capsys):
    days = exchange_sessions("XNYS")[:1500]  # every weekday would be a currency's
    for name, history in zip("AB", garch_panel("AB", 1500).histories, strict=True):
        rows = [f"{day},{price:.6f}" for day, price in zip(days, history.adj_close, strict=True)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["Date,Close", *rows]))
    command = ["pretrain", f"csv:{tmp_path}", "--out", str(tmp_path / "out")]
    assert main(command) == 0
    first = capsys.readouterr().out
    assert "stocks.safetensors: 2 tickers" in first
    content = (tmp_path / "out" / "stocks.safetensors").read_bytes()
    (tmp_path / "out" / "stocks.safetensors").unlink()
    assert main(command) == 0
    assert "stocks-judged.safetensors: as it is" in capsys.readouterr().out
    assert (tmp_path / "out" / "stocks.safetensors").read_bytes() == content
