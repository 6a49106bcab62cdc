"""The figures of the copy experiment, as `result.json` has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from s2squant.experiments.copy_records import BATCH, LITERATURE, LONGEST, SHORTEST, UNSEEN, Outcome

GOALS = {"examples": 12_000, "loss": 0.001, "exact": 0.995}
"""Of the network with attention: examples until the literature's loss (at most), loss (at most), exact (at least)."""
PLACES = (LONGEST + 1) / ((SHORTEST + LONGEST) / 2 + 1)
"""Places of a padded batch for each token of a target, EOS included."""


def figures(outcomes: Sequence[Outcome], padding: Mapping[str, float]) -> dict[str, Any]:
    """What `result.json` holds; of several seeds the median, and the worst beside it."""
    plain, attending = headline(outcomes, "plain"), headline(outcomes, "attention")
    reached = [o.reached for o in attending]
    late = None if None in reached else max(n for n in reached if n is not None)
    loss, worst = median(o.loss for o in attending), max(o.loss for o in attending)
    exact = min(o.exact for o in attending)
    searches = [s for o in outcomes for s in o.searches]
    return {
        "examples": BATCH * len(plain[0].losses),
        "seeds": len(plain),
        "plain_loss": median(o.loss for o in plain),
        "plain_loss_counting_padding": median(o.loss for o in plain) / PLACES,
        "literature_loss": LITERATURE,
        "plain_exact": median(o.exact for o in plain),
        "attention_examples_to_literature_loss": None if late is None else median(n or 0 for n in reached),
        "attention_examples_to_literature_loss_worst_seed": late,
        "attention_loss": loss,
        "attention_loss_worst_seed": worst,
        "attention_exact": median(o.exact for o in attending),
        "attention_exact_worst_seed": exact,
        "attention_exact_unseen_lengths": {n: median(o.exact_by_length[n] for o in attending) for n in UNSEEN},
        "plain_exact_unseen_lengths": {n: median(o.exact_by_length[n] for o in plain) for n in UNSEEN},
        "beam_least_gain_over_greedy": min(s.least for s in searches),
        "goals_met": {
            "loss 0.1073 within 12,000 examples, every seed": late is not None and late <= GOALS["examples"],
            "loss at most 0.001 after 300,100 examples, every seed": worst <= GOALS["loss"],
            "exact at least 99.5 %, every seed": exact >= GOALS["exact"],
            "no beam below greedy": all(s.least >= 0 for s in searches),
        },
        "padding_share": dict(padding),
        "members": [
            {
                "member": o.member.name,
                "group": o.member.group,
                "seed": o.member.seed,
                "lr": o.member.lr,
                "examples": o.member.examples,
                "parameters": o.parameters,
                "examples_to_literature_loss": o.reached,
                "loss": o.loss,
                "exact": o.exact,
                "exact_by_length": o.exact_by_length,
                "cpu_seconds": round(o.cpu_seconds, 2),
                "searches": [vars(s) for s in o.searches],
                "samples": None if o.samples is None else vars(o.samples),
            }
            for o in outcomes
        ],
    }


def unseen(outcome: Outcome) -> float:
    """Share copied exactly, mean over the lengths never seen."""
    return float(np.mean([outcome.exact_by_length[n] for n in UNSEEN]))


def median(values: Iterable[float]) -> float:
    """Of several seeds."""
    return float(np.median([*values]))


def headline(outcomes: Sequence[Outcome], name: str) -> list[Outcome]:
    """Those of a headline network, seed by seed."""
    return [o for o in outcomes if o.member.group == "headline" and o.member.name == name]
