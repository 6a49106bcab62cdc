"""The figures of the sine experiment and the page that shows them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from s2squant.experiments.sine_records import FLOOR, GOALS, Bounds, Member, Outcome, Place
from s2squant.report.sections import ExperimentPage, Lines, Section
from s2squant.series.arrays import Floats

SHOWN = (0, 10, 19)
"""Of the unseen windows, those drawn."""
SCORE = "Mean squared error against the clean signal"


def figures(outcomes: Sequence[Outcome], bounds: Bounds) -> dict[str, Any]:
    """What `result.json` holds: medians over the seeds, the goals, every seed, and the bounds."""
    short, long = _best(outcomes, "ladder", "member"), _best(outcomes, "long")
    return {
        "seeds": len(_group(outcomes, short)),
        "iterations": {"short": _steps(outcomes, short), "long": _steps(outcomes, long)},
        "textbook_median": _median(outcomes, _named(outcomes, "Textbook")),
        "best_short": short.name,
        "best_short_median": _median(outcomes, short),
        "best_long": long.name,
        "best_long_median": _median(outcomes, long),
        "seeds_averaged": {m.name: _together(_group(outcomes, m), bounds) for m in _members(outcomes)},
        "cramer_rao_one_phase": bounds.cramer_rao_average,
        "cramer_rao": dict(bounds.cramer_rao),
        "posterior_mean": dict(bounds.posterior),
        "last_value": bounds.last_value["unseen"],
        "zero": bounds.zero["unseen"],
        "printed_loss_floor": FLOOR,
        "goals_met": {
            f"median at most {GOALS['short']} after the short fit": _median(outcomes, short) <= GOALS["short"],
            f"median at most {GOALS['long']} after the long fit": _median(outcomes, long) <= GOALS["long"],
        },
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
    }


def sine_page(outcomes: Sequence[Outcome], bounds: Bounds) -> ExperimentPage:
    """The page of the experiment."""
    short, long = _best(outcomes, "ladder", "member"), _best(outcomes, "long")
    book, floor = _named(outcomes, "Textbook"), bounds.posterior["unseen"]
    seeds = len(_group(outcomes, short))
    lead = (
        f"From fifteen noisy points the textbook's network forecasts the clean sine with a mean squared error of "
        f"{_median(outcomes, book):.3f} (median of {seeds} seeds, {_steps(outcomes, book)} iterations). Others of the "
        f"family reach {_median(outcomes, short):.3f} in as many and {_median(outcomes, long):.3f} in "
        f"{_steps(outcomes, long):,}; the best possible forecast has {floor:.3f}."
    )
    return ExperimentPage(
        title="The noisy sine",
        lead=lead,
        sections=(
            _scores(outcomes, bounds),
            _ladder(outcomes),
            _examples(outcomes, bounds),
            _losses(outcomes),
            _definition(bounds),
        ),
        command="s2squant reproduce sine",
        facts={"seeds": seeds, "test windows": len(bounds.past)},
    )


def _scores(outcomes: Sequence[Outcome], bounds: Bounds) -> Section:
    rows = []
    for member in _members(outcomes):
        group = _group(outcomes, member)
        errors = [o.scored.errors["unseen"] for o in group]
        rows.append(
            {
                "member": member.name,
                "about": member.about,
                "iterations": len(group[0].losses),
                "parameters": group[0].parameters,
                "median": statistics.median(errors),
                "least": min(errors),
                "most": max(errors),
                "together": _together(group, bounds),
                "literature": statistics.median(o.scored.errors["literature"] for o in group),
                "clean": statistics.median(o.scored.errors["literature, clean inputs"] for o in group),
                "printed": statistics.median(_printed(o) for o in group),
            }
        )
    best = {"median": bounds.posterior["unseen"], "literature": bounds.posterior["literature"]}
    known: list[dict[str, Any]] = [
        {"member": "Posterior mean", "about": "knows all but the phase; nothing is better on average", **best},
        {
            "member": "Cramer-Rao bound",
            "about": "of an unbiased forecast that knows all but the phase",
            "median": bounds.cramer_rao["unseen"],
            "literature": bounds.cramer_rao["literature"],
        },
        {
            "member": "Last value",
            "about": "the last noisy point, twenty times",
            "median": bounds.last_value["unseen"],
            "literature": bounds.last_value["literature"],
        },
        {"member": "Zero", "about": "", "median": bounds.zero["unseen"], "literature": bounds.zero["literature"]},
    ]
    short, long = _best(outcomes, "ladder", "member"), _best(outcomes, "long")
    met = [_median(outcomes, short) <= GOALS["short"], _median(outcomes, long) <= GOALS["long"]]
    return Section(
        heading="Who forecasts the clean signal",
        takeaway=(
            f"The goal of {GOALS['short']:.2f} after the short fit is {'met' if met[0] else 'missed'} "
            f"({_median(outcomes, short):.3f}, {short.name}), that of {GOALS['long']:.3f} after the long one "
            f"{'met' if met[1] else 'missed'} ({_median(outcomes, long):.3f}, {long.name})."
        ),
        table=pd.DataFrame([*rows, *known]),
        labels={
            "member": "Forecast",
            "about": "What it is",
            "iterations": "Iterations",
            "parameters": "Parameters",
            "median": "Error, median",
            "least": "Best seed",
            "most": "Worst seed",
            "together": "All seeds averaged",
            "literature": "Literature's window",
            "clean": "The same, clean inputs",
            "printed": "Printed loss",
        },
        formats={
            **dict.fromkeys(("median", "least", "most", "together", "literature", "clean"), ".3f"),
            "printed": ".1f",
            "iterations": ",.0f",
            "parameters": ",.0f",
        },
        caption=(
            "Mean squared error of the free-running forecast against the clean signal on the unseen windows, over the "
            "seeds; printed loss: mean of the last ten iterations."
        ),
    )


def _ladder(outcomes: Sequence[Outcome]) -> Section:
    rungs = [m for m in _members(outcomes) if m.group == "ladder"]
    names = [m.name for m in rungs]
    middle = np.array([_median(outcomes, m) for m in rungs])
    spread = [[o.scored.errors["unseen"] for o in _group(outcomes, m)] for m in rungs]
    low, high = np.array([min(s) for s in spread]), np.array([max(s) for s in spread])
    gains = {f"{b} ({c - d:+.3f})": d - c for b, c, d in zip(names[1:], middle[1:], middle[:-1], strict=True)}
    most = max(gains, key=lambda name: gains[name])
    return Section(
        heading="Which choices got there",
        takeaway=f"The largest single step is {most}; each rung changes one thing and keeps what came before.",
        lines=(
            Lines(
                "Error after each choice",
                "",
                SCORE,
                {"median of the seeds": (np.array(names), middle)},
                bands={"median of the seeds": (low, high)},
                caption="The band goes from the best to the worst seed.",
            ),
        ),
    )


def _examples(outcomes: Sequence[Outcome], bounds: Bounds) -> Section:
    long, book = _best(outcomes, "long"), _named(outcomes, "Textbook")
    charts = []
    for place in SHOWN:
        start = int(bounds.starts[place])
        past, future = slice(start, start + bounds.past.shape[1]), slice(start + bounds.past.shape[1], start + 35)
        charts.append(
            Lines(
                f"Points {start} to {start + 34}",
                "x",
                "y",
                {
                    "clean signal": (bounds.x[start : start + 35], bounds.clean[start : start + 35]),
                    "noisy input": (bounds.x[past], bounds.past[place]),
                    book.name: (bounds.x[future], _group(outcomes, book)[0].scored.said_NH[place]),
                    long.name: (bounds.x[future], _group(outcomes, long)[0].scored.said_NH[place]),
                },
            )
        )
    return Section(
        heading="Three forecasts",
        takeaway="All see the same fifteen noisy points; the first seed of each network is drawn.",
        lines=tuple(charts),
    )


def _losses(outcomes: Sequence[Outcome]) -> Section:
    chosen = [_named(outcomes, "Textbook"), _best(outcomes, "ladder", "member"), _best(outcomes, "long")]
    curves: dict[str, tuple[Floats, Floats]] = {}
    for member in dict.fromkeys(chosen):
        middle = np.median([o.losses for o in _group(outcomes, member)], axis=0)
        curves[member.name] = (np.arange(1, len(middle) + 1, dtype=float), middle)
    most = max(len(x) for x, _ in curves.values())
    curves["noise floor"] = (np.array([1.0, most]), np.array([FLOOR, FLOOR]))
    return Section(
        heading="The printed loss",
        takeaway=(
            f"It cannot fall below {FLOOR:.1f} but by a batch's luck: both sides are noisy, so that a network which "
            "prints 20 has nothing left to learn, and a lower print says nothing."
        ),
        lines=(
            Lines(
                "Squared error summed over twenty steps, as printed in training",
                "Iteration",
                "Loss",
                curves,
                log_y=True,
                caption=(
                    "Median over the seeds. Under teacher forcing the decoder reads the noisy truth, which no forecast "
                    "has."
                ),
            ),
        ),
    )


def _definition(bounds: Bounds) -> Section:
    unseen = np.unique(bounds.starts).astype(int)
    first, last = unseen[0], unseen[-1]
    return Section(
        heading="How it is scored",
        takeaway="Against the clean signal, from noisy inputs, free-running, where training has not been.",
        paragraphs=(
            "The signal is y = 2 sin x on 105 points of x from 0 to 30. Training draws sixteen windows of 35 points at "
            "random from the first 85, and adds independent noise of variance one to all 35 points each time.",
            f"The error is the mean of (forecast - 2 sin x)^2 over twenty steps and {len(unseen)} windows: those "
            f"that start at points {first} to {last}, all whose targets reach past the 85 points (nearly one whole "
            f"period of starting phases). For each, the fifteen inputs are drawn with fresh noise of variance one "
            f"{len(bounds.past) // len(unseen)} times, the same noise for every forecaster.",
            "The literature draws one window, the last (inputs 70 to 84, targets 85 to 104), from clean inputs; "
            "it stands beside with noisy and with clean inputs. That window is hard: its inputs tell little of the "
            "phase where its targets need it, and even the best forecast has an error of "
            f"{bounds.posterior['literature']:.3f} there.",
            f"With one unknown phase, the Cramer-Rao bound over all phases is 2 / (15 x 2) = "
            f"{bounds.cramer_rao_average:.3f}; over these windows it is {bounds.cramer_rao['unseen']:.3f}. A network "
            "has to find amplitude and frequency as well, from the same noisy points.",
            "L2 of 0.003 is on the output layer, as in the literature's code; the gradient is clipped at 2.5 after "
            "the loss has been summed over the steps; batch 16, Adam 0.01.",
        ),
    )


def _together(group: Sequence[Outcome], bounds: Bounds) -> float:
    """The error of the seeds' mean forecast."""
    return float(np.mean((np.mean([o.scored.said_NH for o in group], axis=0) - bounds.clean_future) ** 2))


def _printed(outcome: Outcome) -> float:
    return float(np.mean(outcome.losses[-10:]))


def _members(outcomes: Sequence[Outcome]) -> list[Member]:
    return list(dict.fromkeys(o.member for o in outcomes))


def _group(outcomes: Sequence[Outcome], member: Member) -> list[Outcome]:
    return [o for o in outcomes if o.member == member]


def _named(outcomes: Sequence[Outcome], name: str) -> Member:
    return next(m for m in _members(outcomes) if m.name == name)


def _best(outcomes: Sequence[Outcome], first: str, second: str = "") -> Member:
    """The member of these groups with the lowest median error."""
    chosen = [m for m in _members(outcomes) if m.group in (first, second)]
    return min(chosen, key=lambda m: _median(outcomes, m))


def _median(outcomes: Sequence[Outcome], member: Member, place: Place = "unseen") -> float:
    return float(statistics.median(o.scored.errors[place] for o in _group(outcomes, member)))


def _steps(outcomes: Sequence[Outcome], member: Member) -> int:
    return len(_group(outcomes, member)[0].losses)
