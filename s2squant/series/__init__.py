"""A price history, the panel of a market, windows on it, and forecasts from it."""
