"""s2squant: sequence-to-sequence price forecasts, with an honest verdict."""

__version__ = "0.1.0"
