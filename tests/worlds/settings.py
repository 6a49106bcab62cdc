"""Random settings, sound and unsound, drawn from the fields of the settings themselves."""

from __future__ import annotations

import random
import types
import typing
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import AfterValidator, BaseModel, JsonValue
from pydantic.fields import FieldInfo

from s2squant.config.models import MODELS

NONSENSE: tuple[Any, ...] = (
    *(True, "", "\0", "x" * 5_000, "\ud800", "nope", "20", None, [], {}, [[]], {"a": {"b": 1}}),
    *(float("inf"), float("-inf"), float("nan"), -1, 0, 10**20, -(10**20), 1e308, 2.5, "2020-13-45", "0001-01-01"),
)
"""Values that some setting or other cannot have."""
TEXTS = ("a", "AAPL", "^VIX", "BRK.B", "Ä", "sample", "data/x", "true", "1", "'", '"', "a b", "=1+1", "<b>")


MODEL_NAMES = (*MODELS, "mine:make", "a.package.mine:Class")
OWN_FEATURES = ("mine:momentum", "a.package.mine:f")


def of_part(kind: type[BaseModel], rng: random.Random, *, odd: float, share: float = 0.15) -> dict[str, Any]:
    """A table with a share of a kind's keys; a share `odd` of its values are nonsense, and now and then a key."""
    table: dict[str, Any] = {}
    for name, field in kind.model_fields.items():
        inner = field.annotation
        part = isinstance(inner, type) and issubclass(inner, BaseModel)
        if field.is_required() or rng.random() < (2 * share if part else share):
            table[name] = rng.choice(NONSENSE) if rng.random() < odd else value_of(field, rng, odd=odd)
    if rng.random() < odd / 4:
        table[rng.choice(["horizn", "", "models ", "\0", "__class__"])] = rng.choice(NONSENSE)
    return table


def value_of(field: FieldInfo, rng: random.Random, *, odd: float = 0.0) -> Any:
    """A value that a field can have by itself, often one at its bounds; together they may not go."""
    return _value(field.annotation, field.metadata, rng, odd)


def _value(kind: Any, marks: typing.Sequence[Any], rng: random.Random, odd: float) -> Any:
    origin, inside = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _value(inside[0], [*marks, *inside[1:]], rng, odd)
    if origin is Literal:
        return rng.choice(inside)
    if origin in (typing.Union, types.UnionType):
        return _value(rng.choice(inside), marks, rng, odd)
    if origin is tuple:
        return [_value(inside[0], [], rng, odd) for _ in range(rng.randrange(4))]
    if origin is dict:
        keys = rng.sample(TEXTS, rng.randrange(3))
        return {key: _value(inside[1], [], rng, odd) for key in keys}
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return of_part(kind, rng, odd=odd)
    if kind is type(None):
        return None
    if kind is bool:
        return rng.random() < 0.5
    if kind is int:
        low, high = (round(end) for end in _ends(marks, 0, 1_000))
        return rng.choice([low, high, rng.randint(low, high), min(high, low + rng.randrange(50))])
    if kind is float:
        low, high = _ends(marks, -1e6, 1e6)
        return rng.choice([low, high, rng.uniform(low, high), low + (high - low) * 10 ** -rng.uniform(1, 9)])
    if kind is str:
        checked = {mark.func.__name__: mark for mark in marks if isinstance(mark, AfterValidator)}
        return rng.choice(OWN_FEATURES if "_feature_name" in checked else MODEL_NAMES if checked else TEXTS)
    if kind is JsonValue:
        return rng.choice([None, True, 3, 0.5, "x", [1, 2.5], {"a": [None]}])
    days = timedelta(rng.randrange(-200_000, 80_000))
    if kind is datetime:
        return (datetime(2000, 1, 1) + days).isoformat() + rng.choice(["", "Z", "+05:30"])
    assert kind is date, kind
    return (date(2000, 1, 1) + days).isoformat()


def _ends(marks: typing.Sequence[Any], low: float, high: float) -> tuple[float, float]:
    for mark in marks:
        match mark:
            case Ge(ge=end) | Gt(gt=end):
                low = float(end)  # type: ignore[arg-type]
            case Le(le=end) | Lt(lt=end):
                high = float(end)  # type: ignore[arg-type]
    return low, high
