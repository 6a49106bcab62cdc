"""The figures of the waves experiment and the page that shows them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from s2squant.report.sections import ExperimentPage, Lines, Section
from s2squant.series.arrays import Floats

SHOWN = 5
NOISE = 0.01
ABOUT = {"Last value": "the last point, fifteen times", "AR(4), least squares": "fitted to each signal's own past"}


@dataclass(frozen=True)
class Member:
    """A network, its seconds of one core an iteration (about), and what it is."""

    name: str
    cost: float
    about: str


@dataclass(frozen=True)
class Outcome:
    """A trained network's losses as printed and its forecasts (N, H) of the test signals, clean and blurred."""

    member: Member
    seed: int
    losses: tuple[float, ...]
    parameters: int
    said_NH: Floats
    blurred_NH: Floats


def figures(
    outcomes: Sequence[Outcome], simple: Mapping[str, Floats], blurred_NH: Floats, signal_NT: Floats
) -> dict[str, Any]:
    """What `result.json` holds: mean squared errors of all forecasters on the same signals."""
    errors = _errors(outcomes, simple, signal_NT)
    book, best = errors["Textbook"], _best(outcomes, signal_NT)
    return {
        "test_signals": len(signal_NT),
        "mse": errors,
        "best_network": best,
        "goals_met": {
            "a better configuration than the textbook's": errors[best] < book,
            "a network below the last value": errors[best] < errors["Last value"],
        },
        f"mse_with_noise_{NOISE}": {
            "AR(4), least squares": _mse(blurred_NH, signal_NT),
            **{o.member.name: _mse(o.blurred_NH, signal_NT) for o in reversed(outcomes)},
        },
        "members": [
            {
                "member": o.member.name,
                "about": o.member.about,
                "seed": o.seed,
                "iterations": len(o.losses),
                "parameters": o.parameters,
                "mse": _mse(o.said_NH, signal_NT),
            }
            for o in outcomes
        ],
    }


def waves_page(
    outcomes: Sequence[Outcome], simple: Mapping[str, Floats], blurred_NH: Floats, signal_NT: Floats
) -> ExperimentPage:
    """The page of the experiment."""
    errors, best = _errors(outcomes, simple, signal_NT), _best(outcomes, signal_NT)
    exact = errors["AR(4), least squares"]
    chosen = next(o for o in outcomes if o.member.name == best)
    lead = (
        f"The textbook's network has a mean squared error of {errors['Textbook']:.3f}, where the last value has "
        f"{errors['Last value']:.3f} and zero {errors['Zero']:.3f}; {best!r} has {errors[best]:.3f}. Least squares, "
        f"which knows that two sinusoids obey an autoregression of order four, has {exact:.0e} without training; "
        f"noise of {NOISE} on what is seen makes it {_mse(blurred_NH, signal_NT):.3f}, and the network's "
        f"{_mse(chosen.blurred_NH, signal_NT):.3f}."
    )
    return ExperimentPage(
        title="Two waves",
        lead=lead,
        sections=(
            _scores(outcomes, simple, blurred_NH, signal_NT),
            _examples(outcomes, simple, signal_NT),
            _losses(outcomes),
            _definition(signal_NT),
        ),
        command="s2squant reproduce waves",
        facts={"test signals": len(signal_NT)},
    )


def _scores(
    outcomes: Sequence[Outcome], simple: Mapping[str, Floats], blurred_NH: Floats, signal_NT: Floats
) -> Section:
    rows: list[dict[str, Any]] = []
    for name, said_NH in simple.items():
        noisy = {"noisy": _mse(blurred_NH, signal_NT)} if name.startswith("AR") else {}
        here = {"mse": _mse(said_NH, signal_NT), "first": _mse(said_NH, signal_NT, 1)}
        rows.append({"forecast": name, "about": ABOUT.get(name, ""), **here, **noisy})
    for member in _members(outcomes):
        group = [o for o in outcomes if o.member == member]
        each = [_mse(o.said_NH, signal_NT) for o in group]
        rows.append(
            {
                "forecast": member.name,
                "about": member.about,
                "mse": statistics.median(each),
                "least": min(each),
                "most": max(each),
                "first": statistics.median(_mse(o.said_NH, signal_NT, 1) for o in group),
                "noisy": statistics.median(_mse(o.blurred_NH, signal_NT) for o in group),
                "iterations": len(group[0].losses),
                "parameters": group[0].parameters,
            }
        )
    errors, best = _errors(outcomes, simple, signal_NT), _best(outcomes, signal_NT)
    return Section(
        heading="Side by side",
        takeaway=(
            f"{best} has {errors['Textbook'] / errors[best]:.0f} times less error than the textbook's network; least "
            "squares is exact on exact numbers, and lost on slightly wrong ones."
        ),
        table=pd.DataFrame(rows),
        labels={
            "forecast": "Forecast",
            "about": "What it is",
            "mse": "Mean squared error",
            "least": "Best seed",
            "most": "Worst seed",
            "first": "First point ahead",
            "noisy": f"With noise {NOISE}",
            "iterations": "Iterations",
            "parameters": "Parameters",
        },
        formats={
            **dict.fromkeys(("mse", "least", "most", "first", "noisy"), ".3g"),
            "iterations": ",.0f",
            "parameters": ",.0f",
        },
        caption=(
            "On the same test signals, free-running; of several seeds the median. With noise: normal noise of that "
            "deviation on the past, the error against the clean future; no network was trained on noise."
        ),
    )


def _examples(outcomes: Sequence[Outcome], simple: Mapping[str, Floats], signal_NT: Floats) -> Section:
    best = next(o for o in outcomes if o.member.name == _best(outcomes, signal_NT))
    book = next(o for o in outcomes if o.member.name == "Textbook")
    when = np.arange(1 - (signal_NT.shape[1] - best.said_NH.shape[1]), best.said_NH.shape[1] + 1)
    ahead = when[-best.said_NH.shape[1] :]
    charts = tuple(
        Lines(
            f"Signal {place + 1}",
            "Points after the last one seen",
            "Value",
            {
                "signal": (when, signal_NT[place]),
                "Textbook": (ahead, book.said_NH[place]),
                best.member.name: (ahead, best.said_NH[place]),
                "AR(4), least squares": (ahead, simple["AR(4), least squares"][place]),
            },
        )
        for place in range(SHOWN)
    )
    return Section(
        heading=f"The first {SHOWN} test signals",
        takeaway="Everything up to point 0 is known; least squares lies on the signal.",
        lines=charts,
    )


def _losses(outcomes: Sequence[Outcome]) -> Section:
    firsts = {o.member.name: o for o in reversed(outcomes)}
    curves = {name: (np.arange(1, len(o.losses) + 1), np.array(o.losses)) for name, o in firsts.items()}
    return Section(
        heading="Training",
        takeaway="Every batch is new, so that nothing can be learnt by heart.",
        lines=(
            Lines(
                "Squared error summed over fifteen points",
                "Iteration",
                "Loss",
                curves,
                log_y=True,
                caption="Where the past is scaled to one, so is the loss; levels of such a curve are its own.",
            ),
        ),
    )


def _definition(signal_NT: Floats) -> Section:
    return Section(
        heading="How it is made",
        paragraphs=(
            "A signal is a1 sin(w1 t + p1) + a2 cos(w2 t + p2) at t = 0 .. 29, with a1 uniform in 0.1 .. 1.1, a2 in "
            "0 .. 1.2, phases uniform, and w = 3 pi f / 29 with f uniform in -4.5 .. 5.5 (the literature's second "
            "exercise). The first 15 points are known, the next 15 asked for.",
            f"The error is the mean over {len(signal_NT):,} test signals and 15 points, all drawn apart from training.",
            "AR(4) is fitted to the fifteen known points of each signal by least squares (eleven equations, four "
            "unknowns) and run on by itself. It is exact as long as the signal is: the column with a little noise "
            "shows what it makes of points that are a hundredth off.",
            "The textbook's network is the literature's: two layers of twelve GRU units on each side, Adam at 0.04, L2 "
            "of 0.003 on all but the output layer, batches of ten.",
        ),
    )


def _errors(outcomes: Sequence[Outcome], simple: Mapping[str, Floats], signal_NT: Floats) -> dict[str, float]:
    errors = {name: _mse(said_NH, signal_NT) for name, said_NH in simple.items()}
    for member in _members(outcomes):
        errors[member.name] = statistics.median(_mse(o.said_NH, signal_NT) for o in outcomes if o.member == member)
    return errors


def _members(outcomes: Sequence[Outcome]) -> list[Member]:
    """The textbook's first."""
    return list(dict.fromkeys(o.member for o in reversed(outcomes)))


def _best(outcomes: Sequence[Outcome], signal_NT: Floats) -> str:
    return min(outcomes, key=lambda o: _mse(o.said_NH, signal_NT)).member.name


def _mse(said_NH: Floats, signal_NT: Floats, steps: int | None = None) -> float:
    """Mean squared error over the first `steps` points ahead, over all when None."""
    return float(np.mean((said_NH - signal_NT[:, -said_NH.shape[1] :])[:, :steps] ** 2))
