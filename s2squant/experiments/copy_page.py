"""The page of the copy experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from s2squant.experiments.copy_figures import PLACES, headline, median, unseen
from s2squant.experiments.copy_records import BATCH, LITERATURE, LONGEST, SHORTEST, UNSEEN, Group, Outcome
from s2squant.report.sections import ExperimentPage, Heatmap, Lines, Section

NATS = "Loss, nats a token"
CURVE = "Means of 10 batches; one seed."


def copy_page(outcomes: Sequence[Outcome], padding: Mapping[str, float]) -> ExperimentPage:
    """The page, section by section."""
    sections = (
        _headline_section(outcomes),
        _side_by_side(outcomes),
        _lengths(outcomes),
        *_looks(outcomes),
        _beams(outcomes),
        _feeding(outcomes),
        _padding(padding),
    )
    return ExperimentPage("Copying sequences of tokens", _lead(outcomes), sections)


def _lead(outcomes: Sequence[Outcome]) -> str:
    plain, attending = headline(outcomes, "plain"), headline(outcomes, "attention")
    seen = BATCH * len(plain[0].losses)
    seen_words = [_percent(median(o.exact for o in of)) for of in (attending, plain)]
    unseen_words = [_percent(median(unseen(o) for o in of)) for of in (attending, plain)]
    return (
        f"After {seen:,} examples the network with attention copies {seen_words[0]} of fresh sequences exactly and the "
        f"plain one {seen_words[1]}; at lengths 9 to 12, which neither has seen, {unseen_words[0]} and "
        f"{unseen_words[1]}."
    )


def _headline_section(outcomes: Sequence[Outcome]) -> Section:
    rows = [
        {
            "network": o.member.name,
            "seed": o.member.seed,
            "lr": o.member.lr,
            "reached": o.reached,
            "loss": o.loss,
            "padded": o.loss / PLACES,
            "exact": o.exact,
            "unseen": unseen(o),
            "seconds": o.cpu_seconds,
        }
        for o in [*headline(outcomes, "plain"), *headline(outcomes, "attention")]
    ]
    first = [headline(outcomes, name)[0] for name in ("plain", "attention")]
    curves = {o.member.name: _curve(o.losses) for o in first}
    end = max(float(x[-1]) for x, _ in curves.values())
    curves["the literature's run at its end"] = (np.array([0.0, end]), np.array([LITERATURE] * 2))
    reached = [o.reached for o in headline(outcomes, "attention")]
    when = "not in every seed" if None in reached else f"after {max(n for n in reached if n):,} examples at the latest"
    return Section(
        "The literature's run, and attention",
        f"The literature's plain network printed {LITERATURE} at 300,100 examples; attention is there {when}.",
        (
            "One LSTM of 20 units on each side, embedding 20, Adam, batches of 100 fresh sequences, teacher forcing. "
            "The plain network hands its last state over and learns at 0.001. The other reads the encoder's states by "
            "Luong's global attention (concat score), learns at 0.01 and has its gradient clipped at 1.",
            "Our loss is the mean over tokens that are real. The literature's mean is over padded places too, which "
            "are easily learnt; were they free, its loss would be 0.72 of ours, and that is the column to compare.",
        ),
        pd.DataFrame(rows),
        {
            "network": "Network",
            "seed": "Seed",
            "lr": "Rate",
            "reached": "Examples to 0.1073",
            "loss": "Loss",
            "padded": "Loss, padding counted",
            "exact": "Exact",
            "unseen": "Exact, lengths 9 to 12",
            "seconds": "CPU seconds",
        },
        {
            "seed": "d",
            "lr": ".3g",
            "reached": ",.0f",
            "loss": ".5f",
            "padded": ".5f",
            "exact": ".1%",
            "unseen": ".1%",
            "seconds": ".0f",
        },
        "Loss and exact match on 1,000 fresh sequences after training; exact match decodes freely, greedily.",
        (Lines("Loss in training", "Examples seen", NATS, curves, log_y=True, caption=CURVE),),
    )


def _side_by_side(outcomes: Sequence[Outcome]) -> Section:
    chosen = _group(outcomes, "attention")
    best = max(chosen, key=lambda o: (o.exact, -o.loss))
    longest = max(chosen, key=unseen)
    rows = [
        {
            "network": o.member.name,
            "parameters": o.parameters,
            "reached": o.reached,
            "loss": o.loss,
            "exact": o.exact,
            "unseen": unseen(o),
            "seconds": 1000 * o.cpu_seconds / len(o.losses) / BATCH,
        }
        for o in chosen
    ]
    return Section(
        "The family side by side",
        f"After {BATCH * len(best.losses):,} examples, {_inside(best.member.name)} copies best; at lengths never seen, "
        f"{_inside(longest.member.name)}.",
        (
            "The same data, seed and clipping; rate 0.01, for the transformer 0.003. Local windows reach two states to "
            "each side. Local-m is told that the alignment is diagonal, which holds for a copy and hardly elsewhere.",
        ),
        pd.DataFrame(rows),
        {
            "network": "Network",
            "parameters": "Parameters",
            "reached": "Examples to 0.1073",
            "loss": "Loss",
            "exact": "Exact",
            "unseen": "Exact, lengths 9 to 12",
            "seconds": "CPU s per 1,000 examples",
        },
        {"parameters": ",d", "reached": ",.0f", "loss": ".5f", "exact": ".1%", "unseen": ".1%", "seconds": ".3f"},
        "One seed each, so that small differences mean nothing.",
        tuple(
            Lines(
                f"Loss in training: {what}",
                "Examples seen",
                NATS,
                {o.member.name: _curve(o.losses) for o in some},
                log_y=True,
                caption=CURVE,
            )
            for what, some in _in_two(chosen)
        ),
    )


def _lengths(outcomes: Sequence[Outcome]) -> Section:
    named = [headline(outcomes, name)[0] for name in ("plain", "attention")] + _group(outcomes, "attention")[2:]
    charts = tuple(
        Lines(
            f"Exact copies by length: {what}",
            "Tokens",
            "Share copied exactly",
            {o.member.name: ([*o.exact_by_length], [*o.exact_by_length.values()]) for o in some},
        )
        for what, some in _in_two(named)
    )
    kept = sum(o.exact_by_length[UNSEEN[-1]] >= 0.5 for o in named)
    return Section(
        "Lengths never seen",
        f"Trained on lengths {SHORTEST} to {LONGEST}, {kept or 'none'} of {len(named)} networks copy every second "
        f"sequence of {UNSEEN[-1]} tokens.",
        ("Reported as they come out: nothing was tuned for it.",),
        lines=charts,
    )


def _in_two(outcomes: Sequence[Outcome]) -> tuple[tuple[str, list[Outcome]], ...]:
    """Luong's attentions and the rest: more lines than there are colours would not be told apart."""
    luong = [o for o in outcomes if o.member.name.startswith("Luong")]
    return ("all but Luong's", [o for o in outcomes if o not in luong]), ("Luong's attentions", luong)


def _looks(outcomes: Sequence[Outcome]) -> tuple[Section, ...]:
    """Where the network with attention looks; no section where it was not kept."""
    found = next((o.alignment for o in outcomes if o.alignment is not None), None)
    if found is None:
        return ()
    weights = np.array(found.weights)
    on = float(np.mean([row[k] for k, row in enumerate(weights[: len(found.source)])]))
    return (
        Section(
            "Where it looks",
            f"While it says a token, the weight on that token's state is {_percent(on)} on average.",
            (
                "A state also knows the tokens before it, so that a weight next to the diagonal can serve as well: "
                "attention weights show where was read, not what was understood.",
            ),
            heatmap=Heatmap(
                "Attention of each said token on the source",
                tuple(f"{k}: {token}" for k, token in enumerate(found.source, 1)),
                tuple(f"{k}: {'EOS' if token == 1 else token}" for k, token in enumerate(found.said, 1)),
                weights,
                "Source token",
                "Said token",
                ".2f",
            ),
        ),
    )


def _beams(outcomes: Sequence[Outcome]) -> Section:
    tried = [o for o in outcomes if o.searches]
    rows = [
        {
            "network": _title(o),
            "search": f"beam of {s.width}" + (", a mean a token" if s.length_power else ""),
            "gain": s.gain,
            "least": s.least,
            "higher": s.higher,
            "exact": s.exact,
            "greedy": o.exact,
        }
        for o in tried
        for s in o.searches
    ]
    draws = [
        f"{_title(o)}: {_percent(o.samples.exact)} of samples are the source, expected "
        f"{_percent(o.samples.probability)} with a standard error of {_percent(o.samples.error)}."
        for o in tried
        if o.samples is not None
    ]
    least = min(s.least for o in tried for s in o.searches)
    gain, unsure = max((s.higher, _title(o)) for o in tried for s in o.searches)
    return Section(
        "Beam search and sampling",
        f"No beam ends below greedy decoding (least gain {least:.2g} nats); most is gained where a network is unsure: "
        f"{unsure}, {_percent(gain)} of sequences.",
        (
            "A beam searches for the mode, the single likeliest sequence. That suits a copy or a translation; it is no "
            "mean and no typical path, and a forecast of prices has no use for it. Greedy decoding is always one of "
            "its candidates, so that it cannot do worse.",
            "Ancestral samples should say the source as often as the network believes in it. " + " ".join(draws),
        ),
        pd.DataFrame(rows),
        {
            "network": "Network",
            "search": "Search",
            "gain": "Mean gain, nats",
            "least": "Least gain",
            "higher": "Sequences gained on",
            "exact": "Exact",
            "greedy": "Exact, greedy",
        },
        {"gain": ".4f", "least": ".4f", "higher": ".1%", "exact": ".1%", "greedy": ".1%"},
        "Gain: log likelihood of what the beam found minus that of greedy decoding, on the same fresh sequences.",
    )


def _feeding(outcomes: Sequence[Outcome]) -> Section:
    fed = _group(outcomes, "feeding")
    words = {"teacher": "the truth", "scheduled": "the truth less and less", "free": "what it said itself"}
    rows = [
        {"fed": words[o.member.regime], "reached": o.reached, "loss": o.loss, "exact": o.exact, "last": o.losses[-1]}
        for o in fed
    ]
    best = max(fed, key=lambda o: o.exact)
    return Section(
        "What the decoder is fed in training",
        f"Fed {words[best.member.regime]}, the plain network copies most: {_percent(best.exact)}.",
        (
            "The plain network at rate 0.01. Scheduled sampling tosses a coin for every element of every sequence; the "
            "truth's share falls from 1 to 0.01 along an inverse sigmoid.",
        ),
        pd.DataFrame(rows),
        {
            "fed": "Fed",
            "reached": "Examples to 0.1073",
            "loss": "Loss, teacher-forced",
            "last": "Last batch as trained",
            "exact": "Exact, free-running",
        },
        {"reached": ",.0f", "loss": ".4f", "last": ".4f", "exact": ".1%"},
    )


def _padding(padding: Mapping[str, float]) -> Section:
    rows = [{"batches": name, "padding": share} for name, share in padding.items()]
    return Section(
        "Buckets",
        f"Of batches as they come {_percent(padding['as they come'])} is padding, of buckets by length "
        f"{_percent(padding['by length'])}.",
        ("Padding costs time only: masks and packing keep it out of every number. Here batches are as they come.",),
        pd.DataFrame(rows),
        {"batches": "Batches of 100", "padding": "Share of padding"},
        {"padding": ".1%"},
    )


def _title(outcome: Outcome) -> str:
    member = outcome.member
    if member.group == "headline":
        return member.name.capitalize()
    return f"Plain, after {BATCH * len(outcome.losses):,} examples"


def _group(outcomes: Sequence[Outcome], group: Group) -> list[Outcome]:
    return [o for o in outcomes if o.member.group == group]


def _curve(losses: Sequence[float], each: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Means of `each` batches against the examples seen, at most about 300 points."""
    each = max(min(each, len(losses)), len(losses) // 300)
    whole = len(losses) // each * each
    means = np.asarray(losses[:whole]).reshape(-1, each).mean(axis=1)
    return BATCH * each * np.arange(1.0, len(means) + 1), means


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _inside(name: str) -> str:
    """A network's name inside a sentence."""
    return name if name.startswith(("Luong", "Bahdanau")) else f"the {name[:1].lower()}{name[1:]}"
