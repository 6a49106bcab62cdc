"""Frames whose stamps are moments, or whose bars are weeks: fitted on sessions, and told at the caller's line."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from s2squant.estimator import PriceForecaster
from s2squant.prices.calendars.exchanges import sessions_between

SPAN = ("2020-01-01", "2022-12-30")


def frame(stamps, ticker="SAP.DE"):
    returns = 0.01 * np.random.default_rng(0).standard_normal(len(stamps))
    return pd.DataFrame({"unique_id": ticker, "ds": stamps, "y": 100 * np.exp(np.cumsum(returns))})


def fitted(df):
    return PriceForecaster(models=["historical_simulation"], horizon=3).fit(df)


def test_midnights_of_frankfurt_written_in_utc_are_frankfurt_s_days():
    stamps = pd.DatetimeIndex(sessions_between("XETR", *SPAN)).tz_localize("Europe/Berlin").tz_convert("UTC")
    with pytest.warns(UserWarning, match=r"dates were changed; SAP.DE: stamps of 23:00, 22:00 are moments") as told:
        model = fitted(frame(stamps))
    assert told[0].filename == __file__
    assert model.predict()["ds"].dt.date.astype(str).tolist() == ["2023-01-02", "2023-01-03", "2023-01-04"]


def test_weeks_go_on_by_weeks():
    with pytest.warns(UserWarning, match=r"bars are weekly, dated by the last session of each week; XNYS is taken"):
        model = fitted(frame(pd.date_range("2010-01-01", "2024-12-27", freq="W-FRI"), "ACME"))
    assert model.predict()["ds"].astype(str).tolist() == ["2025-01-03", "2025-01-10", "2025-01-17"]


def test_newer_stamps_are_read_by_the_calendar_of_the_fit():
    stamps = pd.DatetimeIndex(sessions_between("XETR", *SPAN)).tz_localize("Europe/Berlin").tz_convert("UTC")
    df = frame(stamps, "SAP")  # whose exchange its name does not tell
    with pytest.warns(UserWarning, match="dates were changed"):
        model = fitted(df.iloc[:-2])
    days = model.predict(df=df.iloc[-4:])["ds"].dt.date.astype(str).tolist()
    assert days == ["2023-01-02", "2023-01-03", "2023-01-04"]
