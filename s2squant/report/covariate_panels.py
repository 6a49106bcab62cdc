"""What the models read beside prices, and how much they lean on it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from s2squant.config.covariates import CovariateSpec
from s2squant.config.experiment import Experiment
from s2squant.config.models import RECALIBRATED, label, subject
from s2squant.config.readers import reads_of
from s2squant.evaluation.importance import IDLE
from s2squant.evaluation.results import Study
from s2squant.report.charts import Chart, axis, drawn, line, numbers
from s2squant.report.formats import count, interval, known, skill
from s2squant.report.panels import Panel
from s2squant.report.study_view import Contents, Row, rows, significant, tested
from s2squant.report.styles import nth
from s2squant.report.tables import BOUNDS, DETECTABLE, MODEL, N_EFF, REASON, Column, N, P, grid, without_blanks
from s2squant.series.covariates import Covariate

RISES = (
    MODEL,
    Column("covariate", "Covariate", "text"),
    Column("rise", "Rise of the loss", "skill", "CRPS with the covariate of another time, less CRPS as it was"),
    *BOUNDS,
    Column("finding", "Finding", "text"),
    P,
    Column("p_adjusted", "p adj.", "p", "Benjamini-Hochberg over models and covariates"),
    N,
    N_EFF,
    DETECTABLE,
    REASON,
)
DECLARED = (
    Column("name", "Covariate", "text"),
    Column("kind", "Known", "text"),
    Column("origin", "From", "text"),
    Column("transform", "As", "text"),
    Column("lag", "Lag, sessions", "d"),
    Column("readers", "Read by", "wide"),
)
SMALL = 0.001
"""Rises below it are drawn on an axis that reaches so far: they are next to nothing."""
KNOWN = {"past": "up to the cutoff", "future": "of every step ahead", "static": "once and for all"}


def covariates_read(experiment: Experiment, features: Sequence[str] = ()) -> dict[str, tuple[str, ...]]:
    """Names of the covariates, and columns of own features, that each model of an experiment reads.

    An average reads what its members do.
    """
    settings, specs = experiment.forecasters, experiment.covariates
    kinds = {
        kind: [Covariate(s.name, s.is_variance, measure=s.realised or "") for s in specs if s.kind == kind]
        for kind in ("past", "future", "static")
    }
    kinds["past"] += [Covariate(name) for name in features]
    every = [*(s.name for s in specs), *features]
    members = {"blend": ("anchor", *settings.blending.members), "field": settings.field_members}
    read: dict[str, tuple[str, ...]] = {}
    for model in settings.models:
        parts = members.get(model, (model,))
        named = {name for part in parts for name in reads_of(part, kinds)}
        read[model] = read[model + RECALIBRATED] = tuple(name for name in every if name in named)
    return read


def read_in(study: Study) -> dict[str, tuple[str, ...]]:
    """Names of the covariates that each model of a run has read; of a user's own, those its forecasts depend on."""
    read, table = covariates_read(study.experiment, _features(study)), study.importance
    found = table[table["step"].astype(str) == "all"] if len(table) else table
    for model in study.experiment.forecasters.own_models:
        mine = found[found["model"].astype(str) == model]["covariate"].astype(str) if len(found) else ()
        read[model] = read[model + RECALIBRATED] = tuple(mine)
    return read


def covariates(c: Contents) -> Panel | None:
    """The covariates and own features, who reads them, and by how much losses rise with those of another time."""
    specs, table = c.study.experiment.covariates, c.study.importance
    if not specs and not c.study.experiment.forecasters.features:
        return None
    whole = table[table["step"].astype(str) == "all"] if len(table) else table
    title = "Losses with a covariate of another time"
    shown = grid("importance-table", title, without_blanks(whole), RISES) if len(whole) else None
    charts = [(_by_step(model, part), "") for model, part in _models(c, table)]
    note = (
        "The fitted models forecast once more with one covariate rolled to another time, a static one taken from "
        "another ticker: the rise of their loss is what they lean on it. Whether a model without it would have lost "
        "more takes another fit: s2squant ablate with this experiment."
    )
    return Panel(
        "covariates",
        "Covariates",
        "What did the covariates add?",
        _say(whole),
        small=tuple(charts),
        small_note="Rise of the loss by sessions ahead, a line a covariate; below zero it misled." if charts else "",
        grids=(grid("covariate-table", "What was read", _declared(c, specs), DECLARED),),
        folded=(("Every test", shown),) if len(whole) else (),
        notes=(note,),
    )


def _say(whole: pd.DataFrame) -> str:
    """The takeaway: what stands out, and plainly what does not."""
    if not len(whole):
        return "No model that runs reads them."
    trials, clear = rows(tested(whole)), significant(whole)
    idle = [str(name) for name, own in whole.groupby("covariate", sort=False) if (own["reason"] == IDLE).all()]
    left_alone = (
        f"No forecast depends on {listed(idle)}, which no model was the better for in training." if idle else ""
    )
    if not trials:
        return left_alone or f"Not tested: {whole['reason'].iloc[0]}."
    helped = [r for r in rows(clear) if float(r["rise"]) > 0]
    misled = [r for r in rows(clear) if float(r["rise"]) < 0]
    names = list(dict.fromkeys(str(r["covariate"]) for r in trials))
    silent = [name for name in names if all(str(r["covariate"]) != name for r in rows(clear))]
    parts = []
    if helped:
        many = "" if len(helped) < 4 else f", and {count(len(helped) - 3, 'pair')} more"
        parts.append("; ".join(f"{subject(str(r['model']))} leans on {_named(r)}" for r in helped[:3]) + many + ".")
    if misled:
        parts.append("; ".join(f"{subject(str(r['model']))} was misled by {_named(r)}" for r in misled[:3]) + ".")
    if silent:
        parts.append(f"No evidence that {listed(silent)} {'helps' if len(silent) == 1 else 'help'} any model.")
    return " ".join(filter(None, [*parts, left_alone]))


def listed(names: Sequence[str], last: str = "or") -> str:
    """`VIX`, `VIX or sector`, `VIX, sector or weekday`."""
    return " ".join([", ".join(names[:-1]), last, names[-1]]) if len(names) > 1 else names[0]


def _named(row: Row) -> str:
    return f"{row['covariate']} ({skill(row['rise'])} {interval(row['low'], row['high'])})"


def _models(c: Contents, table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The rows by step of each model that depends on any covariate, in the order of the page."""
    steps = table[table["step"].astype(str) != "all"] if len(table) else table
    parts = {str(m): part for m, part in steps.groupby("model", observed=True)} if len(steps) else {}
    return [(m, parts[m]) for m in c.models if m in parts and parts[m]["rise"].abs().max() > 0]


def _by_step(model: str, part: pd.DataFrame) -> Chart:
    traces = []
    for place, (name, own) in enumerate(part.groupby("covariate", sort=False, observed=True)):
        own = own.assign(step=own["step"].astype(int)).sort_values("step")
        pairs = [(int(s), v) for s, v in zip(own["step"], own["rise"], strict=True) if known(v)]
        ys = numbers((v for _, v in pairs), 4)
        traces.append(
            line(str(name), [s for s, _ in pairs], ys, look=nth(str(name), place)) | {"hovertemplate": "%{y:+.2%}"}
        )
    rises = axis("Rise of CRPS", ".2%")
    if part["rise"].abs().max() < SMALL:
        rises["range"] = [-SMALL, SMALL]
    layout = {"xaxis": axis("Sessions ahead"), "yaxis": rises}
    title = f"{label(model)}: rise of the loss by step"
    return drawn(f"importance-{model}", title, traces, layout, missing="no origin has a whole path.", height=240)


def _declared(c: Contents, specs: Sequence[CovariateSpec]) -> pd.DataFrame:
    read = read_in(c.study)
    declared = [
        {
            "name": s.name,
            "kind": KNOWN[s.kind],
            "origin": _origin(s),
            "transform": s.transform,
            "lag": s.waits if s.kind == "past" else None,
            "readers": _listed_readers(m for m in c.models if s.name in read.get(m, ())),
        }
        for s in specs
    ]
    declared += [
        {
            "name": name,
            "kind": KNOWN["past"],
            "origin": "own feature",
            "transform": "level",
            "lag": 0,
            "readers": _listed_readers(m for m in c.models if name in read.get(m, ())),
        }
        for name in _features(c.study)
    ]
    return pd.DataFrame(declared)


def _features(study: Study) -> tuple[str, ...]:
    """The columns of own features that the models were tried on; the features where none was."""
    features, table = study.experiment.forecasters.features, study.importance
    named = table["covariate"].astype(str).unique() if len(table) else ()
    columns = tuple(name for name in named if any(name.startswith(f"{feature} ") for feature in features))
    return columns or tuple(features)


def _listed_readers(models: Iterable[str]) -> str:
    return ", ".join(label(model) for model in models) or "no model that runs"


def _origin(spec: CovariateSpec) -> str:
    match spec.origin:
        case "ticker":
            return f"ticker {spec.ticker}"
        case "file":
            return f"file {spec.file.partition(':')[2]}"
        case "calendar":
            return f"calendar: {spec.calendar}".replace("_", " ")
        case "column":
            return f"column {spec.column}"
        case "realised":
            return f"realised {spec.realised} of {spec.interval} bars"
        case "dates":
            return f"{spec.dates} dates of Yahoo".replace("_", "-")
        case "values":
            return "the experiment"
