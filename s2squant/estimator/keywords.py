"""Arguments that a method does not take, said in one line with what is meant here in their place."""

from __future__ import annotations

import difflib
import functools
import inspect
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

from s2squant.errors import ConfigError

P = ParamSpec("P")
T = TypeVar("T")

PACKAGE = str(Path(__file__).parents[1])

_BANDS = "bands are asked of predict, predict_insample and cross_validation"
_COLUMNS = "columns are called unique_id, ds and y; df.rename(columns=...)"
_MODELS = "what a model takes goes into PriceForecaster(settings={model: {...}})"
_SEED = "call it random_state, in PriceForecaster(...)"
_WALK = "it belongs to cross_validation"
_WORKERS = "cross_validation(workers=...) spreads fits over processes"

HINTS = {
    "X": "prices go in as df",
    "X_df": "future values go to predict and simulate; fit and cross_validation read them in df",
    "df": "prices go to fit, predict, score and cross_validation",
    "fitted": "predict_insample gives the forecasts of bars that were fitted",
    "freq": "sessions are those of each ticker's exchange; calendars={ticker: 'XNYS'} names one",
    "futr_df": "future values go to predict and simulate; fit and cross_validation read them in df",
    "futr_exog_list": "call it futr_exog, in PriceForecaster(...)",
    "h": "how far is forecast is PriceForecaster(horizon=...); predict(h=...) gives fewer steps",
    "hist_exog_list": "call it hist_exog, in PriceForecaster(...)",
    "id_col": _COLUMNS,
    "input_size": _MODELS,
    "learning_rate": _MODELS,
    "level": _BANDS,
    "loss": _MODELS,
    "max_steps": _MODELS,
    "n_jobs": _WORKERS,
    "n_windows": _WALK,
    "num_workers": _WORKERS,
    "prediction_intervals": "every model gives quantiles; ask for them, as predict(level=[80])",
    "quantiles": _BANDS,
    "random_seed": _SEED,
    "refit": _WALK,
    "sample_weight": "bars have no weights",
    "seed": _SEED,
    "stat_exog_list": "call it stat_exog, in PriceForecaster(...)",
    "static_df": "static columns go to fit and cross_validation",
    "step_size": "it belongs to cross_validation, predict_insample and score",
    "target_col": _COLUMNS,
    "test_size": _WALK,
    "time_col": _COLUMNS,
    "val_size": "each model keeps what it chooses by; nothing is named by hand",
    "workers": _WALK,
}
"""What users of Nixtla's libraries and of scikit-learn write, and what it is here."""


def named(function: Callable[P, T]) -> Callable[P, T]:
    """The function, which raises ConfigError for arguments that it does not take or lacks."""
    signature = inspect.signature(function)
    who = function.__qualname__.removesuffix(".__init__").rpartition(".")[2]

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            raise ConfigError(_said(who, signature, len(args), tuple(kwargs), str(error))) from None
        return function(*args, **kwargs)

    return checked


def _said(who: str, signature: inspect.Signature, given: int, keys: tuple[str, ...], why: str) -> str:
    own = [name for name in signature.parameters if name not in ("self", "cls")]
    strange = next((key for key in keys if key not in own), None)
    if strange is None:
        places = [p for p in signature.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
        if given > len(places):
            taken = ", ".join(p.name for p in places[1:]) or "nothing"
            return f"{who} takes {taken} by place, the rest by name; it takes {', '.join(own)}"
        return f"{who}: {why}"
    if strange in HINTS:
        return f"{who} takes no {strange}; {HINTS[strange]}"
    near = difflib.get_close_matches(strange, own, n=1, cutoff=0.5)
    return f"{who} takes no {strange}; " + (f"did you mean '{near[0]}'?" if near else f"it takes {', '.join(own)}")


def warn(text: str) -> None:
    """Warn in the line that called this package."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame, level = frame.f_back, level + 1
    warnings.warn(text, UserWarning, stacklevel=level)
