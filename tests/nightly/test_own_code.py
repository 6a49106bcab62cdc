"""A user's own model in nights: issued, stored by its own state, replayed to the bit; one that fails is named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from s2squant.config.files import make_experiment
from s2squant.config.nightly import Nightly
from s2squant.errors import ConfigError
from s2squant.nightly.replay import replay
from tests.worlds.nightly_sim import Desk, at_yahoo, tiny

HERE = "tests.worlds.own_code"
TRAILING, FALLING = f"{HERE}:Trailing", f"{HERE}:Falling"


def with_models(spec: Nightly, *models: str, blended: str) -> Nightly:
    told = spec.experiment.model_dump(mode="json")
    told["forecasters"] |= {"models": ["historical_simulation", "anchor", *models, "blend"]}
    told["forecasters"] |= {"blend": {"members": [blended]}, "own": {TRAILING: {"window": 40}}}
    return spec.model_copy(update={"experiment": make_experiment(told)})


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with at_yahoo(tmp_path, monkeypatch) as yahoo:
        yield Desk(tmp_path, yahoo, tiny(tmp_path, "AAA", "B"))


def test_an_own_model_is_issued_and_replayed_and_a_failing_one_is_named(desk: Desk) -> None:
    desk.spec = with_models(desk.spec, TRAILING, FALLING, blended=TRAILING)
    night = desk.night("2025-11-25")
    assert night.status == "partial"
    assert night.message == f"2 of 2 tickers forecast; {FALLING} failed on AAA: ValueError: crossed: quantiles cross"
    rows = desk.live()
    assert rows.groupby("model")["unique_id"].nunique()[TRAILING] == 2
    assert set(rows["model"]) == {"historical_simulation", "anchor", TRAILING, "blend", "blend+aci"}
    assert replay(night.run_id, desk.ledger).identical


def test_a_night_whose_blend_had_a_failing_member_blends_the_others(desk: Desk) -> None:
    desk.spec = with_models(desk.spec, FALLING, TRAILING, blended=FALLING)
    night = desk.night("2025-11-25")
    blend = night.today[night.today["model"] == "blend"]
    assert blend["unique_id"].nunique() == 2
    assert replay(night.run_id, desk.ledger).identical


def test_a_model_that_cannot_be_read_back_is_refused_before_the_night(desk: Desk) -> None:
    desk.spec = with_models(desk.spec, f"{HERE}:Forgetful", TRAILING, blended=TRAILING)
    with pytest.raises(ConfigError, match=r"a nightly and a saved estimator store their models; write restore"):
        desk.night("2025-11-25")
