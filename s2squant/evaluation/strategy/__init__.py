"""Forecasts -> positions -> equity after costs, and the count of what was tried."""
