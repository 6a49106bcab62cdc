"""Random frames through the Python face: an answer, or one line; never a raw traceback or another's warning."""

from __future__ import annotations

import os
import random
import warnings
from collections import Counter
from typing import Any

import pytest

from s2squant.errors import CallerError
from s2squant.estimator import PriceForecaster
from tests.worlds.frames import random_frame, sound

FRAMES = int(os.environ.get("FRAMES", "100"))
SETTINGS = {"random_walk": {"window": 40}, "anchor": {"warmup": 60}}


def made(rng: random.Random) -> PriceForecaster:
    exog: dict[str, Any] = {}
    if rng.random() < 0.2:
        exog = {rng.choice(["hist_exog", "futr_exog", "stat_exog"]): rng.choice(["vix", "Open", "y", "nothing"])}
    accept = rng.choice([(), "all"])
    return PriceForecaster("random_walk", horizon=rng.choice([1, 3]), settings=SETTINGS, accept=accept, **exog)


def asked(model: PriceForecaster, rng: random.Random) -> Any:
    """One call of the face with another random frame."""
    frame = random_frame(rng)
    match rng.randrange(6):
        case 0:
            return model.predict(df=frame)
        case 1:
            return model.predict(futr_df=frame, level=80)
        case 2:
            return model.cross_validation(frame, n_windows=2, min_train=300)
        case 3:
            return model.score(frame)
        case 4:
            return model.predict_insample(quantiles=[0.1])
    return model.fit(frame, static_df=random_frame(rng)).predict()


def poor(error: CallerError) -> str:
    """What is wrong with a message: nothing of one that is a line."""
    return "" if str(error) and "\n" not in str(error) else " in no line"


def outcome(rng: random.Random) -> str:
    frame = random_frame(rng)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", UserWarning)
        try:
            model = made(rng).fit(frame)
            model.predict()
            told = "fitted"
        except CallerError as error:
            told = "refused" + poor(error)
            model = PriceForecaster("random_walk", horizon=2, settings=SETTINGS).fit(sound(random.Random(1)))
        try:
            asked(model, rng)
            return told + ", answered"
        except CallerError as error:
            return told + ", refused" + poor(error)


@pytest.mark.slow
def test_a_frame_is_answered_or_refused_in_one_line(capsys):
    said = Counter[str]()
    for number in range(FRAMES):
        try:
            said[outcome(random.Random(number))] += 1
        except Exception as error:
            raise AssertionError(f"frame {number}") from error
    with capsys.disabled():
        print(f"\nframes: {dict(said)}")
    assert set(said) == {f"{one}, {other}" for one in ("fitted", "refused") for other in ("answered", "refused")}


def test_a_unit_of_time_that_was_mistaken_is_one_line_and_no_memory():
    """Nanoseconds taken for seconds: years of seven places, whose days alone are gigabytes."""
    frame = sound(random.Random(1))
    frame["ds"] = frame["ds"].astype("datetime64[ns]").astype("int64").astype("datetime64[s]")
    with pytest.raises(CallerError, match=r"row 1 is of the year \d+; numbers were read in another unit of time"):
        PriceForecaster("random_walk", horizon=2, settings=SETTINGS).fit(frame)
