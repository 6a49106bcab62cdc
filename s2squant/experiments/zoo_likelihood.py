"""Likelihood of the true steps as words: return tokens and the Student-t head asked for the same bins.

A density and a softmax over bins are compared by the probability that each gives to the bin of every true return, given
the past and the true steps before: the product over the steps is the likelihood of the sequence.

Shape legend: N origins, H steps, B bins.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import logsumexp, stdtr

from s2squant.evaluation.statistics import diebold_mariano as dm
from s2squant.forecasters.network import FittedSeq2Seq
from s2squant.forecasters.return_tokens import FittedReturnTokens, ReturnTokens, Vocabulary, returns_after
from s2squant.series.arrays import Floats, Ints
from s2squant.series.forecast import Fitted
from s2squant.series.panel import Panel

UNTRAINED = "anchor"
STUDENT = "Student-t steps, teacher forcing"
LEAST = 1e-12
"""Probability below which none is taken."""


def words_of(panel: Panel, rows: Ints, horizon: int) -> Vocabulary:
    """The vocabulary that `ReturnTokens` learns from these training origins."""
    return Vocabulary.learnt(returns_after(panel, rows, horizon)[2].ravel(), ReturnTokens().bins)


def nats_by_date(panel: Panel, rows: Ints, likelihood_N: Floats, horizon: int) -> dict[str, float]:
    """Nats a step of each cutoff, averaged over its tickers."""
    nats = pd.Series(-likelihood_N / horizon).groupby(panel.dates[rows]).mean()
    return {str(date)[:10]: float(value) for date, value in nats.items()}


def known_rows(panel: Panel, rows: Ints, horizon: int) -> Ints:
    """Those of `rows` whose steps are all known."""
    return rows[panel.bars_left(rows) >= horizon]


def student_likelihood(
    fitted: FittedSeq2Seq, panel: Panel, rows: Ints, words: Vocabulary, *, untrained: bool = False
) -> Floats:
    """Log likelihood (N,) of the true words under a Student-t head, all seeds mixed as their paths are.

    `untrained` asks for the head as it was before training: the anchor's deviation, and one law for all steps.
    """
    unit_N, after_NH = returns_after(panel, rows, fitted.anchor.horizon)[1:]
    bin_NH = np.searchsorted(words.edges, after_NH)
    edges_NB = unit_N[:, None] * np.concatenate([[-np.inf], words.edges, [np.inf]])
    drift_N = fitted.anchor.drift(panel, rows)[:, 0]
    total_N = np.empty(len(rows))
    for mine, nets, step_NH in fitted.fed_the_truth(panel, rows):
        ends_NH2 = np.stack(
            [np.take_along_axis(edges_NB[mine], bin_NH[mine] + side, axis=1) for side in (0, 1)], axis=2
        )
        ends_NH2 = (ends_NH2 - drift_N[mine, None, None]) / step_NH.numpy()[:, :, None]
        parts = [np.asarray(net, np.float64).transpose(1, 0, 2) for net in nets]
        if untrained:
            degrees = 2.1 + np.log1p(np.exp(3.0))
            parts = [np.broadcast_to([0.0, np.sqrt((degrees - 2) / degrees), degrees], parts[0].shape)]
        logs_SN = np.stack([_log_share(part_NH3, ends_NH2).sum(axis=1) for part_NH3 in parts])
        total_N[mine] = logsumexp(logs_SN, axis=0) - np.log(len(parts))
    return total_N


def _log_share(part_NH3: Floats, ends_NH2: Floats) -> Floats:
    """Log probability (N, H) between two ends under a Student-t of some location, scale and degrees of freedom."""
    location, scale, degrees = (part_NH3[..., k, None] for k in range(3))
    below_NH2 = stdtr(degrees, (ends_NH2 - location) / scale)
    share: Floats = np.log(np.maximum(np.diff(below_NH2, axis=2)[..., 0], LEAST))
    return share


def likelihood_table(nats: dict[str, dict[str, float]], overlap: int) -> pd.DataFrame:
    """A row a model, likeliest first: nats a step, and what it gains on the Student-t head, with the error by date."""
    rows = []
    table = pd.DataFrame(nats).sort_index()
    for name in table:
        gain = dm.examine((table[STUDENT] - table[name]).to_numpy(), overlap)
        rows.append({"model": name, "nats": table[name].mean(), "gain": gain.mean, "se": gain.se, "p": gain.p})
    made = pd.DataFrame(rows).sort_values("nats", ignore_index=True)
    made.loc[made["model"] == STUDENT, ["gain", "se", "p"]] = np.nan
    return made


def true_likelihood(fitted: Fitted, panel: Panel, rows: Ints, words: Vocabulary) -> Floats | None:
    """Log likelihood (N,) of the true words after each row; None for a model that gives steps no such probability."""
    match fitted:
        case FittedReturnTokens():
            return fitted.log_likelihood(panel, rows)
        case FittedSeq2Seq() if fitted.spec.head.kind == "student_t":
            return student_likelihood(fitted, panel, rows, words)
    return None
