"""Copy experiment: records of its networks and their scores, and the Result made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

import numpy as np
import pandas as pd

from s2squant.config.networks import DecoderSpec, EncoderSpec
from s2squant.experiments.result import Goal, Result, flat
from s2squant.report.sections import Heatmap, Lines, Section

Group = Literal["headline", "attention", "feeding"]
Regime = Literal["teacher", "scheduled", "free"]

BATCH = 100
EXAMPLES = 300_100
"""After which the literature's run printed its loss."""
LITERATURE = 0.1073
LATER = 0.0982
"""What a later version of it printed after as many."""
NO_ATTENTION = "no attention, context sets the first state"
SHORTEST, LONGEST = 3, 8
UNSEEN = (9, 10, 11, 12)
"""Lengths that no network is trained on."""
PLACES = (LONGEST + 1) / ((SHORTEST + LONGEST) / 2 + 1)
"""Places of a padded batch for each token of a target, EOS included."""


@dataclass(frozen=True)
class Member:
    """One network and how it is trained."""

    name: str
    group: Group
    encoder: EncoderSpec
    decoder: DecoderSpec
    lr: float
    clip: float
    examples: int
    seed: int
    regime: Regime = "teacher"
    searched: bool = False
    """Whether beams and samples are tried on it, and its attention is kept."""


@dataclass(frozen=True)
class Search:
    """A beam against greedy decoding on the same sequences."""

    width: int
    length_power: float
    gain: float
    """Mean of log likelihood minus greedy's, nats."""
    least: float
    """The smallest of these differences."""
    higher: float
    """Share of sequences for which it is larger than 0."""
    exact: float


@dataclass(frozen=True)
class Samples:
    """Ancestral samples against the probability the net gives to the truth: equal but for chance."""

    exact: float
    probability: float
    error: float
    """Standard error of `exact` about `probability`."""


@dataclass(frozen=True)
class Alignment:
    """Attention (T, L) of each said token, EOS included, on each source token."""

    source: tuple[int, ...]
    said: tuple[int, ...]
    weights: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Outcome:
    """A trained member on fresh sequences. Exact matches are free-running greedy decoding, whole sequences, 0 to 1."""

    member: Member
    losses: tuple[float, ...]
    """Of each batch before the step that it leads to, nats a token."""
    loss: float
    exact: float
    exact_by_length: dict[int, float]
    cpu_seconds: float
    parameters: int
    searches: tuple[Search, ...] = ()
    samples: Samples | None = None
    alignment: Alignment | None = None

    @property
    def reached(self) -> int | None:
        """Examples seen when a batch's loss was first at or below the literature's; None if never."""
        return next((BATCH * k for k, loss in enumerate(self.losses, 1) if loss <= LITERATURE), None)

    @property
    def unseen(self) -> float:
        """Share copied exactly, mean over the lengths never seen."""
        return float(np.mean([self.exact_by_length[n] for n in UNSEEN]))


def copy_result(outcomes: Sequence[Outcome], padding: Mapping[str, float]) -> Result:
    """The experiment's result: of several seeds the median, and the worst beside it."""
    plain, attending = headline(outcomes, "plain"), headline(outcomes, "attention")
    examples = BATCH * len(plain[0].losses)
    reached = [o.reached for o in attending]
    without = next(o for o in outcomes if o.member.name == NO_ATTENTION)
    alike, middle = without.reached, median(n or np.inf for n in reached)
    late = None if None in reached else max(n for n in reached if n is not None)
    rows = [_row(o) for o in outcomes]
    worst, exact = max(o.loss for o in attending), min(o.exact for o in attending)
    searches = [{"network": _title(o), **vars(s), "greedy_exact": o.exact} for o in outcomes for s in o.searches]
    least = min(s.least for o in outcomes for s in o.searches)
    known = [f"{100 * median(o.exact for o in of):.1f} %" for of in (attending, plain)]
    unseen = [f"{100 * median(o.unseen for o in of):.1f} %" for of in (attending, plain)]
    return Result(
        "Copying sequences of tokens",
        "Can a network say a random sequence again, token by token? One LSTM of 20 units on each side, embedding 20, "
        "Adam, batches of 100 fresh sequences, teacher forcing. The plain network hands its last state over and learns "
        "at 0.001; the other reads the encoder's states by Luong's global attention (concat score), learns at 0.01 and "
        "has its gradient clipped at 1. The loss is the mean over real tokens; the literature's is over padded places "
        "too, which are easily learnt: were they free, it would be 0.72 of ours. The literature printed 0.1073, and a "
        f"later version of its run {LATER}.",
        f"After {examples:,} examples the network with attention copies {known[0]} of fresh sequences exactly and the "
        f"plain one {known[1]}; at lengths 9 to 12, which neither has seen, {unseen[0]} and {unseen[1]}. "
        f"The literature's loss of {LITERATURE} is reached after {_after(middle, attending[0])} with attention at "
        f"ten times the plain one's rate, and without attention at that rate {_after(alike, without)}.",
        {f"padding in batches {name}": f"{share:.1%}" for name, share in padding.items()},
        (
            Goal("loss 0.1073 within 12,000 examples, every seed", late, "at most", 12_000, "the literature: 300,100"),
            Goal("loss at most 0.001 after 300,100 examples, every seed", worst, "at most", 0.001, "without noise"),
            Goal("exact at least 99.5 %, every seed", exact, "at least", 0.995, "fresh sequences, greedy decoding"),
            Goal("no beam below greedy", least, "at least", 0.0, "greedy decoding is one of a beam's candidates"),
        ),
        (_networks(outcomes, rows), _lengths(outcomes), *_attention(outcomes), _searches(searches)),
        {
            "examples": examples,
            "seeds": len(plain),
            "plain_loss": median(o.loss for o in plain),
            "plain_loss_counting_padding": median(o.loss for o in plain) / PLACES,
            "literature_loss": LITERATURE,
            "literature_loss_later_version": LATER,
            "plain_exact": median(o.exact for o in plain),
            "attention_examples_to_literature_loss": None if late is None else median(n or 0 for n in reached),
            "attention_examples_to_literature_loss_worst_seed": late,
            "plain_examples_to_literature_loss": [o.reached for o in plain],
            "same_rate_without_attention_examples_to_literature_loss": alike,
            "attention_loss": median(o.loss for o in attending),
            "attention_loss_worst_seed": worst,
            "attention_exact": median(o.exact for o in attending),
            "attention_exact_worst_seed": exact,
            "attention_exact_unseen_lengths": {n: median(o.exact_by_length[n] for o in attending) for n in UNSEEN},
            "plain_exact_unseen_lengths": {n: median(o.exact_by_length[n] for o in plain) for n in UNSEEN},
            "beam_least_gain_over_greedy": least,
            "padding_share": dict(padding),
            "members": rows,
        },
    )


def _after(examples: float | None, trained: Outcome) -> str:
    most = BATCH * len(trained.losses)
    known = examples is not None and np.isfinite(examples)
    return f"{examples:,.0f} examples" if known else f"more than {most:,} examples"


def headline(outcomes: Sequence[Outcome], name: str) -> list[Outcome]:
    """Those of a headline network, seed by seed."""
    return [o for o in outcomes if o.member.group == "headline" and o.member.name == name]


def _row(o: Outcome) -> dict[str, Any]:
    return {
        "member": o.member.name,
        "group": o.member.group,
        "seed": o.member.seed,
        "examples_to_literature_loss": o.reached,
        "loss": o.loss,
        "loss_counting_padding": o.loss / PLACES,
        "exact": o.exact,
        "exact_unseen_lengths": o.unseen,
        "lr": o.member.lr,
        "examples": o.member.examples,
        "parameters": o.parameters,
        "exact_by_length": o.exact_by_length,
        "cpu_seconds": round(o.cpu_seconds, 2),
        "searches": [vars(s) for s in o.searches],
        "samples": None if o.samples is None else vars(o.samples),
    }


def _networks(outcomes: Sequence[Outcome], rows: Sequence[Mapping[str, Any]]) -> Section:
    first = [headline(outcomes, name)[0] for name in ("plain", "attention")]
    beside = _in_two([o for o in outcomes if o.member.group == "attention"])
    return Section(
        "Networks",
        table=flat(rows),
        formats={"loss": ".5f", "loss_counting_padding": ".5f", "exact": ".1%", "exact_unseen_lengths": ".1%"},
        caption="On fresh sequences after training; exact match decodes freely, greedily. Under feeding, the plain "
        "network is fed the truth (teacher), the truth less and less (scheduled), or its own tokens (free). One seed "
        "each but for the headline: small differences mean nothing.",
        lines=(_losses("the literature's run", first, LITERATURE), *(_losses(name, some) for name, some in beside)),
    )


def _losses(name: str, outcomes: Sequence[Outcome], level: float | None = None) -> Lines:
    curves = {o.member.name: _curve(o.losses) for o in outcomes}
    if level is not None:
        end = max(float(x[-1]) for x, _ in curves.values())
        curves["the literature's run at its end"] = (np.array([0.0, end]), np.array([level, level]))
    title, caption = f"Loss in training: {name}", "Means of 10 batches; one seed."
    return Lines(title, "Examples seen", "Loss, nats a token", curves, log_y=True, caption=caption)


def _lengths(outcomes: Sequence[Outcome]) -> Section:
    first = [headline(outcomes, name)[0] for name in ("plain", "attention")]
    beside = [o for o in outcomes if o.member.group == "attention"][2:]
    charts = [
        Lines(
            f"Exact copies by length: {what}",
            "Tokens",
            "Share copied exactly",
            {o.member.name: ([*o.exact_by_length], [*o.exact_by_length.values()]) for o in some},
        )
        for what, some in _in_two([*first, *beside])
    ]
    takeaway = f"Trained on lengths {SHORTEST} to {LONGEST}; nothing was tuned for those beyond."
    return Section("Lengths never seen", takeaway, lines=tuple(charts))


def _in_two(outcomes: Sequence[Outcome]) -> tuple[tuple[str, list[Outcome]], ...]:
    """Luong's attentions and the rest: more lines than there are colours would not be told apart."""
    luong = [o for o in outcomes if o.member.name.startswith("Luong")]
    return ("all but Luong's", [o for o in outcomes if o not in luong]), ("Luong's attentions", luong)


def _attention(outcomes: Sequence[Outcome]) -> tuple[Section, ...]:
    """Attention weights of the network with attention; no section where none were stored."""
    chosen = next((o.alignment for o in outcomes if o.alignment is not None), None)
    if chosen is None:
        return ()
    weights = np.array(chosen.weights)
    diagonal = float(np.mean([row[k] for k, row in enumerate(weights[: len(chosen.source)])]))
    chart = Heatmap(
        "Attention of each said token on the source",
        tuple(f"{k}: {token}" for k, token in enumerate(chosen.source, 1)),
        tuple(f"{k}: {'EOS' if token == 1 else token}" for k, token in enumerate(chosen.said, 1)),
        weights,
        "Source token",
        "Said token",
        ".2f",
        "A state also knows the tokens before it: weights show where was read, not what was understood.",
    )
    takeaway = f"While it says a token, the weight on that token's state is {100 * diagonal:.1f} % on average."
    return (Section("Where it looks", takeaway, heatmap=chart),)


def _searches(rows: Sequence[Mapping[str, Any]]) -> Section:
    most = max(rows, key=lambda row: row["higher"])
    return Section(
        "Beam search",
        f"Most is gained where a network is unsure: {most['network']}, {100 * most['higher']:.1f} % of sequences.",
        table=pd.DataFrame(rows),
        labels={"gain": "Mean gain, nats", "least": "Least gain", "higher": "Sequences gained on"},
        formats={"gain": ".4f", "least": ".4f", "higher": ".1%", "exact": ".1%", "greedy_exact": ".1%"},
        caption="Gain: log likelihood of what the beam finds minus that of greedy decoding, on the same sequences. A "
        "beam seeks the likeliest sequence, which is no mean and no typical path.",
    )


def _title(o: Outcome) -> str:
    plain = f"Plain, after {BATCH * len(o.losses):,} examples"
    return o.member.name.capitalize() if o.member.group == "headline" else plain


def _curve(losses: Sequence[float], each: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Means of `each` batches against the examples seen, at most about 300 points."""
    each = max(min(each, len(losses)), len(losses) // 300)
    whole = len(losses) // each * each
    means = np.asarray(losses[:whole]).reshape(-1, each).mean(axis=1)
    return BATCH * each * np.arange(1.0, len(means) + 1), means
