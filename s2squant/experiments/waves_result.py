"""Waves experiment: records of its networks and their forecasts, and the Result made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from s2squant.experiments.result import Goal, Result, counted, flat
from s2squant.report.sections import Lines, Section
from s2squant.series.arrays import Floats

SHOWN = 5
NOISE = 0.01
EXACT, LAST = "AR(4), least squares", "Last value"


@dataclass(frozen=True)
class Member:
    """A network, its seconds of one core an iteration (about), and what it is."""

    name: str
    cost: float
    about: str


@dataclass(frozen=True)
class Outcome:
    """A trained network's losses as printed and its forecasts (N, H) of the test signals."""

    member: Member
    seed: int
    losses: tuple[float, ...]
    parameters: int
    said_NH: Floats
    """On its own: each step reads the output of the step before, or nothing."""
    fed_NH: Floats | None
    """Each step reads the true value of the step before; None for a network that reads none."""
    blurred_NH: Floats
    """On its own, with noise on the past."""


def waves_result(
    outcomes: Sequence[Outcome],
    simple: Mapping[str, Floats],
    fed: Mapping[str, Floats],
    blurred_NH: Floats,
    signal_NT: Floats,
) -> Result:
    """The experiment's result: mean squared errors of all forecasters on the same signals, of several seeds the median.

    `simple` are the forecasts of the simple methods, `fed` theirs where every true value is told before the next,
    `blurred_NH` those of least squares on a noisy past.
    """
    rows = [
        {
            "member": o.member.name,
            "about": o.member.about,
            "seed": o.seed,
            "iterations": len(o.losses),
            "parameters": o.parameters,
            "mse": _mse(o.said_NH, signal_NT),
            "mse_first_point_ahead": _mse(o.said_NH, signal_NT, 1),
            "mse_fed": None if o.fed_NH is None else _mse(o.fed_NH, signal_NT),
            "mse_with_noise": _mse(o.blurred_NH, signal_NT),
        }
        for o in outcomes
    ]
    errors = {name: _mse(said_NH, signal_NT) for name, said_NH in simple.items()}
    noisy = _mse(blurred_NH, signal_NT)
    errors_fed = {name: _mse(said_NH, signal_NT) for name, said_NH in fed.items()}
    known = [
        {
            "member": name,
            "mse": mse,
            "mse_fed": errors_fed.get(name),
            "mse_with_noise": noisy if name == EXACT else None,
        }
        for name, mse in errors.items()
    ]
    for name in dict.fromkeys(o.member.name for o in reversed(outcomes)):
        mine = [o for o in outcomes if o.member.name == name]
        errors[name] = median(_mse(o.said_NH, signal_NT) for o in mine)
        heard = [_mse(o.fed_NH, signal_NT) for o in mine if o.fed_NH is not None]
        if heard:
            errors_fed[name] = median(heard)
    best = min(outcomes, key=lambda o: _mse(o.said_NH, signal_NT))
    book, name, horizon = errors["Textbook"], best.member.name, best.said_NH.shape[1]
    return Result(
        "Two waves",
        "Can a network run on a sum of two sinusoids, a1 sin(w1 t + p1) + a2 cos(w2 t + p2) at t = 0 .. 29, from its "
        "first fifteen points? a1 is uniform in 0.1 .. 1.1, a2 in 0 .. 1.2, phases are uniform, and w = 3 pi f / 29 "
        "with f uniform in -4.5 .. 5.5 (the literature's second exercise). Every training batch is new, and the test "
        "signals are drawn apart. AR(4) is fitted to the fifteen points of each signal by least squares.",
        f"Told every true value before it forecasts the next one, the textbook's network has a mean squared error of "
        f"{errors_fed['Textbook']:.3f} ({horizon * errors_fed['Textbook']:.2f} summed over the points), where the last "
        f"value has {errors_fed[LAST]:.3f}. That is {horizon} forecasts of one point. Left to itself from the "
        f"fifteenth point on it has {book:.3f}, the last value {errors[LAST]:.3f} and zero {errors['Zero']:.3f}; "
        f"{name!r} has {errors[name]:.3f}. Least squares, "
        f"which knows that two sinusoids obey an autoregression of order four, has {errors[EXACT]:.0e} without "
        f"training; noise of {NOISE} on what is seen makes it {noisy:.3f}, and the network's "
        f"{_mse(best.blurred_NH, signal_NT):.3f}.",
        {"test signals": len(signal_NT)},
        (
            Goal("a better configuration than the textbook's", errors[name], "below", book, "the textbook's error"),
            Goal("a network below the last value", errors[name], "below", errors[LAST], "its error"),
            Goal(
                "fed the truth, the textbook's network below the last value",
                errors_fed["Textbook"],
                "below",
                errors_fed[LAST],
                "its error, one point ahead",
            ),
        ),
        (
            Section(
                "Side by side",
                f"{name} has {book / errors[name]:.0f} times less error than the textbook's network.",
                table=flat([*known, *reversed(rows)]),
                labels={
                    "mse": "Mean squared error, on its own",
                    "mse_fed": "Fed the truth, one point ahead",
                    "mse_with_noise": f"On its own, with noise of {NOISE} on the past",
                },
                formats={"about": "wide"},
                caption="On the same test signals. On its own: fifteen points ahead of the past. Fed the truth: each "
                "point with all before it known, an easier question. With noise: against the clean future, which no "
                "network was trained for.",
                lines=(_losses(outcomes),),
            ),
            _examples(best, outcomes, simple, signal_NT),
            _moving(outcomes, fed, signal_NT),
        ),
        {
            "test_signals": len(signal_NT),
            "mse": errors,
            "mse_fed_the_truth": errors_fed,
            "best_network": name,
            f"mse_with_noise_{NOISE}": {
                EXACT: noisy,
                **{o.member.name: _mse(o.blurred_NH, signal_NT) for o in reversed(outcomes)},
            },
            "members": rows,
        },
    )


def _losses(outcomes: Sequence[Outcome]) -> Lines:
    curves = {o.member.name: counted(o.losses) for o in reversed(outcomes)}
    caption = "Where the past is scaled to one, so is the loss; levels of such a curve are its own."
    title = "Squared error summed over fifteen points, in training"
    return Lines(title, "Iteration", "Loss", curves, log_y=True, caption=caption)


def _examples(best: Outcome, outcomes: Sequence[Outcome], simple: Mapping[str, Floats], signal_NT: Floats) -> Section:
    book = next(o for o in outcomes if o.member.name == "Textbook")
    future = best.said_NH.shape[1]
    when = np.arange(1 - (signal_NT.shape[1] - future), future + 1)
    drawn = {"Textbook": book.said_NH, best.member.name: best.said_NH, EXACT: simple[EXACT]}
    charts = [
        Lines(
            f"Signal {n + 1}",
            "Points after the last one seen",
            "Value",
            {"signal": (when, signal_NT[n]), **{name: (when[-future:], x_NH[n]) for name, x_NH in drawn.items()}},
        )
        for n in range(SHOWN)
    ]
    return Section(f"The first {SHOWN} test signals", "Everything up to point 0 is known.", lines=tuple(charts))


def _moving(outcomes: Sequence[Outcome], fed: Mapping[str, Floats], signal_NT: Floats) -> Section:
    """The textbook's picture: a line of one-point forecasts, beside the last value, which trails by one point."""
    book = next(o.fed_NH for o in outcomes if o.member.name == "Textbook" and o.fed_NH is not None)
    future = book.shape[1]
    when = np.arange(1 - (signal_NT.shape[1] - future), future + 1)
    charts = [
        Lines(
            f"Signal {n + 1}, one point ahead",
            "Points after the first fifteen",
            "Value",
            {
                "signal": (when, signal_NT[n]),
                "Textbook": (when[-future:], book[n]),
                LAST: (when[-future:], fed[LAST][n]),
            },
        )
        for n in range(SHOWN)
    ]
    takeaway = "Such a line follows any smooth signal, as does the last value, which only repeats it a point late."
    return Section("The moving forecast of the textbook", takeaway, lines=tuple(charts))


def _mse(said_NH: Floats, signal_NT: Floats, steps: int | None = None) -> float:
    """Mean squared error over the first `steps` points ahead, over all when None."""
    return float(np.mean((said_NH - signal_NT[:, -said_NH.shape[1] :])[:, :steps] ** 2))
