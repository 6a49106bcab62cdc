"""Panels of models against each other: tests of all pairs, and energy scores of paths."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from s2squant.config.models import phrase, subject
from s2squant.errors import shorten
from s2squant.report.charts import Chart, Trace
from s2squant.report.formats import count, interval, known, pvalue, skill
from s2squant.report.heatmaps import heatmap
from s2squant.report.panels import Panel
from s2squant.report.study_view import Contents, rows, significant, tested
from s2squant.report.styles import label
from s2squant.report.tables import BOUNDS, COUNTS, DETECTABLE, MODEL, REASON, Column, P, grid, without_blanks

PAIRS = (
    Column("model", "Ahead", "model"),
    Column("against", "Of", "model"),
    Column("effect", "By", "skill", "Share of the reference's mean CRPS"),
    Column("finding", "Finding", "text", "After adjustment"),
    Column("p_adjusted", "p adj.", "p", "Of the largest difference of all pairs"),
    Column("p", "p alone", "p", "As if only this pair had been looked at"),
    Column("statistic", "t", ".2f"),
    *COUNTS,
    Column("smallest_detectable", "Detectable", "percent", "After adjustment"),
    REASON,
)
PATHS = (
    MODEL,
    Column("drawn", "Paths", "text", "Sample paths scored at each cutoff"),
    Column("energy", "Energy score", ".4f", "In standard deviations of a step; lower is better"),
    Column("skill", "Skill of paths", "skill", "Against the reference, by date"),
    *BOUNDS,
    P,
    Column("crps_skill", "Skill step by step", "skill", "CRPS on the same cutoffs"),
    *COUNTS,
    DETECTABLE,
    Column("reason", "Remark", "wide"),
)


def pairs(c: Contents) -> Panel | None:
    """Every model against every other, adjusted for the number of pairs."""
    if c.study.pairs.empty:
        return None
    by_step = _by_step(c.study.pairs)
    table = by_step.pop("all")
    compared, differ = tested(table), significant(table)
    if compared.empty:
        say = f"No pair could be tested: {table['reason'].iloc[0]}."
    else:
        alone = int((compared["p"] < c.study.experiment.verdict.alpha).sum())
        verb = "differs" if len(differ) < 2 else "differ"
        say = (
            f"{len(differ) or 'None'} of {count(len(compared), 'pair')} of models {verb} once all are allowed for; "
            f"{alone} would, looked at alone."
        )
    caption = (
        "Blue: row model more accurate than column model, as a share of the reference's CRPS. A star: the difference "
        "stands once all pairs are allowed for."
    )
    ordered = table.sort_values(["p_adjusted", "p", "effect"], ascending=[True, True, False], kind="stable")
    shown = grid("pair-table", "Every pair once, surest difference first", without_blanks(ordered), PAIRS, most=300)
    return Panel(
        "pairs",
        "Pairs",
        "Is the lead over each model real?",
        say,
        charts=((_matrix(c, table, "pairs", ""), caption),),
        folded_charts=tuple(_step_chart(c, step, part, caption) for step, part in by_step.items()),
        folded=(("Every pair as a table", shown),),
    )


def _by_step(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The table of each step, that of all steps first; a run from before the choice has that one only."""
    if "step" not in table.columns:
        return {"all": table}
    named = table["step"].astype(str)
    steps = sorted((step for step in named.unique() if step != "all"), key=int)
    return {step: table[named == step].drop(columns="step") for step in ("all", *steps)}


def _step_chart(c: Contents, step: str, table: pd.DataFrame, caption: str) -> tuple[str, Chart, str]:
    many = len(tested(table))
    say = f"{len(significant(table))} of {count(many, 'pair')} differ" if many else str(table["reason"].iloc[0])
    chart = _matrix(c, table, f"pairs-{step}", f" at step {step}")
    return f"At step {step}: {say}", chart, f"{caption} Adjusted for the pairs at this step."


def _matrix(c: Contents, table: pd.DataFrame, name: str, when: str) -> Chart:
    compared = rows(table)
    named = {str(r[side]) for r in compared for side in ("model", "against")}
    models = [m for m in c.models if m in named] + sorted(named - set(c.models))
    place = {m: k for k, m in enumerate(models)}
    values = np.full((len(models), len(models)), np.nan)
    texts = [["" for _ in models] for _ in models]
    starred: list[tuple[int, int]] = []
    for r in compared:
        i, j = place[str(r["model"])], place[str(r["against"])]
        for row, column, sign in ((i, j, 1), (j, i, -1)):
            values[row, column] = sign * r["effect"]
            texts[row][column] = (
                f"{label(models[row])} over {phrase(models[column])}: {skill(sign * r['effect'])}, "
                f"p adj. {pvalue(r['p_adjusted'])}"
            )
            if r["finding"] == "differ":
                starred.append((row, column))
    places = [str(k + 1) for k in range(len(models))]
    names = [f"{shorten(label(m), 22)} {k}" for m, k in zip(models, places, strict=True)]
    chart = heatmap(
        name,
        f"Lead of each model (row) over each other (column){when}",
        values,
        places,
        names,
        form=".1%",
        hover="%{text}",
        texts=texts,
        written=False,
    )
    if chart.reason:
        return chart
    below = {"orientation": "h", "y": -0.08, "yanchor": "top", "len": 0.8}
    heat: Trace = chart.traces[0] | {"colorbar": chart.traces[0]["colorbar"] | below}
    stars: Trace = {"type": "scatter", "mode": "markers", "name": "Differ", "showlegend": False, "hoverinfo": "skip"}
    stars |= {"x": [heat["x"][j] for _, j in starred], "y": [heat["y"][i] for i, _ in starred]}
    stars |= {"marker": {"symbol": "star", "size": 7, "color": "@ink"}}
    layout = dict(chart.layout or {})
    every = {"tickmode": "linear", "dtick": 1}  # left to itself, plotly names every other model
    layout["xaxis"] = layout["xaxis"] | every | {"side": "top"}
    layout["yaxis"] = layout["yaxis"] | every
    return replace(chart, traces=(heat, stars) if starred else (heat,), layout=layout, height=130 + 26 * len(models))


def paths(c: Contents) -> Panel | None:
    """Energy scores of whole paths, beside the CRPS step by step."""
    table = c.study.energy
    if table.empty:
        return None
    order = {m: k for k, m in enumerate(c.models)}
    table = table.assign(
        drawn=[f"{int(n):,}" if n else str(why) for n, why in zip(table["paths"], table["reason"], strict=True)],
        place=[order.get(str(m), len(order)) for m in table["model"]],
    ).sort_values("place", kind="stable")
    drawn = table[table["paths"] > 0]
    rivals = drawn[(drawn["model"].astype(str) != c.reference) & drawn["skill"].map(known)]
    say = f"{len(drawn)} of {count(len(table), 'model')} draw whole paths; the others give quantiles only."
    if len(rivals):
        best = rivals.iloc[int(np.argmax(rivals["skill"].to_numpy(float)))]
        say += (
            f" {subject(str(best['model']))} draws them best: {skill(best['skill'])} "
            f"{interval(best['low'], best['high'])} against {phrase(c.reference)}, "
            f"{skill(best['crps_skill'])} step by step."
        )
    note = (
        "Energy score (Gneiting and Raftery 2007) of all steps of a path together: it sees how steps hang together, "
        "which the CRPS of each step does not. Step h is divided by the root of h times the ticker’s root mean square "
        "one-bar return up to the fit date, so that late steps do not decide. Low and High: the 95 % interval."
    )
    scored = table["paths"] > 0
    table = table.assign(
        reason=table["reason"].where(scored, ""), n=table["n"].where(scored), n_eff=table["n_eff"].where(scored)
    )
    title = "Whole paths, on cutoffs that all models with paths share"
    shown = grid("path-table", title, without_blanks(table), PATHS)
    return Panel("paths", "Paths", "Are whole paths drawn well?", say, grids=(shown,), notes=(note,))
