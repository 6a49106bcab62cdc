"""Zoo experiment: the Result made of its ranking, with a conclusion about which structure pays off."""

from __future__ import annotations

import math

import pandas as pd

from s2squant.config.experiment import Experiment
from s2squant.experiments.members import BASE
from s2squant.experiments.result import Result
from s2squant.forecasters.return_tokens import ReturnTokens
from s2squant.report.sections import Lines, Section

LABELS = {
    "model": "member",
    "group": "what differs",
    "coverage_80": "coverage of 80 %",
    "skill_historical": "skill against historical simulation",
    "se_historical": "its s.e.",
    "skill_garch": "skill against GARCH-t",
    "se_garch": "s.e.",
    "skill_anchor": "against its anchor",
    "se_anchor": "s.e., anchor",
    "p_anchor": "p, anchor",
    "skill_base": "against the base",
    "se_base": "s.e., base",
    "p_base": "p, base",
    "seconds": "CPU s to fit",
    "forecast_seconds": "CPU s to forecast",
    "parameters": "parameters",
}
FORMATS = {
    **{name: "+.2%" if name.startswith("skill") else ".2%" for name in LABELS if name.startswith(("skill_", "se_"))},
    **dict.fromkeys(("p_anchor", "p_base"), ".3f"),
    **dict.fromkeys(("seconds", "forecast_seconds", "parameters"), ",.0f"),
    "coverage_80": ".1%",
}
ALONE = ("words", "scenarios")
"""Groups of members that stand on no anchor."""
EQUAL = math.log(ReturnTokens().bins)
"""Nats of a word where all are equally likely."""
PAIRED = ["skill_base", "se_base", "p_base"]


def zoo_result(
    ranking: pd.DataFrame, by_step: pd.DataFrame, likelihood: pd.DataFrame, experiment: Experiment, *, quick: bool
) -> Result:
    """The experiment's result.

    `ranking` as `zoo.ranking` makes it, with groups, `by_step` as `zoo.skill_by_step`, `likelihood` as
    `zoo_likelihood.likelihood_table`.
    """
    walk, pooled = experiment.walk, experiment.forecasters.seq2seq.pooled
    nets = ranking[ranking["group"] != "reference"]
    question = (
        f"Which seq2seq pays off? Every network is one change away from the base ({BASE}, quantile head), trained as "
        f"one pooled net a market on the embedded sample: {pooled.steps} steps of {pooled.batch} chunks, "
        f"{pooled.seeds} seed(s) averaged, the same data, draws, refits (every {walk.refit_every} bars) and "
        f"{walk.cutoffs} cutoffs a market every {walk.every} bars, horizon {walk.horizon}. All networks stand on the "
        "same anchor. Returns as words and the scenarios of a variational autoencoder are models of their own without "
        "it, one net each that is trained on as many origins as the seeds of a network together. Effects are relative "
        "gains in CRPS averaged over dates, with standard errors by date that allow for overlapping horizons "
        "(Diebold-Mariano, equal-weighted cosines)."
    )
    if quick:
        question += " This is the quick version: too few steps, tickers and cutoffs to conclude anything from."
    said = conclusion(ranking)
    return Result(
        "Which seq2seq pays off?",
        question,
        said,
        {"members": len(nets), "base": BASE},
        (),
        (
            Section(
                "Ranking",
                table=ranking[[name for name in LABELS if name not in PAIRED]],
                labels=LABELS,
                formats=FORMATS,
                caption="All members and references, by skill against GARCH-t.",
                lines=(_by_step(ranking, by_step), _costs(nets)),
            ),
            Section(
                "Each change against the base",
                _against_base(nets),
                table=nets.loc[nets["model"] != BASE, ["model", "group", *PAIRED]],
                labels=LABELS,
                formats=FORMATS,
                caption="Relative gain in CRPS over the base, paired by date, which has a much smaller standard error. "
                f"Of {len(nets) - 1} comparisons one or two p-values below 0.05 are to be expected from nothing.",
            ),
            _likelihood(likelihood),
        ),
        {
            "conclusion": said,
            "members": len(nets),
            "base": BASE,
            "quick": quick,
            "fit_cpu_seconds": round(float(ranking["seconds"].sum()), 1),
            "table": ranking.round(6).to_dict(orient="records"),
            "likelihood": likelihood.round(6).to_dict(orient="records"),
        },
    )


def _likelihood(likelihood: pd.DataFrame) -> Section:
    words = likelihood[likelihood["model"].str.startswith("returns as words")]
    rows = words[["model", "nats", "gain", "se"]].to_numpy().tolist()
    said = "; ".join(
        f"{name}: {nats:.4f} nats a step, {-gain:+.4f} (s.e. {se:.4f}) beside the Student-t head"
        for name, nats, gain, se in rows
    )
    return Section(
        "Likelihood of the true steps",
        said + ".",
        table=likelihood,
        labels={
            "model": "member",
            "nats": "nats a step",
            "gain": "gain on the Student-t head",
            "se": "its s.e.",
            "p": "p",
        },
        formats={"nats": ".4f", "gain": "+.4f", "se": ".4f", "p": ".3f"},
        caption="Every member is asked for the probability of the bin (word) of each true return, given the true ones "
        "before it; the sum over the steps is the likelihood of the sequence. Bins are equally likely in training. "
        f"Fewer nats are better, and knowing nothing has {EQUAL:.4f}. The anchor is the untrained Student-t head.",
    )


def conclusion(ranking: pd.DataFrame) -> str:
    """What the ranking says, in one sentence that a doubter would accept."""
    nets = ranking[~ranking["group"].isin(["reference", *ALONE])]
    others = ranking[ranking["group"].isin(ALONE)].sort_values("skill_anchor", ascending=False)
    anchor = ranking.loc[ranking["model"] == "anchor"].iloc[0]
    significant = nets.loc[nets["p_anchor"] < 0.05, "skill_anchor"]
    alone = f"{anchor['skill_garch']:+.2%} (s.e. {anchor['se_garch']:.2%})"
    beside = others[["model", "skill_anchor", "se_anchor"]].to_numpy().tolist()
    return (
        f"The anchor alone has {alone} against GARCH-t; on top of it the {len(nets)} networks add between "
        f"{nets['skill_anchor'].min():+.2%} and {nets['skill_anchor'].max():+.2%}: {(significant > 0).sum()} "
        f"significantly more than nothing, {(significant < 0).sum()} significantly less, at p < 0.05 each and "
        "uncorrected."
    ) + "".join(f" {_capital(name)}: {skill:+.2%} (s.e. {se:.2%}) against the anchor." for name, skill, se in beside)


def _capital(name: str) -> str:
    return name[:1].upper() + name[1:]


def _against_base(nets: pd.DataFrame) -> str:
    others = nets[nets["model"] != BASE]
    clear = others[others["p_base"] < 0.05]
    better = clear.loc[clear["skill_base"] > 0, "model"].tolist()
    worse = clear.loc[clear["skill_base"] < 0, "model"].tolist()
    parts = [f"{len(others) - len(better) - len(worse)} of {len(others)} tie with the base"]
    parts += [f"better: {' | '.join(better)}"] if better else ["none is better"]
    parts += [f"worse: {' | '.join(worse)}"] if worse else ["none is worse"]
    return "; ".join(parts) + "."


def _by_step(ranking: pd.DataFrame, by_step: pd.DataFrame) -> Lines:
    """The best of each group, the anchor and GARCH-t."""
    names = dict.fromkeys([*ranking.drop_duplicates("group")["model"], "anchor", "garch_t"])
    steps = [float(step) for step in by_step.columns]
    series = {name: (steps, (100 * by_step.loc[name]).tolist()) for name in names if name in by_step.index}
    title = "CRPS skill by step: the best of each group"
    return Lines(title, "step ahead, bars", "skill against historical simulation, %", series)


def _costs(nets: pd.DataFrame) -> Lines:
    series = {
        str(group): (part["seconds"].to_numpy(float), 100 * part["skill_garch"].to_numpy(float))
        for group, part in nets.groupby("group", sort=False)
    }
    title = "CPU seconds to fit and skill against GARCH-t"
    return Lines(title, "CPU seconds, all folds, markets and seeds", "skill against GARCH-t, %", series, markers=True)
