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
EXACT = "AR(4), least squares"


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


def waves_result(
    outcomes: Sequence[Outcome], simple: Mapping[str, Floats], blurred_NH: Floats, signal_NT: Floats
) -> Result:
    """The experiment's result: mean squared errors of all forecasters on the same signals, of several seeds the median.

    `simple` are the forecasts of the simple methods, `blurred_NH` those of least squares on a noisy past.
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
            "mse_with_noise": _mse(o.blurred_NH, signal_NT),
        }
        for o in outcomes
    ]
    errors = {name: _mse(said_NH, signal_NT) for name, said_NH in simple.items()}
    noisy = _mse(blurred_NH, signal_NT)
    known = [{"member": n, "mse": mse, "mse_with_noise": noisy if n == EXACT else None} for n, mse in errors.items()]
    for name in dict.fromkeys(o.member.name for o in reversed(outcomes)):
        errors[name] = median(_mse(o.said_NH, signal_NT) for o in outcomes if o.member.name == name)
    best = min(outcomes, key=lambda o: _mse(o.said_NH, signal_NT))
    book, name = errors["Textbook"], best.member.name
    return Result(
        "Two waves",
        "Can a network run on a sum of two sinusoids, a1 sin(w1 t + p1) + a2 cos(w2 t + p2) at t = 0 .. 29, from its "
        "first fifteen points? a1 is uniform in 0.1 .. 1.1, a2 in 0 .. 1.2, phases are uniform, and w = 3 pi f / 29 "
        "with f uniform in -4.5 .. 5.5 (the literature's second exercise). Every training batch is new, and the test "
        "signals are drawn apart. AR(4) is fitted to the fifteen points of each signal by least squares.",
        f"The textbook's network has a mean squared error of {book:.3f}, where the last value has "
        f"{errors['Last value']:.3f} and zero {errors['Zero']:.3f}; {name!r} has {errors[name]:.3f}. Least squares, "
        f"which knows that two sinusoids obey an autoregression of order four, has {errors[EXACT]:.0e} without "
        f"training; noise of {NOISE} on what is seen makes it {noisy:.3f}, and the network's "
        f"{_mse(best.blurred_NH, signal_NT):.3f}.",
        {"test signals": len(signal_NT)},
        (
            Goal("a better configuration than the textbook's", errors[name], "below", book, "the textbook's error"),
            Goal("a network below the last value", errors[name], "below", errors["Last value"], "its error"),
        ),
        (
            Section(
                "Side by side",
                f"{name} has {book / errors[name]:.0f} times less error than the textbook's network.",
                table=flat([*known, *reversed(rows)]),
                labels={"mse": "Mean squared error", "mse_with_noise": f"With noise of {NOISE} on the past"},
                formats={"about": "wide"},
                caption="Free-running, on the same test signals; with noise, against the clean future, which no "
                "network was trained for.",
                lines=(_losses(outcomes),),
            ),
            _examples(best, outcomes, simple, signal_NT),
        ),
        {
            "test_signals": len(signal_NT),
            "mse": errors,
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


def _mse(said_NH: Floats, signal_NT: Floats, steps: int | None = None) -> float:
    """Mean squared error over the first `steps` points ahead, over all when None."""
    return float(np.mean((said_NH - signal_NT[:, -said_NH.shape[1] :])[:, :steps] ** 2))
