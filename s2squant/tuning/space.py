"""Search space: ranges checked against the experiment's own fields, and the experiments they lead to."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from s2squant.config.experiment import Experiment
from s2squant.config.files import field_of, make_experiment, override
from s2squant.config.models import MODELS, ModelName, is_own
from s2squant.config.tuning import Range, Span, Tuning, Value, read_range
from s2squant.errors import ConfigError

ROOT = "forecasters"

READ_FEATURES = ("ridge", "gbm")
"""Models that read the user's features, beside the networks."""
NETWORK = {
    "forecasters.seq2seq.encoder.hidden": "logint:8:64",
    "forecasters.seq2seq.encoder.layers": "int:1:2",
    "forecasters.seq2seq.encoder.cell": "choice:lstm,gru",
    "forecasters.seq2seq.decoder.dropout": "0:0.4",
    "forecasters.anchor.stride": "choice:2,5,10",
}

SCOPED = {
    "per_ticker": {"lr": "log:3e-4:3e-3", "steps": "logint:50:300"},
    "pooled": {"lr": "log:5e-4:5e-3", "steps": "logint:100:600"},
    "adapted": {"lr": "log:1e-4:2e-3", "steps": "logint:20:200"},
}


def read_space(settings: Sequence[str]) -> dict[str, str]:
    """The space of `KEY=RANGE` options; raises ConfigError."""
    space: dict[str, str] = {}
    for setting in settings:
        key, separator, text = setting.partition("=")
        if not separator or not key.strip() or not text.strip():
            raise ConfigError(f"--space {setting}: write it as in forecasters.seq2seq.pooled.lr=log:1e-4:1e-2")
        space[key.strip()] = text.strip()
    return space


def models_behind(model: ModelName, experiment: Experiment) -> tuple[ModelName, ...]:
    """The models that have to be fitted for one of them, itself included, in the order in which they run."""
    settings, wanted, open_ = experiment.forecasters, set[str](), [model]
    while open_:
        name = open_.pop()
        if name in wanted:
            continue
        wanted.add(name)
        match name:
            case "blend":
                open_ += ["anchor", *settings.blending.members]
            case "field":
                open_ += settings.field_members
            case "seq2seq_adapted":
                open_ += ["anchor", "seq2seq_pooled"]
            case "seq2seq_pooled" | "seq2seq_per_ticker":
                open_.append("anchor")
            case _:
                pass
    return tuple(m for m in settings.models if m in wanted)


def space_of(experiment: Experiment, tuning: Tuning) -> dict[str, Range]:
    """The ranges of a search, in a fixed order, held against the experiment; raises ConfigError with one line.

    Only settings that the recommended model depends on, and the reference does not, can be searched.
    """
    tuned, reference = experiment.verdict.recommended, experiment.verdict.reference
    if tuned == reference:
        raise ConfigError(f"verdict.recommended and verdict.reference are both {tuned}; a search needs a measure apart")
    given = tuning.space or default_space(experiment)
    if not given:
        raise ConfigError(f"there is no default space for {tuned}; name its settings with --space KEY=RANGE")
    behind, beside = models_behind(tuned, experiment), models_behind(reference, experiment)
    ranges = {key: read_range(key, given[key]) for key in sorted(given)}
    for key, values in ranges.items():
        field = _field(key)
        if not _matters(key, behind):
            raise ConfigError(
                f"--space {key}: {tuned} does not depend on it; it is the model that is tuned (verdict.recommended)"
            )
        if _matters(key, beside):
            raise ConfigError(
                f"--space {key}: the reference {reference} depends on it too; a measure that moves measures nothing"
            )
        _check_ends(key, values, field)
    return ranges


def default_space(experiment: Experiment) -> dict[str, str]:
    """A few settings that matter for the recommended model; empty for a model without a network."""
    behind = models_behind(experiment.verdict.recommended, experiment)
    scopes = [row.scope for model, row in MODELS.items() if row.scope and model in behind]
    if not scopes:
        return {}
    space = dict(NETWORK)
    for scope in scopes:
        space |= {f"forecasters.seq2seq.{scope}.{key}": text for key, text in SCOPED[scope].items()}
    beside = models_behind(experiment.verdict.reference, experiment)
    return {key: text for key, text in space.items() if not _matters(key, beside)}


def candidate(experiment: Experiment, values: Mapping[str, Value]) -> Experiment:
    """The experiment with these settings; raises ConfigError where they do not go together."""
    settings = [f"{key}={json.dumps(value)}" for key, value in sorted(values.items())]
    return make_experiment(override(experiment.model_dump(mode="json"), settings), where="trial")


def present(experiment: Experiment, key: str) -> Any:
    """The value that the experiment gives a setting."""
    value: Any = experiment.model_dump()
    for part in key.split("."):
        value = value[part]
    return value


def reduced(experiment: Experiment, model: ModelName) -> Experiment:
    """The experiment with no more models than one of them needs, and that one as recommended and reference.

    Two experiments that are equal when reduced give that model the same forecasts.
    """
    behind = models_behind(model, experiment)
    plain = Experiment()
    settings = experiment.forecasters.model_dump(mode="json")
    needed = {part: settings[part] for part in settings if _matters(f"{ROOT}.{part}", behind)}
    if "own" in needed:
        needed["own"] = {
            n: table for n, table in settings["own"].items() if n in (*behind, *needed.get("features", ()))
        }
    if "field" in behind:
        needed["field"] = {"members": list(experiment.forecasters.field_members)}
    return make_experiment(
        {
            "name": plain.name,
            "seed": experiment.seed,
            "walk": experiment.walk.model_dump(mode="json"),
            "forecasters": needed | {"models": list(behind)},
            "verdict": {"reference": model, "recommended": model},
        }
    )


def _matters(key: str, behind: Sequence[ModelName]) -> bool:
    """Whether a setting decides anything about one of these models."""
    part, scope = [*key.split("."), "", ""][1:3]
    if part == "own":
        return any(is_own(model) for model in behind) or _matters(f"{ROOT}.features", behind)
    if part == "features":
        return any(model in READ_FEATURES or MODELS[model].scope for model in behind if not is_own(model))
    if part != "seq2seq":
        return part in behind
    scopes = {MODELS[model].scope for model in behind if not is_own(model)} - {None}
    return scope in scopes if scope in SCOPED else bool(scopes)


def _field(key: str) -> FieldInfo:
    """The field that a dotted key names; raises ConfigError when it is none, or no part of a forecaster."""
    parts = key.split(".")
    if parts[0] != ROOT:
        raise ConfigError(f"--space {key}: only settings of forecasters are searched; others change what is measured")
    if parts[1:2] and parts[1] in ("models", "extra", "field"):
        raise ConfigError(f"--space {key}: which models run is no setting to search; choose them with --set")
    try:
        return field_of(Experiment, key)
    except ConfigError as error:
        raise ConfigError(f"--space {key}: {error}") from None


def _check_ends(key: str, values: Range, field: FieldInfo) -> None:
    whole = field.annotation is int
    if isinstance(values, Span) and whole != values.whole:
        kind = "a whole number; use int:LOW:HIGH" if whole else "no whole number; use LOW:HIGH or log:LOW:HIGH"
        raise ConfigError(f"--space {key}: the setting is {kind}")
    annotation: Any = Annotated[field.annotation, field]
    fits = TypeAdapter(annotation)
    for value in values.ends:
        try:
            fits.validate_python(value, strict=True)
        except ValidationError as error:
            reason = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise ConfigError(f"--space {key}: {json.dumps(value)} is not possible: {reason}") from None
