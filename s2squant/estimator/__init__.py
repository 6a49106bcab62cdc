"""The package from Python."""

from s2squant.estimator.forecaster import PriceForecaster
from s2squant.estimator.split import DateSplit

__all__ = ["DateSplit", "PriceForecaster"]
