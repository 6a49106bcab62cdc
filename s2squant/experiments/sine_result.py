"""Sine experiment: records of its networks, their scores and the bounds, and the Result made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

import numpy as np
import pandas as pd

from s2squant.experiments.result import Goal, Result, counted
from s2squant.report.sections import Lines, Section
from s2squant.series.arrays import Floats

Place = Literal["unseen", "literature", "seen", "literature, clean inputs"]
"""Which windows: those that reach into the unseen part, the literature's one, those of training."""
FLOOR = 20.0
"""Of the printed loss: twenty steps, each with noise of variance one that nobody can forecast."""
PRINTED = (57.31, 20.19)
"""What the literature's run printed for its first and its last batch."""
SHOWN = (0, 10, 19)
"""Of the unseen windows, those drawn."""


@dataclass(frozen=True)
class Member:
    """A network of the family, and where it stands on the page."""

    name: str
    group: Literal["ladder", "member", "long"]
    cost: float
    """Seconds of one core, about."""
    about: str
    long: bool = False
    only_full: bool = False
    """Left out of a quick run."""


@dataclass(frozen=True)
class Scored:
    """Mean squared errors against the clean signal by kind of window, and the forecasts of the unseen ones (N, H)."""

    errors: Mapping[Place, float]
    said_NH: Floats


@dataclass(frozen=True)
class Outcome:
    """A trained network's losses as printed, and its score."""

    member: Member
    seed: int
    losses: tuple[float, ...]
    parameters: int
    scored: Scored


@dataclass(frozen=True)
class Bounds:
    """What no forecast can beat, two simple ones, and the test windows (N, W) with their futures (N, H)."""

    cramer_rao_average: float
    """Over all phases: noise variance / (points x mean squared slope) x mean squared slope."""
    cramer_rao: Mapping[str, float]
    posterior: Mapping[Place, float]
    last_value: Mapping[Place, float]
    zero: Mapping[Place, float]
    x: Floats
    clean: Floats
    past: Floats
    clean_future: Floats
    starts: Floats


def sine_result(outcomes: Sequence[Outcome], bounds: Bounds) -> Result:
    """The experiment's result: medians over the seeds, every seed, and the bounds."""
    groups: dict[Member, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(outcome.member, []).append(outcome)
    error = {m: median(o.scored.errors["unseen"] for o in group) for m, group in groups.items()}
    steps = {m: len(group[0].losses) for m, group in groups.items()}
    book = next(m for m in groups if m.name == "Textbook")
    short = min((m for m in groups if m.group != "long"), key=lambda m: error[m])
    long = min((m for m in groups if m.group == "long"), key=lambda m: error[m])
    chosen = {m: groups[m] for m in (book, short, long)}
    together = {m.name: _together(group, bounds) for m, group in groups.items()}
    seeds, unseen = len(groups[short]), np.unique(bounds.starts).astype(int)
    return Result(
        "The noisy sine",
        "Can a network forecast the clean signal y = 2 sin x from fifteen noisy points (variance one)? Training draws "
        "sixteen windows of 35 points at random from the first 85 of 105, with independent noise on all 35 each time; "
        "L2 of 0.003 on the output layer, the gradient clipped at 2.5, Adam 0.01. The error is the mean of (forecast - "
        f"2 sin x)^2 over twenty steps and the {len(unseen)} windows that start at points {unseen[0]} to {unseen[-1]}, "
        "whose targets reach past the 85 points, each with fresh noise, the same for every forecaster. The "
        "literature's own window is the last of them, from clean inputs.",
        "From fifteen noisy points the textbook's network forecasts the clean sine with a mean squared error of "
        f"{error[book]:.3f} (median of {seeds} seeds, {steps[book]} iterations). Others of the family reach "
        f"{error[short]:.3f} in as many and {error[long]:.3f} in {steps[long]:,}; the best possible forecast has "
        f"{bounds.posterior['unseen']:.3f}. As the literature prints it, fed the truth and noise included, the "
        f"textbook's loss goes from {median(o.losses[0] for o in groups[book]):.1f} to "
        f"{median(_printed(o) for o in groups[book]):.1f}, where the literature has {PRINTED[0]} and {PRINTED[1]} and "
        f"noise alone {FLOOR:.0f}.",
        {"seeds": seeds, "test windows": len(bounds.past)},
        (
            Goal("median at most 0.1 after the short fit", error[short], "at most", 0.10, f"best: {short.name}"),
            Goal("median at most 0.085 after the long fit", error[long], "at most", 0.085, f"best: {long.name}"),
        ),
        (
            _scores(groups, bounds, together, (_ladder(groups), _losses(chosen))),
            _examples(groups[book], groups[long], bounds),
        ),
        {
            "seeds": seeds,
            "iterations": {"short": steps[short], "long": steps[long]},
            "textbook_median": error[book],
            "best_short": short.name,
            "best_short_median": error[short],
            "best_long": long.name,
            "best_long_median": error[long],
            "seeds_averaged": together,
            "cramer_rao_one_phase": bounds.cramer_rao_average,
            "cramer_rao": dict(bounds.cramer_rao),
            "posterior_mean": dict(bounds.posterior),
            "last_value": bounds.last_value["unseen"],
            "zero": bounds.zero["unseen"],
            "printed_loss_floor": FLOOR,
            "printed_loss_literature": list(PRINTED),
            "printed_loss_textbook": [
                median(o.losses[0] for o in groups[book]),
                median(_printed(o) for o in groups[book]),
            ],
            "textbook_literature_window": median(o.scored.errors["literature"] for o in groups[book]),
            "textbook_literature_window_clean_inputs": median(
                o.scored.errors["literature, clean inputs"] for o in groups[book]
            ),
            "members": [
                {
                    "member": o.member.name,
                    "group": o.member.group,
                    "about": o.member.about,
                    "seed": o.seed,
                    "iterations": len(o.losses),
                    "parameters": o.parameters,
                    "printed_loss_last_ten": _printed(o),
                    "errors": dict(o.scored.errors),
                }
                for o in outcomes
            ],
        },
    )


def _scores(
    groups: Mapping[Member, Sequence[Outcome]],
    bounds: Bounds,
    together: Mapping[str, float],
    charts: tuple[Lines, ...],
) -> Section:
    rows: list[dict[str, Any]] = []
    for member, group in groups.items():
        errors = [o.scored.errors["unseen"] for o in group]
        rows.append(
            {
                "forecast": member.name,
                "about": member.about,
                "iterations": len(group[0].losses),
                "parameters": group[0].parameters,
                "error, median": median(errors),
                "best seed": min(errors),
                "worst seed": max(errors),
                "seeds averaged": together[member.name],
                "literature's window": median(o.scored.errors["literature"] for o in group),
                "clean inputs": median(o.scored.errors["literature, clean inputs"] for o in group),
                "first loss": median(o.losses[0] for o in group),
                "printed loss": median(_printed(o) for o in group),
            }
        )
    known: tuple[tuple[str, str, Mapping[Any, float]], ...] = (
        ("Posterior mean", "knows all but the phase; nothing is better on average", bounds.posterior),
        ("Cramer-Rao bound", "of an unbiased forecast that knows all but the phase", bounds.cramer_rao),
        ("Last value", "the last noisy point, twenty times", bounds.last_value),
        ("Zero", "", bounds.zero),
    )
    rows += [
        {"forecast": name, "about": what, "error, median": of["unseen"], "literature's window": of["literature"]}
        for name, what, of in known
    ]
    return Section(
        "Errors against the clean signal",
        table=pd.DataFrame(rows),
        formats={"about": "wide", "first loss": ".1f", "printed loss": ".1f"},
        caption="Mean squared error of the free-running forecast on the unseen windows, over the seeds. Printed loss: "
        f"mean of the last ten iterations; both of its sides are noisy, so that it ends near {FLOOR:.0f} at best. The "
        f"literature printed {PRINTED[0]} first and {PRINTED[1]} last, its decoder fed the truth.",
        lines=charts,
    )


def _ladder(groups: Mapping[Member, Sequence[Outcome]]) -> Lines:
    rungs = {m.name: [o.scored.errors["unseen"] for o in group] for m, group in groups.items() if m.group == "ladder"}
    low, middle, high = (np.array([pick(errors) for errors in rungs.values()]) for pick in (min, median, max))
    name, y_label = "median of the seeds", "Mean squared error against the clean signal"
    caption = "Each rung changes one thing and keeps what came before; the band goes from the best to the worst seed."
    series = {name: (np.array([*rungs]), middle)}
    return Lines("Error after each choice", "", y_label, series, bands={name: (low, high)}, caption=caption)


def _losses(groups: Mapping[Member, Sequence[Outcome]]) -> Lines:
    curves = {m.name: counted(np.median([o.losses for o in group], axis=0)) for m, group in groups.items()}
    most = max(len(x) for x, _ in curves.values())
    curves["noise floor"] = (np.array([1.0, most]), np.array([FLOOR, FLOOR]))
    title = "Squared error summed over twenty steps, as printed in training"
    caption = "Median over the seeds. Under teacher forcing the decoder reads the noisy truth, which no forecast has."
    return Lines(title, "Iteration", "Loss", curves, log_y=True, caption=caption)


def _examples(book: Sequence[Outcome], long: Sequence[Outcome], bounds: Bounds) -> Section:
    charts = []
    for n in SHOWN:
        whole = int(bounds.starts[n]) + np.arange(35)
        past, future = whole[: bounds.past.shape[1]], whole[bounds.past.shape[1] :]
        series = {
            "clean signal": (bounds.x[whole], bounds.clean[whole]),
            "noisy input": (bounds.x[past], bounds.past[n]),
            book[0].member.name: (bounds.x[future], book[0].scored.said_NH[n]),
            long[0].member.name: (bounds.x[future], long[0].scored.said_NH[n]),
        }
        charts.append(Lines(f"Points {whole[0]} to {whole[-1]}", "x", "y", series))
    return Section("Three forecasts", "The first seed of each network is drawn.", lines=tuple(charts))


def _together(group: Sequence[Outcome], bounds: Bounds) -> float:
    """The error of the seeds' mean forecast."""
    return float(np.mean((np.mean([o.scored.said_NH for o in group], axis=0) - bounds.clean_future) ** 2))


def _printed(outcome: Outcome) -> float:
    return float(np.mean(outcome.losses[-10:]))
