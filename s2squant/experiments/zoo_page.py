"""The page of the zoo: which structure pays off on markets, and by how much that can be told."""

from __future__ import annotations

import pandas as pd

from s2squant.config.experiment import Experiment
from s2squant.experiments.members import BASE
from s2squant.report.sections import ExperimentPage, Lines, Section

LABELS = {
    "model": "member",
    "group": "what differs",
    "crps": "CRPS, %",
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
PERCENT = "+.2%"
FORMATS = {
    **{name: PERCENT for name in LABELS if name.startswith("skill")},
    **{name: ".2%" for name in LABELS if name.startswith("se_")},
    "crps": ".4f",
    "coverage_80": ".1%",
    "p_anchor": ".3f",
    "p_base": ".3f",
    "seconds": ".0f",
    "forecast_seconds": ".0f",
    "parameters": ",.0f",
}


def zoo_page(
    table: pd.DataFrame, by_step: pd.DataFrame, experiment: Experiment, *, quick: bool
) -> tuple[ExperimentPage, str]:
    """The page, and its conclusion in one sentence; `table` as `zoo.ranking` makes it, `by_step` model by step."""
    said = conclusion(table)
    walk, pooled = experiment.walk, experiment.forecasters.seq2seq.pooled
    method = (
        f"Every member is one change away from the base ({BASE}, quantile head), trained as one pooled net a market "
        f"on the embedded sample: {pooled.steps} steps of {pooled.batch} chunks, {pooled.seeds} seed(s) averaged, the "
        f"same data, draws, refits (every {walk.refit_every} bars) and {walk.cutoffs} cutoffs a market every "
        f"{walk.every} bars, horizon {walk.horizon}. All stand on the same anchor. Effects are relative gains in CRPS "
        "averaged over dates, with standard errors by date that allow for overlapping horizons (Diebold-Mariano, "
        "equal-weighted cosines)."
    )
    if quick:
        method += " This is the quick version: too few steps, tickers and cutoffs to conclude anything from."
    ranked = [name for name in LABELS if name not in ("crps", "skill_base", "se_base", "p_base")]
    paired = ["model", "group", "skill_base", "se_base", "p_base"]
    nets = table[table["group"] != "reference"]
    sections = [
        Section(
            heading="Ranking",
            takeaway=said,
            paragraphs=(method,),
            table=table[ranked],
            labels=LABELS,
            formats=FORMATS,
            caption="All members and references, by skill against GARCH-t.",
        ),
        Section(
            heading="Each change against the base",
            takeaway=_told(nets),
            paragraphs=(
                "A paired difference has a much smaller standard error than the ranking's: both sides saw the same "
                f"dates. With {len(nets) - 1} comparisons one or two p-values below 0.05 are to be expected from "
                "nothing at all.",
            ),
            table=nets.loc[nets["model"] != BASE, paired],
            labels=LABELS,
            formats=FORMATS,
            caption="Relative gain in CRPS over the base, paired by date.",
        ),
        Section(
            heading="By step",
            takeaway="Where along the horizon the best of each group stands against historical simulation.",
            lines=(
                Lines(
                    title="CRPS skill by step",
                    x_label="step ahead, bars",
                    y_label="skill against historical simulation, %",
                    series=_best_of_groups(table, by_step),
                ),
            ),
        ),
        Section(
            heading="What it costs",
            takeaway=_cost(nets),
            lines=(
                Lines(
                    title="CPU seconds to fit and skill against GARCH-t",
                    x_label="CPU seconds to fit, all folds, markets and seeds",
                    y_label="skill against GARCH-t, %",
                    series={
                        str(group): (part["seconds"].to_numpy(float), 100 * part["skill_garch"].to_numpy(float))
                        for group, part in nets.groupby("group", sort=False)
                    },
                    markers=True,
                ),
            ),
        ),
    ]
    command = "s2squant reproduce zoo" + (" --quick" if quick else "")
    return ExperimentPage("Which seq2seq pays off?", said, tuple(sections), command), said


def conclusion(table: pd.DataFrame) -> str:
    """What the ranking says, in one sentence that a doubter would accept."""
    nets = table[table["group"] != "reference"]
    anchor = table.loc[table["model"] == "anchor"].iloc[0]
    ahead = nets[(nets["skill_anchor"] > 0) & (nets["p_anchor"] < 0.05)]
    behind = nets[(nets["skill_anchor"] < 0) & (nets["p_anchor"] < 0.05)]
    spread = nets["skill_anchor"]
    alone = f"{anchor['skill_garch']:+.2%} (s.e. {anchor['se_garch']:.2%})"
    return (
        f"The anchor alone has {alone} against GARCH-t; on top of it the {len(nets)} members add between "
        f"{spread.min():+.2%} and {spread.max():+.2%}: {len(ahead)} significantly more than nothing, {len(behind)} "
        "significantly less, at p < 0.05 each and uncorrected."
    )


def _told(nets: pd.DataFrame) -> str:
    others = nets[nets["model"] != BASE]
    better = others[(others["skill_base"] > 0) & (others["p_base"] < 0.05)]["model"].tolist()
    worse = others[(others["skill_base"] < 0) & (others["p_base"] < 0.05)]["model"].tolist()
    ties = len(others) - len(better) - len(worse)
    parts = [f"{ties} of {len(others)} tie with the base"]
    parts += [f"better: {', '.join(better)}"] if better else ["none is better"]
    parts += [f"worse: {', '.join(worse)}"] if worse else ["none is worse"]
    return "; ".join(parts) + "."


def _cost(nets: pd.DataFrame) -> str:
    rows = nets.sort_values("seconds").to_dict(orient="records")
    cheap, dear = rows[0], rows[-1]
    times, gain = dear["seconds"] / cheap["seconds"], dear["skill_garch"] - cheap["skill_garch"]
    return f"{dear['model']} takes {times:.0f} times the CPU time of {cheap['model']} to fit, for {gain:+.2%} of skill."


def _best_of_groups(table: pd.DataFrame, by_step: pd.DataFrame) -> dict[str, tuple[list[float], list[float]]]:
    best = table.drop_duplicates("group")["model"].tolist()
    names = list(dict.fromkeys([*best, "anchor", "garch_t"]))
    steps = [float(step) for step in by_step.columns]
    return {name: (steps, (100 * by_step.loc[name]).tolist()) for name in names if name in by_step.index}
