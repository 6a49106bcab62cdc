"""The package from Python."""

from s2squant.estimator.forecaster import PriceForecaster

__all__ = ["PriceForecaster"]
