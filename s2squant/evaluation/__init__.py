"""Forecasts and outcomes -> losses, tests, verdict, evidence, strategy."""
