"""Returns as tokens: the contract, a planted pattern that only a sequence of words tells, and what it is made of."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from s2squant.forecasters.own_model import own_model
from s2squant.forecasters.return_tokens import FIRST, FittedReturnTokens, ReturnTokens, Vocabulary, histories
from s2squant.forecasters.scenarios import known_units
from s2squant.nets import token_batches
from s2squant.series.forecast import quantile_crps
from s2squant.series.panel import Panel
from s2squant.series.states import load_state, save_state
from tests.worlds.synthetic import garch_panel, history

SMALL = {"bins": 6, "history": 12, "shortest": 4, "hidden": 8, "steps": 4, "batch": 8, "paths": 64}
H = 3


def origins(panel: Panel, first: int = 60) -> np.ndarray:
    rows = np.arange(len(panel.dates))
    return rows[(panel.bar_number(rows) >= first) & (panel.bars_left(rows) >= H)]


def test_bins_are_equally_likely_and_their_values_have_mean_zero():
    returns = np.random.default_rng(0).standard_t(4, 5000) + 0.3
    words = Vocabulary.learnt(returns, 8)
    counts = np.bincount(words.tokens(returns) - FIRST, minlength=8)
    assert counts.tolist() == [625] * 8
    assert words.values_BV.shape == (8, 16)
    assert words.values_BV.mean() == pytest.approx(0, abs=1e-12)
    assert (np.diff(words.values_BV.ravel()) >= 0).all()


@pytest.mark.parametrize("cell", ["lstm", "transformer"])
def test_a_forecast_is_the_same_alone_after_a_restore_and_with_other_bars_after_it(cell, tmp_path):
    panel = garch_panel("A", 400)
    fitted = ReturnTokens(**SMALL, cell=cell).fit(panel, origins(panel), horizon=H, seed=1)
    rows = np.array([200, 300, 399])
    forecast = fitted.predict(panel, rows)
    assert forecast.paths_NSH is not None
    for n, row in enumerate(rows):
        alone = fitted.predict(panel.until(panel.dates[row]), rows[n : n + 1])
        assert np.array_equal(alone.quantiles_NHQ[0], forecast.quantiles_NHQ[n])
    save_state(tmp_path / "state", fitted.state())
    back = ReturnTokens().restore(load_state(tmp_path / "state"))
    assert np.array_equal(back.predict(panel, rows).quantiles_NHQ, forecast.quantiles_NHQ)


def test_histories_are_as_long_as_a_segment_allows():
    panel = garch_panel("A", 100)
    words = Vocabulary.learnt(np.diff(panel.log_price), 4)
    assert [len(h) for h in histories(panel, np.array([5, 50]), np.ones(2), words, 12)] == [5, 12]


def test_lengths_of_training_differ_and_come_in_buckets(monkeypatch):
    """Each epoch cuts the histories anew, and batches hold neighbours in length."""
    seen: list[torch.Tensor] = []

    def watched(lengths, size, draw):
        seen.append(lengths.clone())
        return token_batches.by_length(lengths, size, draw)

    monkeypatch.setattr("s2squant.forecasters.return_tokens.by_length", watched)
    panel = garch_panel("A", 100)
    rows = origins(panel)
    ReturnTokens(**SMALL | {"steps": 11, "batch": 16}).fit(panel, rows, horizon=H, seed=1)
    assert len(seen) > 2
    assert all(set(lengths.tolist()) <= set(range(4, 13)) and len(set(lengths.tolist())) > 4 for lengths in seen)
    assert not torch.equal(seen[0], seen[1])


def test_a_planted_order_of_returns_is_learnt():
    """Large and small days by turns: the next day's size is known from the word before, its sign is not."""
    rng = np.random.default_rng(3)
    size = np.where(np.arange(900) % 2 == 0, 0.03, 0.003)
    panel = Panel((history(size * rng.choice([-1.0, 1.0], 900)),))
    spec = ReturnTokens(bins=6, history=12, shortest=4, hidden=12, steps=90, batch=48, lr=1e-2, paths=128)
    fitted = spec.fit(panel.until(panel.dates[700]), origins(panel.until(panel.dates[700])), horizon=H, seed=1)
    rows = np.arange(720, 890)
    forecast, y_NH = fitted.predict(panel, rows), panel.targets(rows, H)
    large = np.abs(y_NH[:, 0]) > 0.01
    width = forecast.quantiles_NHQ[:, 0, 35] - forecast.quantiles_NHQ[:, 0, 3]
    assert width[large].min() > 4 * width[~large].max()
    still = np.quantile(np.diff(panel.log_price[:700]), np.arange(1, 40) / 40)
    known, unknown = (
        quantile_crps(y_NH[:, 0], q).mean() for q in (forecast.quantiles_NHQ[:, 0], np.tile(still, (len(rows), 1)))
    )
    assert known < 0.85 * unknown


def test_it_runs_as_a_model_by_its_path():
    panel = garch_panel("A", 300)
    named = own_model("s2squant.forecasters.return_tokens:ReturnTokens", SMALL)
    forecast = named.fit(panel, origins(panel), horizon=H, seed=1).predict(panel, np.array([299]))
    assert forecast.forecaster == "s2squant.forecasters.return_tokens:ReturnTokens"


def likelihood(fitted: FittedReturnTokens, source: list[int], words: Sequence[int]) -> float:
    """Each step asked by itself, EOS left out."""
    state = fitted.net.start(fitted.net.encode(torch.tensor([source]), torch.tensor([len(source)])))
    before, total = 1, 0.0
    for word in words:
        logs, _, state = fitted.net.step(torch.tensor([before]), state)
        total += float((logs[0, word] - torch.logsumexp(logs[0, FIRST:], dim=0)).detach())
        before = int(word)
    return total


def sources_of(fitted: FittedReturnTokens, panel: Panel, rows: np.ndarray) -> list[list[int]]:
    return histories(panel, rows, known_units(panel)[rows], fitted.vocabulary, fitted.spec.history)


def test_the_likelihood_of_words_is_the_product_of_the_steps():
    panel = garch_panel("A", 300)
    fitted = ReturnTokens(**SMALL).fit(panel, origins(panel), horizon=H, seed=1)
    rows = np.array([100, 250])
    told = fitted.log_likelihood(panel, rows)
    for n, source in enumerate(sources_of(fitted, panel, rows)):
        after = np.diff(panel.log_price[rows[n] : rows[n] + H + 1]) / known_units(panel)[rows[n]]
        assert told[n] == pytest.approx(likelihood(fitted, source, fitted.vocabulary.tokens(after)), abs=1e-5)
    with pytest.raises(ValueError, match="not known"):
        fitted.log_likelihood(panel, np.array([299]))


def test_a_wide_beam_finds_what_enumeration_finds_and_greedy_no_more():
    """H words each way, none of them EOS."""
    panel, bins = garch_panel("A", 300), 4
    spec = ReturnTokens(**SMALL | {"bins": bins, "steps": 40, "lr": 3e-2})
    fitted = spec.fit(panel, origins(panel), horizon=H, seed=1)
    rows = np.array([120, 299])
    greedy, best = (fitted.likeliest(panel, rows, width=width) for width in (1, bins**H))
    for source, said, found in zip(sources_of(fitted, panel, rows), greedy, best, strict=True):
        every = itertools.product(range(FIRST, FIRST + bins), repeat=H)
        assert tuple(found) == max(every, key=lambda words: likelihood(fitted, source, words))
        assert likelihood(fitted, source, found) >= likelihood(fitted, source, said)
        assert said[0] == max(range(FIRST, FIRST + bins), key=lambda word: likelihood(fitted, source, [word]))
