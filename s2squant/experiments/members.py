"""The members of the zoo: one change each from a common base, so that a difference has one cause."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from s2squant.config.networks import Seq2SeqSpec

BASE = "LSTM, context at every step"
"""The member that the others are one change away from: an LSTM on both sides, with a hidden layer in its head."""


@dataclass(frozen=True)
class Member:
    """One structure of the family: its changes from the base, as nested settings of Seq2SeqSpec.

    Returns as words and scenarios are models of their own, whose settings the changes are.
    """

    name: str
    group: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    model: Literal["network", "words", "scenarios"] = "network"

    def spec(self, base: Mapping[str, Any]) -> Seq2SeqSpec:
        """The whole specification of a network: the base's settings, then this member's changes."""
        return Seq2SeqSpec.model_validate(merged(base, self.changes))


def members() -> tuple[Member, ...]:
    """Every cell, summary, direction, context, attention, decoder, head and regime, the base first."""
    window = {"reads": "window"}
    attending = {
        "Luong global, dot": {"kind": "luong_global", "score": "dot"},
        "Luong global, general": {"kind": "luong_global", "score": "general"},
        "Luong global, concat": {"kind": "luong_global", "score": "concat"},
        "Luong global, input feeding": {"kind": "luong_global", "input_feeding": True},
        "Luong local, monotonic": {"kind": "luong_local_m"},
        "Luong local, predictive": {"kind": "luong_local_p"},
        "Bahdanau": {"kind": "bahdanau"},
    }
    transformer = {"kind": "transformer", "reads": "window"}
    return (
        Member(BASE, "base"),
        Member("GRU", "cell", {"encoder": {"cell": "gru"}}),
        Member("plain RNN", "cell", {"encoder": {"cell": "rnn"}}),
        Member("two layers each", "stack", {"encoder": {"layers": 2}, "decoder": {"layers": 2}}),
        Member("one direction, own window", "direction", {"encoder": window}),
        Member("two directions, own window", "direction", {"encoder": window | {"directions": "both"}}),
        Member("transform of the last state", "summary", {"encoder": {"summary": "transform_last"}}),
        Member("transform of all states", "summary", {"encoder": {"summary": "transform_all"}}),
        Member("context in the first state only", "context", {"decoder": {"context": "initial"}}),
        Member("context and previous output", "context", {"decoder": {"previous": True}}),
        Member("first state and previous output", "context", {"decoder": {"context": "initial", "previous": True}}),
        Member("context at every step, first state zero", "context", {"decoder": {"start": "zero"}}),
        Member("context at every step, first state learned", "context", {"decoder": {"start": "learned"}}),
        Member(
            "the encoder's states handed over",
            "context",
            {"encoder": window, "decoder": {"context": "initial", "start": "states", "previous": True}},
        ),
        *(Member(name, "attention", {"decoder": {"attention": kind}}) for name, kind in attending.items()),
        Member(
            "Bahdanau, two directions, previous output",
            "attention",
            {
                "encoder": window | {"directions": "both"},
                "decoder": {"attention": attending["Bahdanau"], "previous": True},
            },
        ),
        Member("perceptron for each step", "decoder", {"decoder": {"kind": "mlp"}}),
        Member("perceptron for each step, linear head", "decoder", {"decoder": {"kind": "mlp", "width": 0}}),
        Member("transformer decoder", "decoder", {"decoder": {"kind": "transformer"}}),
        Member("transformer encoder", "decoder", {"encoder": transformer}),
        Member("transformer, both", "decoder", {"encoder": transformer, "decoder": {"kind": "transformer"}}),
        Member(
            "transformer encoder, learned positions", "decoder", {"encoder": transformer | {"positions": "learned"}}
        ),
        Member("linear head", "head", {"decoder": {"width": 0}}),
        Member("point, squared error", "head", {"head": {"kind": "point"}}),
        Member("point, Huber", "head", {"head": {"kind": "point", "loss": "huber"}}),
        Member("point, absolute error", "head", {"head": {"kind": "point", "loss": "mae"}}),
        Member(
            "point, teacher forcing",
            "head",
            {"decoder": {"previous": True}, "head": {"kind": "point"}, "training": {"regime": "teacher"}},
        ),
        Member("Student-t steps, no feedback", "head", {"head": {"kind": "student_t"}}),
        fed("Student-t steps, teacher forcing", "head", "student_t"),
        fed("Gaussian mixture, teacher forcing", "head", "mixture"),
        fed("return bins, teacher forcing", "head", "categorical"),
        fed("Student-t, free running", "regime", "student_t", regime="free"),
        fed("Student-t, scheduled, linear", "regime", "student_t", regime="scheduled", schedule="linear"),
        fed("Student-t, scheduled, exponential", "regime", "student_t", regime="scheduled", schedule="exponential"),
        fed("Student-t, scheduled, inv. sigmoid", "regime", "student_t", regime="scheduled"),
        Member(
            "quantiles, scheduled sampling",
            "regime",
            {"decoder": {"previous": True}, "training": {"regime": "scheduled"}},
        ),
        Member("returns as words, LSTM", "words", model="words"),
        Member("returns as words, transformer", "words", {"cell": "transformer"}, model="words"),
        Member("scenarios of a variational autoencoder", "scenarios", model="scenarios"),
    )


def fed(name: str, group: str, head: str, *, regime: str = "teacher", schedule: str = "inverse_sigmoid") -> Member:
    """A member whose head is sampled step by step and reads its previous output."""
    changes = {
        "decoder": {"previous": True},
        "head": {"kind": head},
        "training": {"regime": regime, "schedule": schedule},
    }
    return Member(name, group, changes)


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings under other nested settings."""
    result = dict(base)
    for key, value in changes.items():
        below = result.get(key, {})
        result[key] = merged(below, value) if isinstance(value, Mapping) and isinstance(below, Mapping) else value
    return result
